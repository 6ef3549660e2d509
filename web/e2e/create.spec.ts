import { drawn } from "./drawn";
import { drop } from "./files";
import { expect, keepSeed, make, prompt, test } from "./fixtures";
import { watch } from "./watch";

const FPS = 8; // of the demo models

test("a newcomer has a video from a sentence", async ({ page }) => {
  await page.goto("/");
  await expect(make(page)).toBeDisabled();
  await page
    .getByRole("button", { name: "a small red circle moves left on a navy background" })
    .click();
  await expect(page.getByText("Ready in about")).toBeVisible();
  await make(page).click();
  await expect(page.getByText("The video is in the queue")).toBeVisible();
  const video = page.locator('video[aria-label^="a small red circle moves left"]');
  await expect(video).toBeVisible({ timeout: 60_000 });
  expect(await watch(video, FPS)).toEqual(
    expect.objectContaining({
      frames: 17,
      size: "small",
      colour: "red",
      shape: "circle",
      motion: "moves left",
      background: "navy",
    }),
  );
});

test("a picture moves, and ends where another one says", async ({ page, server }) => {
  const [first, last] = drawn(server.data);
  await page.goto("/");
  const slots = page.getByRole("region", { name: "Begin or end with a picture" });
  await expect(slots.getByText("From text")).toBeVisible();
  await slots.locator("input[type=file]").first().setInputFiles(first);
  await expect(slots.getByText("From a picture")).toBeVisible();
  await slots.locator("input[type=file]").last().setInputFiles(last);
  await expect(slots.getByText("From first to last frame")).toBeVisible();
  await expect(page.getByRole("radio", { name: /Demo of Wan 2.2 I2V A14B/ })).toBeChecked();
  await prompt(page).fill("a large yellow square moves right on a brown background");
  await keepSeed(page);
  await page.reload(); // nothing is lost
  await expect(slots.getByText("From first to last frame")).toBeVisible();
  await make(page).click();
  const video = page.locator('video[aria-label*="yellow square"]');
  await expect(video).toBeVisible({ timeout: 90_000 });
  expect(await watch(video, FPS)).toEqual(
    expect.objectContaining({
      colour: "yellow",
      shape: "square",
      motion: "moves right",
      background: "brown",
    }),
  );
});

test("a picture that is dropped moves", async ({ page, server }) => {
  const shown = { colour: "blue", shape: "circle", motion: "moves up", background: "gray" };
  const [first] = drawn(server.data, shown);
  await page.goto("/");
  await drop(prompt(page), first, "image/png");
  await expect(page.getByText("First frame · 128×128")).toBeVisible();
  await expect(page.getByRole("radio", { name: /Demo of Wan 2.2 I2V A14B/ })).toBeChecked();
  await prompt(page).fill("a large blue circle moves up on a gray background");
  await keepSeed(page);
  await make(page).click();
  const video = page.locator('video[aria-label*="blue circle"]');
  await expect(video).toBeVisible({ timeout: 90_000 });
  expect(await watch(video, FPS)).toMatchObject(shown);
});

test("a picture is cut to a shape", async ({ page, server }) => {
  const [first] = drawn(server.data);
  await page.goto("/");
  await drop(prompt(page), first, "image/png");
  await page.getByRole("button", { name: "First frame: crop" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Wide").click();
  await dialog.getByRole("button", { name: "Cut" }).click();
  await expect(page.getByText("First frame · 128×72")).toBeVisible();
});

test("a LoRA changes the video, and the job says so", async ({ page, server }) => {
  await page.goto("/");
  await prompt(page).fill("a large white square moves left on a black background");
  await keepSeed(page);
  await page.getByRole("combobox", { name: "Add a LoRA" }).click();
  await page.getByRole("option", { name: "slanted" }).click();
  await page.getByRole("button", { name: "slanted: a strength for each expert" }).click();
  await page.getByRole("slider", { name: "Low-noise expert" }).press("ArrowLeft");
  await make(page).click();
  const video = page.locator('video[aria-label*="white square"]');
  await expect(video).toBeVisible({ timeout: 90_000 });
  expect(await watch(video, FPS)).toMatchObject({
    style: "slanted",
    colour: "white",
    motion: "moves left",
    background: "black",
  });
  const { tasks } = await server.get<{ tasks: { loras: object[]; prompt: string }[] }>(
    "/api/v1/queue",
  );
  const task = tasks.find((each) => each.prompt.includes("white square"));
  expect(task?.loras).toEqual([{ name: "slanted", strength: 1, strength_low: 0.95 }]);
});

test("the plan follows the settings, and offers what is quicker", async ({ page }) => {
  await page.goto("/");
  const plan = page.getByRole("region", { name: "What it takes" });
  await expect(plan.getByText("128 × 128 · 17 frames · 20 steps")).toBeVisible();
  await page.getByRole("radio", { name: "Wide" }).click();
  await expect(plan.getByText(/160 × 96 · 17 frames/)).toBeVisible();
  await page.getByRole("slider", { name: "Length" }).press("ArrowLeft");
  await expect(plan.getByText(/13 frames/)).toBeVisible();
  await page.getByRole("button", { name: "All settings" }).click();
  await page.getByLabel("Steps", { exact: true }).fill("8");
  await expect(plan.getByText(/8 steps/)).toBeVisible();
  await plan.getByRole("button", { name: /frames ·/ }).click();
  await expect(plan.getByText(/5 frames/)).toBeVisible();
});

test("a prompt is made longer only if its author likes it", async ({ page }) => {
  await page.goto("/");
  await prompt(page).fill("a heron on a lake");
  await page.getByRole("button", { name: "Enhance" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByLabel("Yours")).toHaveValue("a heron on a lake");
  await dialog.getByLabel("Enhanced").fill("a heron lands on a lake");
  await page.keyboard.press("Escape");
  await expect(prompt(page)).toHaveValue("a heron on a lake");
  await page.getByRole("button", { name: "Enhance" }).click();
  await expect(dialog.getByLabel("Enhanced")).toHaveValue(/a heron on a lake, .*light/);
  await dialog.getByRole("button", { name: "Use it" }).click();
  await expect(prompt(page)).toHaveValue(/a heron on a lake, .*light/);
});
