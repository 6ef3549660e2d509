import type { Locator, Page } from "@playwright/test";

import { accessible, expect, test } from "./fixtures";
import type { Server } from "./server";

interface Video {
  id: string;
  prompt: string;
  favourite: boolean;
}

test.use({ videos: 3 });

const card = (page: Page, number: number) =>
  page.locator("article").filter({ hasText: `video ${number}:` });

async function video(server: Server, number: number): Promise<Video | undefined> {
  const { videos } = await server.get<{ videos: Video[] }>("/api/v1/outputs");
  return videos.find(({ prompt }) => prompt.startsWith(`video ${number}:`));
}

async function open(page: Page, path = "/gallery"): Promise<void> {
  await page.goto(path);
  await expect(page.locator("article").first()).toBeVisible();
}

/** Where both videos are, in seconds, at `count` frames of the screen. */
const moments = (both: Locator, count: number) =>
  both.evaluateAll(async (found, frames) => {
    const videos = found as HTMLVideoElement[];
    const seen: number[][] = [];
    while (seen.length < frames) {
      await new Promise(requestAnimationFrame);
      seen.push(videos.map((each) => each.currentTime));
    }
    return seen;
  }, count);

test("two videos play side by side, at the same moment", async ({ page }, info) => {
  await open(page);
  for (const number of [1, 3])
    await card(page, number).getByRole("checkbox").check({ force: true });
  await page.getByRole("region", { name: "Comparison" }).getByRole("button").first().click();
  const dialog = page.getByRole("dialog", { name: "Comparison" });
  const both = dialog.locator("video");
  await expect(both).toHaveCount(2);
  const lasts = await both.first().evaluate(async (each: HTMLVideoElement) => {
    while (each.readyState < 3) await new Promise(requestAnimationFrame);
    return each.duration;
  });
  await expect(dialog).toContainText("video 1:");
  await expect(dialog).toContainText("video 3:");

  const seen = await moments(both, 120);
  const apart = seen.map(([a = NaN, b = NaN]) => {
    const between = Math.abs(a - b);
    return Math.min(between, lasts - between); // one may have begun again
  });
  info.annotations.push({ type: "s apart", description: String(Math.max(...apart)) });
  expect(new Set(seen.map(([a]) => a)).size).toBeGreaterThan(10); // they move
  expect(apart.filter((each) => each > 0.125).length).toBeLessThan(apart.length / 20);

  await dialog.getByRole("button", { name: "Pause both" }).click();
  const slider = dialog.getByRole("slider", { name: "Moment" });
  for (const key of ["Home", "ArrowRight", "ArrowRight", "ArrowRight"]) await slider.press(key);
  await expect.poll(async () => (await moments(both, 1))[0]).toEqual([0.03, 0.03]);
  const still = await moments(both, 30);
  expect(new Set(still.flat()).size).toBe(1);
  await accessible(page);
  await dialog.getByRole("button", { name: "Play both" }).click();
  await expect.poll(async () => (await moments(both, 1))[0]?.[1]).toBeGreaterThan(0.1);
});

test("favourites are kept, and found again", async ({ page, server }) => {
  await open(page);
  const heart = card(page, 2).getByRole("button", { name: /^Favourite/ });
  await heart.click();
  await expect(heart).toHaveAttribute("aria-pressed", "true");
  expect((await video(server, 2))?.favourite).toBe(true);
  await page.getByRole("button", { name: "Favourites only" }).click();
  await expect(page.locator("article")).toHaveCount(1);
  await expect(page).toHaveURL(/favourite=true/);
  await page.reload();
  await expect(card(page, 2)).toBeVisible();
  await expect(page.locator("article")).toHaveCount(1);
  await heart.click();
  await expect(page.getByText("Nothing looks like that")).toBeVisible();
  expect((await video(server, 2))?.favourite).toBe(false);
});

test("a video that is deleted comes back on request, and else is gone", async ({
  page,
  server,
}) => {
  const remove = async () => {
    await card(page, 2).getByRole("link").click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await expect(card(page, 2)).toHaveCount(0);
    await expect(page.getByText("The video is deleted")).toBeVisible();
  };
  await open(page);
  const before = await video(server, 2);
  await remove();
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(card(page, 2)).toBeVisible();
  await expect(page.getByText("The video is deleted")).toHaveCount(0);
  await page.waitForTimeout(8000); // longer than one may regret
  expect(await video(server, 2)).toEqual(before);

  await remove();
  await expect.poll(() => video(server, 2)).toBeUndefined();
  const file = await fetch(`${server.url}/api/v1/outputs/${before?.id ?? ""}/download`);
  expect(file.status).toBe(404);
  await open(page);
  await expect(page.locator("article")).toHaveCount(2);
});
