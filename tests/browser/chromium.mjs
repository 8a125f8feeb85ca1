// One page of a headless Chromium that is on this machine.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** $CHROME, else the first of the usual names in PATH. */
export function executable() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const candidates = process.env.CHROME ? [process.env.CHROME] : NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  const found = candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (!found) throw new Error(`no Chromium (${candidates.length ? NAMES.join(", ") : "PATH is empty"}); run \`cargo xtask setup\`, or set CHROME`);
  return found;
}

/** Opens the page and waits until it can score; fails with what the page itself says. */
export async function open(url, seconds = 120) {
  const browser = await chromium.launch({
    executablePath: executable(),
    headless: true,
    timeout: seconds * 1000,
    // As root there is no sandbox; the page is ours. WebGPU runs on SwiftShader where there is no GPU.
    args: [
      "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
      "--disable-sync", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
    ],
  });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(seconds * 1000);
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    const response = await page.goto(url);
    if (!response?.ok()) throw new Error(`${url} answered ${response?.status()}: ${await response?.text()}`);
    await page.waitForFunction(() => window.skewless !== undefined).catch(() => {
      throw new Error(`${url} is not the Skewless page: ${complaints.join("; ") || "it defines no window.skewless"}`);
    });
    await page.evaluate(() => window.skewless.ready);
    return { page, complaints, close: () => browser.close() };
  } catch (error) {
    await browser.close();
    throw error;
  }
}

/** What went wrong, without the stack of the page. */
export function said(error) {
  return error.message.split("\n    at ")[0].replace(/^page\.\w+: (Error: )?/, "");
}
