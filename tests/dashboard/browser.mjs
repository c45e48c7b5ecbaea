// Drives the dashboard in a real browser: every page and the main deeds, at the root and behind a proxy that strips a
// prefix, in both colour schemes, on a desk's width and on a phone's.
//
//     cargo build --example dashboard
//     npm ci && node browser.mjs [the built example] [a folder for pictures]
//
// It fails on an error in the console, a request to another host, a page that is wider than its window, and on what
// axe finds.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const example = process.argv[2] ?? "../../target/debug/examples/dashboard";
const pictures = process.argv[3] ?? "../../target/dashboard-pictures";
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(pictures, { recursive: true });

const faults = [];
let count = 0;
function expect(condition, what) {
  count += 1;
  if (!condition) {
    faults.push(what);
    console.error(`FAILED ${what}`);
  }
}

async function serve() {
  const child = spawn(example, { env: { ...process.env, ADDR: "127.0.0.1:0" }, stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve, reject) => {
    child.on("exit", () => reject(new Error("the example ended")));
    child.stdout.on("data", (data) => {
      const found = /http:\/\/[^\s/]+/.exec(String(data));
      if (found) resolve(found[0]);
    });
  });
  return { child, url };
}

// Hands on what is asked below the prefix, without the prefix.
async function proxy(url, prefix) {
  const target = new URL(url);
  const server = http.createServer((request, response) => {
    if (!request.url.startsWith(`${prefix}/`)) {
      response.writeHead(404).end();
      return;
    }
    const options = { host: target.hostname, port: target.port, method: request.method, headers: request.headers, path: request.url.slice(prefix.length) };
    const asked = http.request(options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    asked.on("error", () => response.destroy());
    response.on("close", () => asked.destroy());
    request.pipe(asked);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, url: `http://127.0.0.1:${server.address().port}${prefix}` };
}

function watch(page, base) {
  page.on("console", (message) => {
    // The browser says so of each answer that refuses something, and one of them is meant to.
    const isRefusal = message.text().includes("status of 422");
    expect(message.type() !== "error" || isRefusal, `${page.url()}: console: ${message.text()}`);
  });
  page.on("pageerror", (error) => expect(false, `${page.url()}: ${error}`));
  page.on("request", (request) => {
    expect(request.url().startsWith(`${new URL(base).origin}/`), `a request elsewhere: ${request.url()}`);
  });
}

// A picture is for people to look at, and no check: a busy machine may refuse to take one.
async function picture(page, options) {
  await page.screenshot(options).catch((error) => console.error(`no picture ${options.path}: ${error.message.split("\n")[0]}`));
}

async function check(page, what) {
  const width = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  expect(width[0] <= width[1], `${what}: ${width[0]} wide in a window of ${width[1]}`);
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  for (const it of found.violations) {
    expect(false, `${what}: axe ${it.id} (${it.impact}): ${it.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
  }
  count += found.passes.length;
}

const first = async (page, selector) => page.locator(selector).first();

// Each page as it is, in each look.
async function looks(browser, base, place) {
  const dead = await deadTask(browser, base);
  const pages = ["overview", "tasks", "tasks?q=state%3Adead", "tasks?q=stat", "causes", "queues", "limits", "schedules", "workers", "bulks", "enqueue?type=send_card", "audit", dead, "nothing"];
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, viewport] of [["desk", { width: 1280, height: 900 }], ["phone", { width: 375, height: 740 }]]) {
      const context = await browser.newContext({ colorScheme, viewport });
      for (const path of pages) {
        const page = await context.newPage();
        if (path !== "nothing") watch(page, base);
        const answer = await page.goto(`${base}/${path}`);
        expect(answer.status() === (path === "nothing" ? 404 : 200), `${path}: ${answer.status()}`);
        await check(page, `${place} ${colorScheme} ${name} ${path}`);
        const file = path.replace(/\W+/g, "-");
        await picture(page, { path: `${pictures}/${place}-${colorScheme}-${name}-${file}.png`, fullPage: name === "phone" });
        await page.close();
      }
      await context.close();
    }
  }
}

async function deadTask(browser, base) {
  const page = await browser.newPage();
  await page.goto(`${base}/tasks?q=state%3Adead`);
  const link = await page.locator("[data-id] a").first().getAttribute("href");
  await page.close();
  return link;
}

async function said(page, text) {
  const status = await page.locator("[role=status]").textContent();
  expect(status.includes(text), `after a deed: ${status}, and not ${text}`);
}

// What somebody does on a bad morning, with the page alone.
async function deeds(browser, base, place) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  watch(page, base);
  await page.goto(`${base}/overview`);
  await page.getByRole("button", { name: "Resume the queue" }).click();
  await said(page, "It is resumed.");
  await page.getByRole("button", { name: "Reset the limit" }).click();
  await said(page, "What programs declare holds again.");
  expect((await page.getByRole("button", { name: "Resume the queue" }).count()) === 0, "the pause is gone");

  // All of a cause.
  await page.goto(`${base}/causes`);
  const total = (await (await first(page, ".causes .count")).textContent()).trim();
  await page.getByRole("button", { name: "Retry all…" }).first().click();
  await page.waitForURL(/bulk\?id=/);
  const button = page.getByRole("button", { name: /^Retry [\d,]+ tasks$/ });
  expect((await button.count()) === 1, `the button has the number, about ${total}`);
  const typed = page.locator("#typed");
  if (await typed.count()) await typed.fill(/Type (\d+)/.exec(await page.textContent("main"))[1]);
  await button.click();
  await page.getByText("It has ended.").waitFor({ timeout: 20000 });

  // One task: its payload is edited, it is put off, run, and cancelled.
  await page.goto(`${base}/tasks?q=state%3Adead`);
  await page.locator("[data-id] a").first().click();
  await page.getByText("Edit the payload, and retry").click();
  await page.getByLabel("usr_id").fill("7");
  await page.getByLabel("locale").fill("de");
  await page.locator("#edit-at").fill("2h");
  await page.locator("#edit-why").fill("it had no locale");
  await page.getByRole("button", { name: "Save and retry" }).click();
  await said(page, "with its new payload");
  await page.locator("#at").fill("3h");
  await page.getByRole("button", { name: "Run then" }).click();
  await said(page, "The task waits to run.");
  await page.getByRole("button", { name: "Cancel" }).click();
  await said(page, "The task is cancelled.");
  await page.getByRole("button", { name: "Discard" }).click();
  await said(page, "The task is deleted.");

  // Pause with a reason, by name; limit; enqueue.
  await page.goto(`${base}/queues`);
  await page.getByText("Pause by name").click();
  await page.locator("#name").fill("a/b?c#d %<script>");
  await page.locator("#why").fill("to see it");
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await said(page, "It is paused");
  await page.getByRole("button", { name: "Resume" }).first().click();
  await said(page, "It is resumed.");
  await page.goto(`${base}/limits`);
  const summary = page.getByText("Limit something now");
  if (!(await page.locator("#concurrency").isVisible())) await summary.click();
  await page.locator("#name").fill("media");
  await page.locator("#concurrency").fill("2");
  await page.getByRole("button", { name: "Limit", exact: true }).click();
  await said(page, "The limit holds.");
  await page.getByRole("button", { name: "Reset" }).first().click();
  await said(page, "What programs declare holds again.");
  await page.goto(`${base}/enqueue?type=send_card`);
  await page.getByLabel("usr_id").fill("9007199254740993");
  await page.getByLabel("locale").fill(' de "at" <b>');
  await page.getByRole("button", { name: "Enqueue" }).click();
  expect((await page.textContent(".hint strong")).includes("expected u32"), "what is wrong stands at its field");
  expect((await page.getByLabel("locale").inputValue()) === ' de "at" <b>', "what was typed is there again");
  await check(page, `${place} enqueue refused`);
  await picture(page, { path: `${pictures}/${place}-enqueue-refused.png` });
  await page.getByLabel("usr_id").fill("3");
  await page.locator("#at").fill("1h");
  await page.getByRole("button", { name: "Enqueue" }).click();
  await said(page, "The task is enqueued.");
  await page.goto(`${base}/schedules`);
  await page.getByRole("button", { name: "Run now" }).first().click();
  await said(page, "The task of the schedule is enqueued.");
  await page.goto(`${base}/audit`);
  expect((await page.textContent("main")).includes("it had no locale"), "the audit has the reason");
  await check(page, `${place} audit with entries`);
  await page.goto(`${base}/bulks`);
  await check(page, `${place} bulks with entries`);
  await picture(page, { path: `${pictures}/${place}-bulks-after.png` });
  await context.close();
}

// What moves: a list says how much is new, a form in use stands still, a hidden page asks nothing.
async function live(browser, base, place) {
  const context = await browser.newContext();
  const page = await context.newPage();
  watch(page, base);
  await page.goto(`${base}/tasks?q=type%3Asend_card`);
  await page.locator(".live:not([hidden])").waitFor({ timeout: 10000 });
  await page.locator(".news:not([hidden])").waitFor({ timeout: 15000 });
  expect(/\d+.* new/.test(await page.textContent(".news")), "a list says how much is new");
  await page.goto(`${base}/overview`);
  const before = await page.textContent("#figures");
  await page.waitForFunction((text) => document.querySelector("#figures").textContent !== text, before, { timeout: 15000 }).catch(() => {});
  await page.goto(`${base}/queues`);
  await page.getByText("Pause…").first().click();
  const field = page.locator(".pop[open] input[name=reason]");
  await field.fill("half a sen");
  await page.waitForTimeout(5000);
  expect((await field.inputValue()) === "half a sen", "what somebody types stays");
  await context.close();
}

// By keys alone, and without a script.
async function otherwise(browser, base) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  watch(page, base);
  await page.goto(`${base}/overview`);
  await page.keyboard.press("Tab");
  const stop = await page.evaluate(() => document.activeElement.outerHTML.slice(0, 200));
  expect(stop.includes("Skip to the page"), `the first stop skips the navigation, and is not ${stop}`);
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await page.waitForURL(/\/tasks$/);
  await page.keyboard.press("/");
  await page.keyboard.type("state:dead");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=state%3Adead/);
  await page.getByRole("button", { name: "Dark" }).click();
  expect((await page.getAttribute("html", "data-theme")) === "dark" && page.url().includes("q=state"), "dark is remembered, here");
  await page.goto(`${base}/overview`);
  expect((await page.getAttribute("html", "data-theme")) === "dark", "dark is remembered elsewhere");
  await context.close();
  const bare = await browser.newContext({ javaScriptEnabled: false });
  const plain = await bare.newPage();
  watch(plain, base);
  await plain.goto(`${base}/causes`);
  await plain.getByRole("button", { name: "Retry all…" }).first().click();
  const typed = plain.locator("#typed");
  if (await typed.count()) await typed.fill(/Type (\d+)/.exec(await plain.textContent("main"))[1]);
  await plain.getByRole("button", { name: /^Retry [\d,]+ tasks$/ }).click();
  await plain.getByText("It has ended.").waitFor({ timeout: 20000 });
  await bare.close();
}

const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
for (const [place, prefix] of [["root", ""], ["prefix", "/a/b"]]) {
  const { child, url } = await serve();
  const front = prefix ? await proxy(url, prefix) : { url };
  // Until something has died.
  await new Promise((resolve) => setTimeout(resolve, 15000));
  try {
    await looks(browser, front.url, place);
    await live(browser, front.url, place);
    await otherwise(browser, front.url);
    await deeds(browser, front.url, place);
  } catch (error) {
    expect(false, `${place}: ${error}`);
  }
  front.server?.closeAllConnections();
  front.server?.close();
  child.removeAllListeners("exit");
  child.kill("SIGINT");
}
await browser.close();
console.log(`${count} checks, ${faults.length} failed`);
process.exit(faults.length ? 1 : 0);
