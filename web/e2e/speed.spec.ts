import { spread, stopwatch } from "./budget";
import { expect, make, prompt, test } from "./fixtures";

const PAGES = ["Create", "Queue", "Gallery", "Models", "LoRAs", "System"];

// A trace copies the whole page with each step, in the page's own time.
test.use({ trace: "off" });

test("pages change within a tenth of a second", async ({ page }, info) => {
  await page.goto("/");
  await expect(make(page)).toBeVisible();
  const spent = await stopwatch(page);
  const took: number[] = [];
  const whole: number[] = []; // with what is drawn right after
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
      const opened = await spent();
      await page.waitForTimeout(300);
      if (round === "measured") {
        took.push(opened - before);
        whole.push((await spent()) - before);
      }
    }
  }
  const { median, most } = spread(took);
  const milliseconds = { took: took.map(Math.round), whole: whole.map(Math.round) };
  info.annotations.push({ type: "route change, ms", description: JSON.stringify(milliseconds) });
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
