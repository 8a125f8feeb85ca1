// What the page and its tests share: models and catalog functions in WebAssembly, and JSON that loses no bit.
import init, { evaluate, functions, loadModel } from "./pkg/skewless.js";

/** The models that this page carries, loaded at first use. */
export class Models {
  #loaded = new Map();

  constructor(names) {
    this.names = names;
  }

  /** @returns {Promise<import("./pkg/skewless.js").Model>} */
  get(name) {
    if (!this.names.includes(name)) {
      throw new Error(`this page has no model ${JSON.stringify(name)}; it has ${this.names.join(", ") || "none"}`);
    }
    if (!this.#loaded.has(name)) {
      this.#loaded.set(name, fetchOk(`models/${name}.skew`).then(async (r) => loadModel(new Uint8Array(await r.arrayBuffer()))));
    }
    return this.#loaded.get(name);
  }
}

/** Starts the WebAssembly module and lists the models. */
export async function start() {
  const [, names] = await Promise.all([init(), fetchOk("models/index.json").then((r) => r.json())]);
  return new Models(names);
}

export async function fetchOk(url, options) {
  const response = await fetch(url, options);
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Error(`${url}: ${problem.detail ?? problem.title ?? response.statusText} (${response.status})`);
  }
  return response;
}

/** A call `{name, args}`, whose arguments may be calls. */
export function call({ name, args }) {
  return evaluate(name, args.map((arg) => (isCall(arg) ? call(arg) : arg)));
}

function isCall(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) && "name" in value && "args" in value;
}

/** Answers `{model?, rows?, functions?: [{name, args}]}` with `{predictions, functions, timings}`, both as JSON text. */
export async function score(models, text) {
  const { model, rows = [], functions: calls = [] } = JSON.parse(text);
  const started = performance.now();
  const loaded = model === undefined ? undefined : await models.get(model);
  const ready = performance.now();
  const predictions = loaded?.predict(rows) ?? [];
  const predicted = performance.now();
  const values = calls.map(call);
  const timings = { load_ms: ready - started, predict_ms: predicted - ready, functions_ms: performance.now() - predicted };
  return toJson({ predictions, functions: values, timings });
}

/** JSON in which NaN and infinities are texts, -0 keeps its sign and a bigint its digits. */
export function toJson(value) {
  if (Array.isArray(value)) return `[${value.map(toJson).join(",")}]`;
  switch (typeof value) {
    case "number":
      if (!Number.isFinite(value)) return `"${value}"`;
      return Object.is(value, -0) ? "-0.0" : String(value);
    case "bigint":
      return String(value);
    case "object":
      if (value === null) return "null";
      return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}:${toJson(item)}`).join(",")}}`;
    default:
      return JSON.stringify(value) ?? "null";
  }
}

export { evaluate, functions };
