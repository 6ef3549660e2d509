import { writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Locator, Page } from "@playwright/test";

import { spread, stopwatch } from "./budget";
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

test("pages change within a tenth of a second", async ({ page }, info) => {
  await page.goto("/");
  await expect(make(page)).toBeVisible();
  const spent = await stopwatch(page);
  const took: number[] = [];
  for (const round of ["fetched", "measured"]) {
    for (const name of PAGES) {
      const before = await spent();
      await page.evaluate(async (title) => {
        const links = [...document.querySelectorAll<HTMLElement>("nav a")];
        links.find((each) => each.textContent.startsWith(title))?.click();
        while (document.querySelector("h1")?.textContent !== title) {
          await new Promise(requestAnimationFrame);
        }
      }, name);
      if (round === "measured") took.push((await spent()) - before);
      await page.waitForTimeout(300);
    }
  }
  const { median, most } = spread(took);
  info.annotations.push({ type: "route change, ms", description: took.map(Math.round).join(" ") });
  expect(median).toBeLessThan(100);
  expect(most).toBeLessThan(250);
});

test("typing and dragging wait for no answer", async ({ page }, info) => {
  await page.goto("/");
  await expect(make(page)).toBeVisible();
  await page.waitForLoadState("networkidle");
  let asked = 0;
  await page.route("**/api/**", async (route) => {
    asked += 1;
    await new Promise((done) => setTimeout(done, 3000)); // the server is far away
    await route.continue().catch(() => undefined); // or the page no longer wants to know
  });
  const spent = await stopwatch(page);
  const keys: number[] = [];
  await prompt(page).focus();
  const words = "a small red circle moves left";
  for (const [index, key] of words.split(/(?:)/u).entries()) {
    const before = await spent();
    await page.keyboard.press(key);
    await expect(prompt(page)).toHaveValue(words.slice(0, index + 1), { timeout: 500 });
    keys.push((await spent()) - before);
  }
  const length = page.getByRole("slider", { name: "Length" });
  const steps: number[] = [];
  for (const frames of [21, 25, 29, 33]) {
    const before = await spent();
    await length.press("ArrowRight");
    await expect(page.getByText(`${frames} frames`).first()).toBeVisible({ timeout: 500 });
    steps.push((await spent()) - before);
  }
  const thumb = await length.boundingBox();
  if (thumb === null) throw new Error("no slider");
  const [x, y] = [thumb.x + thumb.width / 2, thumb.y + thumb.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x - 1000, y, { steps: 20 });
  await page.mouse.up();
  await expect(page.getByText("33 frames")).toHaveCount(0, { timeout: 500 });
  expect(asked).toBeGreaterThan(0);
  const typed = spread(keys);
  const stepped = spread(steps);
  info.annotations.push({ type: "ms", description: JSON.stringify({ typed, stepped }) });
  expect(typed.median).toBeLessThan(50);
  expect(stepped.median).toBeLessThan(100);
});
