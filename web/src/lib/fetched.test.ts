import { expect, test, vi } from "vitest";

import { fetched, PartMissing } from "@/lib/fetched";

test("a part that could not be fetched says so, and is not asked for again", async () => {
  const fetch = vi.fn(() =>
    Promise.reject(new TypeError("Failed to fetch dynamically imported module: /page.js")),
  );
  const part = fetched(fetch);
  await expect(part()).rejects.toThrow(PartMissing);
  await expect(part()).rejects.toThrow("/page.js");
  expect(fetch).toHaveBeenCalledTimes(1);
});

test("a part that is there is fetched once", async () => {
  const fetch = vi.fn(() => Promise.resolve("the page"));
  const part = fetched(fetch);
  expect(await part()).toBe("the page");
  expect(await part()).toBe("the page");
  expect(fetch).toHaveBeenCalledTimes(1);
});
