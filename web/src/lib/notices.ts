import { create } from "zustand";

import { load, save } from "@/lib/storage";

const SETTING = "wanvideo.notices";

interface Notices {
  on: boolean;
  /** The browser, or the user through it, has forbidden them. */
  blocked: boolean;
  toggle: () => Promise<void>;
}

const possible = "Notification" in globalThis && globalThis.isSecureContext;

/** Whether the browser tells of finished videos while the app is in the background. */
export const useNotices = create<Notices>((set, get) => ({
  on: possible && load(SETTING) === true && Notification.permission === "granted",
  blocked: !possible || Notification.permission === "denied",
  toggle: async () => {
    const on = !get().on && (await Notification.requestPermission()) === "granted";
    save(SETTING, on);
    set({ on, blocked: Notification.permission === "denied" });
  },
}));

/** Outside of the page, if the user wants it and is not looking at the page. */
export function callUser(title: string, body: string, tag: string): void {
  if (!useNotices.getState().on || document.visibilityState === "visible") return;
  const notice = new Notification(title, { body, tag, icon: "/icon.svg" });
  notice.onclick = () => {
    window.focus();
    notice.close();
  };
}
