import type { Page } from "@playwright/test";

export interface Scrolled {
  /** Numbers of the videos, in the order in which they came into the page. */
  numbers: number[];
  /** Of the screen, while it moved. */
  frames: number;
  /** Frames in which some place in the middle of the screen had no card. */
  empty: number;
  /** Milliseconds from frame to frame, the middle one and that of 99 %. */
  median: number;
  p99: number;
}

/** Go down a gallery that fill.py made, `pixels` with each frame of the screen, until `count` videos have been there. */
export async function scrollThrough(page: Page, count: number, pixels: number): Promise<Scrolled> {
  return page.evaluate(
    async ({ count: all, pixels: each }) => {
      const numbers = new Set<number>();
      const times: number[] = [];
      const look = () => {
        for (const { textContent } of document.querySelectorAll("article")) {
          const found = /video (\d+):/.exec(textContent);
          if (found) numbers.add(Number(found[1]));
        }
      };
      const isEmpty = () => {
        const middle = window.innerHeight / 2;
        const cards = [...document.querySelectorAll("article")];
        return !cards.some((card) => {
          const { top, bottom } = card.getBoundingClientRect();
          return top < middle + 100 && bottom > middle - 100;
        });
      };
      let empty = 0;
      let last = await new Promise(requestAnimationFrame);
      const end = performance.now() + 300_000;
      while (numbers.size < all && performance.now() < end) {
        look();
        const before = window.scrollY;
        window.scrollBy(0, each);
        const now = await new Promise(requestAnimationFrame);
        if (window.scrollY > before) {
          times.push(now - last);
          if (isEmpty()) empty += 1;
        }
        last = now;
      }
      times.sort((a, b) => a - b);
      const at = (share: number) => times[Math.floor(times.length * share)] ?? NaN;
      return { numbers: [...numbers], frames: times.length, empty, median: at(0.5), p99: at(0.99) };
    },
    { count, pixels },
  );
}
