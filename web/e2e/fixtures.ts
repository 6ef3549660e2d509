import AxeBuilder from "@axe-core/playwright";
import { expect, test as base, type Page } from "@playwright/test";

import { Hub } from "./hub";
import { Server } from "./server";

interface Options {
  /** The server goes away in this test, of which browsers complain. */
  outage: boolean;
}

interface World {
  /** Whether there is a hub to download models from. */
  online: boolean;
  hub: Hub | null;
  /** In the gallery, at the start. */
  videos: number;
  server: Server;
}

const OF_OUTAGES = /Failed to load resource|WebSocket connection|a part of the app is missing/;

/** Every test has a page that may complain of nothing; those of a world share its server. */
export const test = base.extend<Options, World>({
  outage: [false, { option: true }],
  online: [false, { option: true, scope: "worker" }],
  videos: [0, { option: true, scope: "worker" }],
  hub: [
    async ({ online }, use) => {
      const hub = online ? await Hub.start() : null;
      await use(hub);
      hub?.close();
    },
    { scope: "worker" },
  ],
  server: [
    async ({ hub, videos }, use) => {
      const server = new Server({ hub: hub?.url ?? null, videos });
      await server.start();
      await use(server);
      await server.close();
    },
    { scope: "worker", timeout: 600_000 },
  ],
  baseURL: async ({ server }, use) => use(server.url),
  page: async ({ page, outage }, use) => {
    const complaints: string[] = [];
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      if (outage && OF_OUTAGES.test(message.text())) return;
      complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    await use(page);
    expect(complaints).toEqual([]);
  },
});

export { expect };

/** No violation that axe knows of, once everything has come to rest. */
export async function accessible(page: Page): Promise<void> {
  await page.evaluate(() =>
    Promise.allSettled(
      document
        .getAnimations()
        .filter((each) => each.effect?.getComputedTiming().iterations !== Infinity)
        .map((each) => each.finished),
    ),
  );
  const { violations } = await new AxeBuilder({ page }).analyze();
  const found = violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
  expect(found).toEqual([]);
}

export const prompt = (page: Page) =>
  page.getByRole("textbox", { name: "What happens in the video" });
/** The same video each time, which is looked at. */
export const keepSeed = (page: Page) => page.getByLabel("Seed", { exact: true }).fill("7");
export const make = (page: Page) => page.getByRole("button", { name: "Make the video" });
