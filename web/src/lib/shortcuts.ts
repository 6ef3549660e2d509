import { useEffect, useEffectEvent } from "react";
import { create } from "zustand";

/** `keys`: "?", "g q" (one after the other), "mod+Enter" (Ctrl, or Cmd on a Mac; works while typing). */
export interface Shortcut {
  keys: string;
  label: string;
  run: () => void;
}

interface Sheet {
  groups: ReadonlyMap<string, readonly Shortcut[]>;
  put: (group: string, shortcuts: readonly Shortcut[] | null) => void;
}

/** What works at the moment, for the sheet that `?` opens. */
export const useShortcutSheet = create<Sheet>((set) => ({
  groups: new Map(),
  put: (group, shortcuts) =>
    set(({ groups }) => {
      const next = new Map(groups);
      if (shortcuts === null) next.delete(group);
      else next.set(group, shortcuts);
      return { groups: next };
    }),
}));

const PAUSE = 1000; // milliseconds between the keys of a sequence

/** One key press in our words; null for one that only holds others. */
export function pressed(event: KeyboardEvent): string | null {
  if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return null;
  const mod = event.ctrlKey || event.metaKey ? "mod+" : "";
  const key = event.key === " " ? "Space" : event.key;
  return mod + (event.altKey ? "alt+" : "") + key;
}

export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement) return true;
  if (target instanceof HTMLSelectElement) return true;
  return (
    target instanceof HTMLInputElement && !["checkbox", "radio", "button"].includes(target.type)
  );
}

/** Let these keys work while the component is there. `group` is their heading in the sheet. */
export function useShortcuts(group: string, shortcuts: readonly Shortcut[]): void {
  const put = useShortcutSheet((sheet) => sheet.put);
  const names = shortcuts.map((each) => `${each.keys} ${each.label}`).join("\n");
  const publish = useEffectEvent(() => put(group, shortcuts));
  useEffect(() => {
    publish();
    return () => put(group, null);
  }, [group, names, put]);

  const find = useEffectEvent((keys: string, typing: boolean) =>
    shortcuts.find((each) => each.keys === keys && (!typing || keys.includes("mod+"))),
  );
  useEffect(() => {
    let before = "";
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onKey = (event: KeyboardEvent) => {
      const key = pressed(event);
      if (key === null || event.defaultPrevented || event.isComposing) return;
      const typing = isTyping(event.target);
      const found =
        (before !== "" ? find(`${before} ${key}`, typing) : undefined) ?? find(key, typing);
      clearTimeout(timer);
      before = found !== undefined || typing ? "" : key;
      timer = setTimeout(() => (before = ""), PAUSE);
      if (found === undefined) return;
      event.preventDefault();
      found.run();
    };
    window.addEventListener("keydown", onKey);
    return () => {
      clearTimeout(timer);
      window.removeEventListener("keydown", onKey);
    };
  }, []);
}
