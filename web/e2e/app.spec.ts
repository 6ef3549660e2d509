import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { accessible, expect, make, prompt, test } from "./fixtures";

const PAGES = ["Create", "Queue", "Gallery", "Models", "LoRAs", "System"];
const PATHS = ["/", "/queue", "/gallery", "/models", "/loras", "/system"];

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
  await prompt(page).fill("a large yellow square");
  await expect(make(page)).toBeEnabled();
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
  const files = await page.evaluateHandle((data) => {
    const transfer = new DataTransfer();
    const content = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
    transfer.items.add(new File([content], "x.mp4", { type: "video/mp4" }));
    return transfer;
  }, file.toString("base64"));
  await prompt(page).dispatchEvent("dragover", { dataTransfer: files });
  await prompt(page).dispatchEvent("drop", { dataTransfer: files });
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

test("pages change within a tenth of a second, and typing waits for nothing", async ({ page }) => {
  await page.goto("/");
  await expect(make(page)).toBeVisible();
  const browser = await page.context().newCDPSession(page);
  // The page's own time: what other programs do at the moment does not count.
  await browser.send("Performance.enable", { timeDomain: "threadTicks" });
  const spent = async () => {
    const { metrics } = await browser.send("Performance.getMetrics");
    return 1000 * (metrics.find(({ name }) => name === "TaskDuration")?.value ?? NaN);
  };
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
  took.sort((a, b) => a - b);
  expect(took[Math.floor(took.length / 2)]).toBeLessThan(100);
  expect(took.at(-1)).toBeLessThan(250);

  await page.getByRole("link", { name: "Create" }).first().click();
  await page.route("**/api/**", () => undefined); // nobody answers any more
  await prompt(page).pressSequentially("a red circle", { delay: 0 });
  await expect(prompt(page)).toHaveValue("a red circle", { timeout: 500 });
  await page.getByRole("slider", { name: "Length" }).press("ArrowRight");
  await expect(page.getByText("21 frames").first()).toBeVisible({ timeout: 500 });
});
