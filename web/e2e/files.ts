import { readFileSync } from "node:fs";

import type { Locator } from "@playwright/test";

/** Drop a file, as from a folder of the computer. */
export async function drop(onto: Locator, path: string, type: string): Promise<void> {
  const files = await onto.page().evaluateHandle(
    ({ content, type: kind }) => {
      const transfer = new DataTransfer();
      const bytes = Uint8Array.from(atob(content), (char) => char.charCodeAt(0));
      transfer.items.add(new File([bytes], "dropped", { type: kind }));
      return transfer;
    },
    { content: readFileSync(path).toString("base64"), type },
  );
  await onto.dispatchEvent("dragover", { dataTransfer: files });
  await onto.dispatchEvent("drop", { dataTransfer: files });
}
