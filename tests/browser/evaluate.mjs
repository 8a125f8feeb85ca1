// Evaluates catalog functions with the page's own WebAssembly, in Node:
//
//   node tests/browser/evaluate.mjs target/page/pkg < calls.json > results.json
//
// Input: [{"name": "ml_profile", "args": [[1, 2, null]]}], a column of an aggregate as an array. Output: the results in order.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder] = process.argv.slice(2);
if (!folder) {
  console.error("usage: node evaluate.mjs FOLDER < calls.json");
  process.exit(2);
}
const { evaluate, initSync } = await import(pathToFileURL(resolve(folder, "skewless.js")).href);
initSync({ module: readFileSync(resolve(folder, "skewless_bg.wasm")) });
const calls = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(calls.map(({ name, args }) => evaluate(name, args))));
