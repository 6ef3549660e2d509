import { readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { join, resolve } from "node:path";

import type { Page } from "@playwright/test";

import { drawn } from "./drawn";
import { expect, test } from "./fixtures";
import type { Server } from "./server";

interface Task {
  id: string;
  prompt: string;
  state: string;
  steps: number;
  position?: number;
}

interface Made extends Task {
  loras: object[];
  seed: number;
}

const SLANTED = resolve(import.meta.dirname, "../../src/wanvideo/demo/loras/slanted.safetensors");

async function submit(server: Server, ...prompts: string[]): Promise<string[]> {
  const ids: string[] = [];
  for (const prompt of prompts) {
    const body = { model_type: "T2V-A14B", prompt, steps: 4, frames: 5 };
    ids.push((await server.post<{ task_id: string }>("/api/v1/generation/submit", body)).task_id);
  }
  return ids;
}

async function order(server: Server): Promise<string[]> {
  const { tasks } = await server.get<{ tasks: Task[] }>("/api/v1/queue");
  return tasks
    .filter((task) => task.position !== undefined)
    .sort((a, b) => (a.position ?? 0) - (b.position ?? 0))
    .map((task) => task.prompt);
}

const rows = (page: Page) => page.getByRole("region", { name: /^Waiting/ }).getByRole("listitem");

test.describe("a queue that is paused", () => {
  test.beforeEach(async ({ server, page }) => {
    await server.post("/api/v1/queue/pause");
    for (const task of (await server.get<{ tasks: Task[] }>("/api/v1/queue")).tasks) {
      if (task.state === "queued" || task.state === "held")
        await server.post(`/api/v1/queue/${task.id}/cancel`);
    }
    await server.post("/api/v1/queue/clear");
    await submit(server, "a red circle", "a blue square", "a green triangle");
    await page.goto("/queue");
    await expect(rows(page)).toHaveCount(3);
  });

  test("is put into another order with the mouse and with the keyboard", async ({
    page,
    server,
  }) => {
    const grip = (name: string) => page.getByRole("button", { name: `Move “${name}”` });
    await grip("a green triangle").focus();
    await page.keyboard.press("Space");
    for (let count = 0; count < 2; count += 1) {
      await page.waitForTimeout(250); // the list moves
      await page.keyboard.press("ArrowUp");
    }
    await page.waitForTimeout(250);
    await page.keyboard.press("Space");
    await expect(rows(page).first()).toContainText("a green triangle");
    await expect
      .poll(() => order(server))
      .toEqual(["a green triangle", "a red circle", "a blue square"]);

    const from = await grip("a blue square").boundingBox();
    const to = await grip("a green triangle").boundingBox();
    if (from === null || to === null) throw new Error("no grips");
    await page.mouse.move(from.x + 8, from.y + 12);
    await page.mouse.down();
    await page.mouse.move(to.x + 8, to.y + 6, { steps: 12 });
    await page.mouse.up();
    await expect
      .poll(() => order(server))
      .toEqual(["a blue square", "a green triangle", "a red circle"]);
  });

  test("has jobs that are changed, held, doubled and taken out", async ({ page, server }) => {
    const more = (name: string) => page.getByRole("button", { name: `More for “${name}”` });
    await more("a blue square").click();
    await page.getByRole("menuitem", { name: "Change" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("What happens in the video").fill("a purple square");
    await dialog.getByLabel("Steps").fill("6");
    await dialog.getByRole("button", { name: "Save" }).click();
    await expect(rows(page).nth(1)).toContainText("a purple square");
    await expect(rows(page).nth(1)).toContainText("6 steps");

    const first = rows(page).filter({ hasText: "a red circle" });
    await first.getByRole("button", { name: "Hold" }).click();
    await expect(first).toContainText("Held");
    await expect(rows(page).last()).toContainText("a red circle"); // it has no turn
    await expect(page.getByRole("button", { name: "Move “a red circle”" })).toBeHidden();

    await more("a green triangle").click();
    await page.getByRole("menuitem", { name: "Once more, new seed" }).click();
    await expect(rows(page)).toHaveCount(4);

    await more("a purple square").click();
    await page.getByRole("menuitem", { name: "Cancel" }).click();
    await expect(rows(page)).toHaveCount(3);
    expect(await order(server)).not.toContain("a purple square");
  });

  test("goes on when it is told to, and shows what runs", async ({ page, server }) => {
    const body = { model_type: "T2V-A14B", prompt: "a slow circle", steps: 150 };
    const { task_id: id } = await server.post<{ task_id: string }>(
      "/api/v1/generation/submit",
      body,
    );
    await server.post(`/api/v1/queue/${id}/move`, { to: "first" });
    await page.getByRole("button", { name: "Go on" }).click();
    const card = page.getByRole("region", { name: "a slow circle" });
    await expect(card.getByText("Drawing")).toBeVisible({ timeout: 30_000 });
    await expect(card.getByRole("img", { name: /The video after step/ })).toBeVisible();
    await expect(card.getByText(/step \d+ of 150/).first()).toBeVisible();
    await expect(card.getByText(/ of memory/)).toBeVisible();
    await expect(card.getByText(/about .* left/)).toBeVisible();
    await expect(page).toHaveTitle(/^\d+ % · wanvideo$/);
    await card.getByRole("button", { name: "Cancel" }).click();
    await expect(card).toHaveCount(0, { timeout: 20_000 });
    await expect(page.getByRole("region", { name: "Lately" })).toContainText("a slow circle");
  });
});

test("a failure says what happened, and is tried again with what would help", async ({
  page,
  server,
}) => {
  await server.post("/api/v1/queue/pause");
  await server.post("/api/v1/queue/clear");
  const lora = { name: "slanted", strength: 1 };
  const body = {
    model_type: "T2V-A14B",
    prompt: "a failing circle",
    steps: 4,
    frames: 5,
    loras: [lora],
  };
  const { task_id: id } = await server.post<{ task_id: string }>("/api/v1/generation/submit", body);
  await page.goto("/queue");
  await expect(rows(page).filter({ hasText: "a failing circle" })).toHaveCount(1);

  // A picture that is deleted before the job begins.
  const form = new FormData();
  const [png] = drawn(server.data);
  form.append("file", new Blob([readFileSync(png)]), "x.png");
  const kept = (await (
    await fetch(`${server.url}/api/v1/inputs`, { method: "POST", body: form })
  ).json()) as {
    name: string;
  };
  const asked = {
    ...body,
    model_type: "I2V-A14B",
    prompt: "a lost picture",
    loras: [],
    image_name: kept.name,
  };
  await server.post("/api/v1/generation/submit", asked);
  for (const name of readdirSync(join(server.data, "inputs")))
    rmSync(join(server.data, "inputs", name));
  await server.post("/api/v1/queue/resume");

  const failed = page.getByRole("region", { name: "a lost picture" });
  await expect(failed).toContainText(/picture|image/, { timeout: 60_000 });
  await expect(failed.getByRole("button", { name: "Try again" })).toBeVisible();
  await failed.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByRole("region", { name: "Lately" })).toContainText("a failing circle", {
    timeout: 60_000,
  });
  await expect(failed).toContainText(/picture|image/, { timeout: 60_000 });
  await expect(failed).toContainText("Upload the picture again");
  await expect(failed).toContainText("no longer on the server");
  await failed.getByRole("button", { name: "Change" }).click();
  await expect(page.getByLabel("What happens in the video")).toHaveValue("a lost picture");
  await page.goto("/queue");
  await failed.getByRole("button", { name: "Remove" }).click();
  await expect(failed).toHaveCount(0);
  expect((await server.get<Task>(`/api/v1/queue/${id}`)).state).toBe("succeeded");
});

test("a suggestion that is pressed makes the video", async ({ page, server }) => {
  await server.post("/api/v1/queue/pause");
  await server.post("/api/v1/queue/clear");
  const form = new FormData();
  const torn = `torn-${"and-torn-".repeat(8)}`;
  form.append("file", new Blob([readFileSync(SLANTED)]), `${torn}.safetensors`);
  const added = await fetch(`${server.url}/api/v1/lora/upload`, { method: "POST", body: form });
  expect(added.status).toBe(200);
  const body = { model_type: "T2V-A14B", prompt: "a torn circle", steps: 4, frames: 5, seed: 7 };
  await server.post("/api/v1/generation/submit", {
    ...body,
    loras: [{ name: torn }],
    lora_policy: "fail",
  });
  const loras = join(server.data, "share/wanvideo/loras");
  for (const name of readdirSync(loras))
    if (name.startsWith(torn)) truncateSync(join(loras, name), 100);
  await page.goto("/queue");
  await server.post("/api/v1/queue/resume");

  const failed = page.getByRole("region", { name: "a torn circle" });
  await expect(failed).toContainText("The file of the LoRA is damaged", { timeout: 60_000 });
  await page.setViewportSize({ width: 390, height: 844 }); // where a long name has to be broken
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  await failed.getByRole("button", { name: "Leave the LoRAs out" }).click();
  await expect(page.getByRole("region", { name: "Lately" })).toContainText("a torn circle", {
    timeout: 60_000,
  });
  const { tasks } = await server.get<{ tasks: Made[] }>("/api/v1/queue");
  const made = tasks.find((task) => task.prompt === "a torn circle" && task.state === "succeeded");
  expect(made).toMatchObject({ loras: [], seed: 7 });
});
