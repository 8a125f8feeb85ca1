// The page: asks the server for a flight's features, and two places for the prediction from them.
import { call, evaluate, fetchOk, functions, score, start } from "./skewless.js";

const $ = (id) => document.getElementById(id);

/** For tests and for the console. `ready` fails where the page cannot work. */
const ready = start();
window.skewless = {
  ready: ready.then(() => true),
  /** See `score` in skewless.js. */
  score: async (text) => score(await ready, text),
  predict: async (model, rows) => (await (await ready).get(model)).predict(rows),
  signature: async (model) => (await (await ready).get(model)).signature(),
  evaluate,
  call,
  functions,
};

/** Types of the Open Inference Protocol for those of a signature. */
const DATATYPES = { float32: "FP32", float64: "FP64", int32: "INT32", int64: "INT64", bool: "BOOL", string: "BYTES" };

function json(url, body) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  return fetchOk(url, options).then((response) => response.json());
}

/** The features that a model reads, as they were known at the flight's prediction time: `view__feature` to what was found. */
async function fetchFeatures(signature, flight) {
  const names = signature.inputs.map((input) => input.feature).filter((feature) => feature !== null);
  const { carrier, tailnum, origin, dest, distance, scheduled } = flight;
  const known = { carrier, tailnum, origin, dest, distance, scheduled };
  const views = new Set(names.map((name) => name.split(":")[0]));
  const answer = await json("get-online-features", {
    // Whole views: a request-time feature may read one that the model does not.
    features: [...views],
    entities: Object.fromEntries(Object.entries(known).map(([name, value]) => [name, [value]])),
    full_feature_names: true,
    as_of: flight.prediction_time,
  });
  const found = new Map();
  answer.metadata.feature_names.forEach((name, at) => {
    if (name in known) return;
    const result = answer.results[at];
    found.set(name, { value: result.values[0], status: result.statuses?.[0], time: result.event_timestamps?.[0] });
  });
  return found;
}

/** The server's prediction from the same inputs. */
async function ask(signature, row) {
  const inputs = signature.inputs.map(({ name, type }) => ({ name, datatype: DATATYPES[type], shape: [1], data: [row[name]] }));
  const answer = await json(`v2/models/${signature.name}/infer`, { inputs });
  const prediction = {};
  for (const { name, datatype, data } of answer.outputs) {
    // A 32-bit float is written with as few digits as tell it from its neighbours.
    const values = datatype === "FP32" ? data.map(Math.fround) : data;
    const { role, width } = signature.outputs.find((output) => output.name === name);
    prediction[role === "value" ? name : role] = width === null ? values[0] : values;
  }
  return prediction;
}

/** The probability of being late, which every model here gives. */
function shown(prediction) {
  return prediction.probabilities[1];
}

function percent(value) {
  return `${(100 * value).toFixed(2)} %`;
}

function show(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : String(value);
}

async function predict(models, flight) {
  const model = await models.get($("model").value);
  const signature = model.signature();
  const found = await fetchFeatures(signature, flight);
  const row = {};
  for (const { name } of signature.inputs) row[name] = found.has(name) ? found.get(name).value : flight[name] ?? null;

  const started = performance.now();
  const here = model.predict([row])[0];
  const asked = performance.now();
  const there = await ask(signature, row);
  const answered = performance.now();

  const difference = Math.abs(shown(here) - shown(there));
  $("here").value = percent(shown(here));
  $("here-note").textContent = `${(asked - started).toFixed(1)} ms`;
  $("there").value = percent(shown(there));
  $("there-note").textContent = `${(answered - asked).toFixed(1)} ms, network included`;
  $("difference").value = difference === 0 ? "0" : difference.toExponential(1);
  $("difference").className = difference <= 1e-6 ? "equal" : "unequal";
  $("difference-note").textContent = difference === 0 ? "the same bits" : "";
  $("answers").hidden = false;

  $("as-of").textContent = `at ${flight.prediction_time.replace("T", " ").replace(":00Z", " UTC")}`;
  $("rows").replaceChildren(...[...found].map(([name, { value, status }]) => {
    const line = document.createElement("tr");
    for (const text of [name.replace("__", ": "), show(value), status?.toLowerCase() ?? ""]) {
      line.insertCell().textContent = text;
    }
    return line;
  }));
  $("features").hidden = false;
  $("status").textContent = `It arrived ${flight.arr_delay > 15 ? `${flight.arr_delay} minutes late` : "in time"}.`;
  return { here, there, difference };
}

function fail(error) {
  $("status").className = "wrong";
  $("status").textContent = error.message ?? String(error);
}

async function main() {
  const [models, flights] = await Promise.all([ready, fetchOk("flights.json").then((response) => response.json())]);
  $("flight").append(...flights.map((flight, at) => new Option(
    `${flight.carrier} ${flight.flight}, ${flight.origin} to ${flight.dest}, ${flight.scheduled.slice(0, 10)}`, String(at))));
  $("model").append(...models.names.map((name) => new Option(name, name)));
  $("functions").append(...functions().flatMap((entry) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, text.textContent] = [entry.signature, entry.short];
    return [term, text];
  }));
  for (const id of ["flight", "model", "predict"]) $(id).disabled = models.names.length === 0;
  $("status").textContent = models.names.length === 0 ? "This page carries no model yet." : "";

  const run = () => {
    $("status").className = "";
    $("status").textContent = "Asking …";
    return predict(models, flights[Number($("flight").value)]);
  };
  window.skewless.run = run;
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    run().catch(fail);
  });
}

main().catch(fail);
