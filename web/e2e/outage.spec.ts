import type { Page } from "@playwright/test";

import { expect, prompt, test } from "./fixtures";

test.use({ outage: true });

/** Whether the app has been open for long enough to have these at hand. */
const hasFetched = (page: Page, ...parts: string[]) =>
  page.evaluate((wanted) => {
    const fetched = performance.getEntriesByType("resource").map(({ name }) => name);
    return wanted.every((part) => fetched.some((name) => name.includes(part)));
  }, parts);

test("a server that is killed in the middle loses nothing", async ({ page, server }) => {
  const body = { model_type: "T2V-A14B", prompt: "a small red circle moves left", steps: 120 };
  const { task_id: id } = await server.post<{ task_id: string }>("/api/v1/generation/submit", body);
  await page.goto("/queue");
  const card = page.getByRole("region", { name: "a small red circle moves left" });
  await expect(card.getByText(/step (\d{2}|\d{3}) of 120/).first()).toBeVisible({
    timeout: 60_000,
  });

  await expect.poll(() => hasFetched(page, "/assets/generate-page", "/api/v1/models")).toBe(true);

  await server.kill();
  await expect(page.getByText("The server does not answer")).toBeVisible();
  await page.getByRole("link", { name: "Create" }).first().click();
  await prompt(page).fill("typed while nobody listens");

  const tryNow = page.getByRole("button", { name: "Try now" });
  await tryNow.click();
  await expect(tryNow).toBeVisible(); // it is still away

  await server.start();
  await expect(page.getByText("The server does not answer")).toHaveCount(0, { timeout: 30_000 });
  await page.reload();
  await expect(prompt(page)).toHaveValue("typed while nobody listens");
  await page.getByRole("link", { name: "Queue" }).first().click();
  await expect
    .poll(async () => (await server.get<{ state: string }>(`/api/v1/queue/${id}`)).state, {
      timeout: 90_000,
    })
    .toBe("succeeded");
  await expect(page.getByRole("region", { name: "Lately" })).toContainText(
    "a small red circle moves left",
  );
});

test("a page that was not fetched before the server went away opens when it is back", async ({
  page,
  server,
}) => {
  await page.route("**/assets/generate-page*", (route) => route.abort("connectionrefused"));
  await page.goto("/queue");
  await expect(page.getByRole("heading", { level: 1, name: "Queue" })).toBeVisible();
  await server.kill();
  await expect(page.getByText("The server does not answer")).toBeVisible();
  await page.getByRole("link", { name: "Create" }).first().click();
  await expect(page.getByText("This page has yet to be fetched")).toBeVisible();
  await expect(page.getByText("The server does not answer")).toBeVisible();

  await page.unrouteAll();
  await server.start();
  await expect(prompt(page)).toBeVisible();
});
