import { createHash } from "node:crypto";
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";

import { accessible, expect, test } from "./fixtures";

test.use({ online: true });

const WEIGHTS = "transformer/diffusion_pytorch_model.safetensors";
const PUBLISHED = resolve(import.meta.dirname, "../../src/wanvideo/demo/ti2v-5B-demo", WEIGHTS);

const digest = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

/** Where a downloaded file lies in the cache that all programs share. */
function inCache(data: string, path: string): string {
  const snapshots = join(data, "hub/hub/models--Wan-AI--Wan2.2-TI2V-5B-Diffusers/snapshots");
  const [commit = ""] = readdirSync(snapshots);
  return realpathSync(join(snapshots, commit, path));
}

test("a model is fetched, paused, and goes on where it was", async ({ page, server, hub }) => {
  await page.goto("/models");
  const card = page.getByRole("region", { name: "Wan 2.2 TI2V 5B", exact: true });
  await card.getByRole("combobox", { name: "Form" }).click();
  await page.getByRole("option", { name: /^as published/ }).click();
  await card.getByRole("button", { name: /^Download/ }).click();
  const bar = card.getByRole("progressbar", { name: "Download of Wan 2.2 TI2V 5B" });
  await expect(card.getByText(/ a second · .* left/)).toBeVisible();
  const percent = async () => Number(await bar.getAttribute("aria-valuenow"));
  await expect.poll(percent).toBeGreaterThan(10);

  await card.getByRole("button", { name: "Pause" }).click();
  await expect(card.getByText("Paused")).toBeVisible();
  const reached = await percent();
  expect(reached).toBeLessThan(100);
  await accessible(page);
  await page.reload();
  await expect(card.getByText("Paused")).toBeVisible();
  expect(await percent()).toBeGreaterThanOrEqual(reached);

  hub?.setSpeed(1_000_000);
  await card.getByRole("button", { name: "Go on" }).click();
  await expect(card.getByText("Paused")).toHaveCount(0);
  expect(await percent()).toBeGreaterThanOrEqual(reached);
  await expect(card.getByRole("button", { name: "Verify" })).toBeVisible({ timeout: 60_000 });
  expect(digest(inCache(server.data, WEIGHTS))).toBe(digest(PUBLISHED));

  await card.getByRole("button", { name: "Verify" }).click();
  await expect(card.getByText("All files are as they should be.")).toBeVisible();
  await card.getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("dialog")).toContainText("This frees 10 MB: 10 files.");
  await page.getByRole("button", { name: "Delete the files" }).click();
  await expect(card.getByRole("button", { name: /^Download/ })).toBeVisible();
});
