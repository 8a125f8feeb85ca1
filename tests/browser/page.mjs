// Uses the page as a person does, in headless Chromium: every flight it offers, with every model it carries.
//
//   node tests/browser/page.mjs --url http://127.0.0.1:3000/ [--screenshot page.png]
//
// Fails where the page complains, or where its prediction and the server's differ by more than 1e-6.
import { parseArgs } from "node:util";
import { open, said } from "./chromium.mjs";

const { values: options } = parseArgs({ options: { url: { type: "string" }, screenshot: { type: "string" } } });
if (!options.url) {
  console.error("usage: node page.mjs --url URL [--screenshot FILE]");
  process.exit(2);
}

try {
  const { page, complaints, close } = await open(options.url);
  try {
    const choices = (id) => page.locator(`#${id} option`).evaluateAll((list) => list.map((option) => option.value));
    await page.locator("#predict:enabled").waitFor();
    const [flights, models] = [await choices("flight"), await choices("model")];
    let largest = 0;
    for (const model of models) {
      await page.selectOption("#model", model);
      for (const flight of flights) {
        await page.selectOption("#flight", flight);
        const { difference } = await page.evaluate(() => window.skewless.run());
        if (!(difference <= 1e-6)) throw new Error(`flight ${flight}, model ${model}: page and server differ by ${difference}`);
        largest = Math.max(largest, difference);
      }
    }
    await page.selectOption("#model", models[0]);
    await page.selectOption("#flight", flights[0]);
    await page.click("#predict");
    await page.getByRole("status").filter({ hasText: "It arrived" }).waitFor();
    if (options.screenshot) await page.screenshot({ path: options.screenshot, fullPage: true });
    if (complaints.length > 0) throw new Error(complaints.join("\n"));
    console.log(JSON.stringify({ flights: flights.length, models, largest_difference: largest }));
  } finally {
    await close();
  }
} catch (error) {
  console.error(`page.mjs: ${said(error)}`);
  process.exit(1);
}
