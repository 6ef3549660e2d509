import { create } from "zustand";

import { load, save } from "@/lib/storage";

const KEY = "wanvideo.welcomed";

interface Welcomed {
  shown: boolean;
  show: (shown: boolean) => void;
}

/** Whether the first steps are shown: until somebody has done with them, and again when asked for. */
export const useWelcome = create<Welcomed>((set) => ({
  shown: load(KEY) !== true,
  show: (shown) => {
    save(KEY, !shown);
    set({ shown });
  },
}));
