import { writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Locator, Page } from "@playwright/test";

import { drop } from "./files";
import { accessible, expect, make, prompt, test } from "./fixtures";
import { watch } from "./watch";

const PAGES = ["Create", "Queue", "Gallery", "Models", "LoRAs", "System"];
const PATHS = ["/", "/queue", "/gallery", "/models", "/loras", "/system"];

/** Press Tab until something has the focus. */
async function reach(page: Page, place: Locator): Promise<void> {
  for (let presses = 0; presses < 80; presses += 1) {
    if (await place.evaluate((each) => each === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error("the keyboard does not get there");
}

for (const scheme of ["light", "dark"] as const) {
  test(`no page has a barrier, ${scheme}`, async ({ page, server }) => {
    await page.emulateMedia({ colorScheme: scheme });
    const body = { model_type: "T2V-A14B", prompt: "a circle", held: true };
    await server.post("/api/v1/generation/submit", body);
    for (const path of PATHS) {
      await page.goto(path);
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await page.waitForLoadState("networkidle");
      await accessible(page);
    }
    await page.goto("/");
    await prompt(page).fill("a circle");
    await page.getByRole("button", { name: "All settings" }).click();
    await page.getByRole("button", { name: "Avoid something" }).click();
    await expect(make(page)).toBeEnabled();
    await accessible(page);
  });
}

test("a phone has everything within reach", async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const path of PATHS) {
    await page.goto(path);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    const wide = await page.evaluate(
      () => document.documentElement.scrollWidth > window.innerWidth,
    );
    expect(wide, path).toBe(false);
  }
  await page.getByRole("link", { name: "Create" }).last().click();
  await prompt(page).fill("a large green triangle moves up on a black background");
  await expect(make(page)).toBeEnabled();
  await accessible(page);
  await make(page).click();
  const video = page.locator('video[aria-label*="green triangle"]');
  await expect(video).toBeVisible({ timeout: 90_000 });
  expect(await watch(video, 8)).toMatchObject({ colour: "green", motion: "moves up" });
  await page.getByRole("link", { name: "Gallery" }).last().click();
  await page.getByRole("link", { name: /^Open: a large green triangle/ }).click();
  await expect(page.getByRole("dialog").locator("video")).toBeVisible();
  await accessible(page);
});

test("everything works with the keyboard", async ({ page }) => {
  await page.goto("/");
  await expect(make(page)).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the page" })).toBeFocused();
  for (const [index, key] of ["c", "q", "g", "m", "l", "s"].entries()) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await expect(page.getByRole("heading", { level: 1, name: PAGES[index] ?? "" })).toBeVisible();
  }
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog")).toContainText("Go to Gallery");
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("c");
  await prompt(page).focus();
  await page.keyboard.type("a small white circle stays still? on a black background");
  await page.keyboard.press("Control+Alt+Enter");
  await expect(page.getByText("The video is in the queue")).toBeVisible();
});

test("a video is made and looked at without a mouse", async ({ page }) => {
  await page.goto("/");
  await expect(make(page)).toBeVisible();
  await reach(page, prompt(page));
  await page.keyboard.type("a large blue circle stays still on a gray background");
  await page.keyboard.press("Control+Enter");
  await expect(page.getByText("The video is in the queue")).toBeVisible();
  await expect(page.locator('video[aria-label*="blue circle"]')).toBeVisible({ timeout: 90_000 });
  await page.keyboard.press("Escape"); // out of the field, whose keys are letters
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await page.keyboard.press("g");
  await page.keyboard.press("g");
  const card = page.getByRole("link", { name: /^Open: a large blue circle/ });
  await expect(card).toBeVisible();
  await reach(page, card);
  await page.keyboard.press("Enter");
  const video = page.getByRole("dialog").locator("video");
  await expect(video).toBeVisible();
  await expect(page.getByRole("definition").filter({ hasText: "unipc" })).toBeVisible();
  await page.keyboard.press(".");
  await expect.poll(() => video.evaluate((each: HTMLVideoElement) => each.paused)).toBe(true);
  const at = () => video.evaluate((each: HTMLVideoElement) => each.currentTime);
  const before = await at();
  await page.keyboard.press(",");
  await expect.poll(at).toBeLessThan(before);
  expect(await watch(video, 8)).toMatchObject({ colour: "blue", motion: "stays still" });
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
});

test("a video brings its settings back", async ({ page, server }) => {
  const body = {
    model_type: "T2V-A14B",
    prompt: "a large green circle moves up",
    steps: 3,
    frames: 9,
    seed: 77,
  };
  const { task_id: id } = await server.post<{ task_id: string }>("/api/v1/generation/submit", body);
  await expect
    .poll(async () => (await server.get<{ state: string }>(`/api/v1/queue/${id}`)).state, {
      timeout: 60_000,
    })
    .toBe("succeeded");
  const file = Buffer.from(
    await (await fetch(`${server.url}/api/v1/outputs/${id}/download`)).arrayBuffer(),
  );
  writeFileSync(join(server.data, "dropped.mp4"), file);
  await page.goto("/");
  await expect(make(page)).toBeVisible();
  await drop(prompt(page), join(server.data, "dropped.mp4"), "video/mp4");
  await expect(prompt(page)).toHaveValue("a large green circle moves up");
  await prompt(page).fill("something else");
  await page.getByRole("link", { name: "Gallery" }).first().click();
  const gallery = page.getByRole("searchbox", { name: "Search in prompts" });
  await drop(gallery, join(server.data, "dropped.mp4"), "video/mp4");
  await expect(prompt(page)).toHaveValue("a large green circle moves up");
  await expect(page.getByLabel("Seed", { exact: true })).toHaveValue("77");
  await expect(page.getByText(/9 frames · 3 steps/)).toBeVisible();
});

test("the app speaks three languages, and remembers which", async ({ page }) => {
  await page.goto("/queue");
  for (const [language, title] of [
    ["Deutsch", "Warteschlange"],
    ["中文", "队列"],
    ["English", "Queue"],
  ] as const) {
    await page.getByRole("navigation").first().getByRole("button").first().click();
    await page.getByRole("menuitem", { name: language }).click();
    await expect(page.getByRole("heading", { level: 1, name: title })).toBeVisible();
    await page.reload();
    await expect(page.getByRole("heading", { level: 1, name: title })).toBeVisible();
  }
});
