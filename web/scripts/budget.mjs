/** What a browser loads before the first page shows: no more than 300 kB of gzipped script. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const LIMIT = 300_000;
const built = new URL("../../src/wanvideo/server/static/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", built), "utf8"));

/** A chunk, and all that it cannot start without. */
function needed(key, found = new Set()) {
  const chunk = manifest[key];
  if (!found.has(chunk.file)) {
    found.add(chunk.file);
    (chunk.imports ?? []).forEach((each) => needed(each, found));
  }
  return found;
}

const zipped = (file) => gzipSync(readFileSync(fileURLToPath(new URL(file, built)))).length;
const sum = (files) => [...files].reduce((total, file) => total + zipped(file), 0);
const kilobytes = (size) => String(Math.ceil(size / 1000)).padStart(5);

const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
const lazy = manifest[entry].dynamicImports ?? [];
const base = needed(entry);
const pages = lazy.filter((key) => key.includes("-page."));
const sizes = pages.map((key) => sum(needed(key, new Set(base))));
const texts = Math.max(
  ...lazy.filter((key) => key.includes("/languages/")).map((key) => sum(needed(key))),
);

pages.forEach((key, each) => console.log(`${kilobytes(sizes[each] + texts)} kB  ${key}`));
const worst = Math.max(...sizes) + texts;
console.log(`${kilobytes(worst)} kB of ${LIMIT / 1000} for the largest first page, gzipped`);
if (worst > LIMIT) process.exit(1);
