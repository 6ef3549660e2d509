import AxeBuilder from "@axe-core/playwright";
import { expect, test as base, type Page } from "@playwright/test";

import { Server } from "./server";

interface Options {
  /** The server goes away in this test, of which browsers complain. */
  outage: boolean;
}

/** Every test has a page that may complain of nothing, and all tests of a file share a server. */
export const test = base.extend<Options, { server: Server }>({
  outage: [false, { option: true }],
  server: [
    async ({}, use) => {
      const server = new Server();
      await server.start();
      await use(server);
      await server.close();
    },
    { scope: "worker", timeout: 120_000 },
  ],
  baseURL: async ({ server }, use) => use(server.url),
  page: async ({ page, outage }, use) => {
    const complaints: string[] = [];
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      if (outage && /Failed to load resource|WebSocket connection/.test(message.text())) return;
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
export const make = (page: Page) => page.getByRole("button", { name: "Make the video" });
