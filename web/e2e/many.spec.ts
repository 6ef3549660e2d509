import { stopwatch } from "./budget";
import { expect, test } from "./fixtures";
import { scrollThrough } from "./scroll";

const MANY = Number(process.env.MANY ?? 10_000);

test.use({ videos: MANY });

test("ten thousand videos scroll, and none is lost @long", async ({ page, server }, info) => {
  test.setTimeout(600_000);
  let asked = 0;
  page.on("request", (request) => {
    if (request.url().includes("/api/v1/outputs?")) asked += 1;
  });
  const start = Date.now();
  await page.goto("/gallery");
  await expect(page.locator("article").first()).toBeVisible();
  const opened = Date.now() - start;
  await expect(page.getByText(`${MANY.toLocaleString("en")} videos`)).toBeVisible();

  const spent = await stopwatch(page);
  const worked = await spent();
  const seen = await scrollThrough(page, MANY, 400);
  const busy = ((await spent()) - worked) / seen.frames;
  const { numbers, ...figures } = seen;
  expect(seen.empty).toBe(0);
  expect(numbers).toEqual(Array.from({ length: MANY }, (_, place) => MANY - place));
  const cards = await page.locator("article").count();
  const before = asked;

  // Something is made meanwhile: the gallery learns of it, and stays where it is.
  const { y } = await page.evaluate(() => ({ y: window.scrollY }));
  const body = {
    model_type: "T2V-A14B",
    prompt: `video ${MANY + 1}: a circle`,
    steps: 2,
    frames: 5,
  };
  await server.post("/api/v1/generation/submit", body);
  await expect(page.getByText(`${(MANY + 1).toLocaleString("en")} videos`)).toBeVisible({
    timeout: 60_000,
  });
  expect(await page.evaluate(() => window.scrollY)).toBe(y);
  await page.waitForLoadState("networkidle");
  const renewed = asked - before;

  await page.evaluate(() => window.scrollTo(0, 0));
  await expect(page.locator("article").first()).toContainText(`video ${MANY + 1}:`);
  const search = Date.now();
  await page.getByRole("searchbox").fill("video 711:");
  await expect(page.locator("article")).toHaveCount(1);
  const found = Date.now() - search;
  info.annotations.push({
    type: "figures",
    description: JSON.stringify({
      ...figures,
      busy,
      opened,
      cards,
      requests: before,
      renewed,
      found,
    }),
  });
});
