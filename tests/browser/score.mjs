// Scores rows in the page, in headless Chromium:
//
//   node tests/browser/score.mjs --url http://127.0.0.1:3000/ --input rows.json --output out.json
//
// Input: {"model": "late", "rows": [{…}], "functions": [{"name": …, "args": […]}]}, all optional; an argument may be
// another call. Output: {"predictions": […], "functions": […], "timings": {…}}. NaN and infinities are texts.
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { open, said } from "./chromium.mjs";

const usage = "usage: node score.mjs --url URL --input FILE --output FILE [--timeout SECONDS]";

let options;
try {
  const text = (name) => [name, { type: "string" }];
  options = parseArgs({ options: Object.fromEntries(["url", "input", "output", "timeout"].map(text)) }).values;
} catch (error) {
  console.error(`${error.message}\n${usage}`);
  process.exit(2);
}
if (!options.url || !options.input || !options.output) {
  console.error(usage);
  process.exit(2);
}

try {
  const input = await readFile(options.input, "utf8");
  JSON.parse(input);
  const seconds = Number(options.timeout ?? 120);
  const { page, close } = await open(options.url, seconds);
  try {
    await writeFile(options.output, await page.evaluate((text) => window.skewless.score(text), input));
  } finally {
    await close();
  }
} catch (error) {
  console.error(`score.mjs: ${said(error)}`);
  process.exit(1);
}
