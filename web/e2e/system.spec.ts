import { expect, test } from "./fixtures";

test("the System page shows who works, and what there is to do by model", async ({
  page,
  server,
}) => {
  const body = { model_type: "T2V-A14B", prompt: "a circle", held: true };
  await server.post("/api/v1/generation/submit", body);
  await server.post("/api/v1/generation/submit", body);
  await page.goto("/system");
  const workers = page.getByRole("region", { name: "Workers", exact: true });
  const {
    workers: [worker],
  } = await server.get<{ workers: { name: string }[] }>("/api/v1/system/workers");
  await expect(workers.getByRole("region", { name: worker?.name ?? "none" })).toContainText("idle");
  const row = page
    .getByRole("region", { name: "To do, by model" })
    .getByRole("row")
    .filter({ hasText: "t2v-A14B-demo" });
  await expect(row.getByRole("cell")).toHaveText(["t2v-A14B-demo", "0", "0", "2"]);
});

test("the System page uses the room that there is", async ({ page }) => {
  for (const [width, columns] of [
    [390, 1],
    [1280, 2],
    [2560, 3],
  ] as const) {
    await page.setViewportSize({ width, height: 900 });
    await page.goto("/system");
    await expect(page.getByRole("heading", { level: 2, name: "Versions" })).toBeVisible();
    const lefts = await page
      .getByRole("heading", { level: 2 })
      .evaluateAll((all) => new Set(all.map((each) => each.getBoundingClientRect().left)).size);
    expect(lefts, `${width} px`).toBe(columns);
  }
});
