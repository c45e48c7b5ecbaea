// Drives the dashboard in a real browser: every page and every deed, at the root and behind a proxy that strips a prefix,
// in both colour schemes, on a desk's width and on a phone's.
//
//     cargo build -p taskq-tests --bin browsed
//     npm ci && node browser.mjs [the built program] [a folder for pictures]
//
// It fails on an error in the console, a request to another host, a page that is wider than its window, what axe finds, and
// a route of `routes.txt` that it has not asked for.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const program = process.argv[2] ?? "../../target/debug/browsed";
const pictures = process.argv[3] ?? "../../target/dashboard-pictures";
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const routes = readFileSync(new URL("routes.txt", import.meta.url), "utf8").trim().split("\n");
const DESK = { width: 1280, height: 900 };
const PHONE = { width: 375, height: 740 };
// A part alone, for whoever works on it.
const only = process.env.ONLY;
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
  const child = spawn(program, { stdio: ["ignore", "pipe", "inherit"] });
  const link = await new Promise((resolve, reject) => {
    child.on("exit", () => reject(new Error("the program ended")));
    child.stdout.on("data", (data) => {
      const found = /http:\/\/\S+/.exec(String(data));
      if (found) resolve(new URL(found[0]));
    });
  });
  return { child, link };
}

// Hands on what is asked below the prefix, without the prefix.
async function proxy(target, prefix) {
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
  return { server, base: `http://127.0.0.1:${server.address().port}${prefix}` };
}

// One server and one browser, and what was asked of it.
class Site {
  constructor(browser, base, token, place) {
    Object.assign(this, { browser, base, token, place, asked: new Set() });
  }

  // A visitor who has opened the link.
  async visitor(options = {}, refused = []) {
    const context = await this.browser.newContext({ viewport: DESK, ...options });
    const page = await context.newPage();
    this.watch(page, refused);
    await page.goto(`${this.base}/${this.token}`);
    await page.waitForURL(/overview$/);
    return { context, page };
  }

  watch(page, refused = []) {
    page.on("console", (message) => {
      // The browser says so of each answer that refuses something.
      const isRefusal = refused.some((status) => message.text().includes(`status of ${status}`));
      // Other tests on this machine make networks, and the browser asks again.
      if (message.text().includes("ERR_NETWORK_CHANGED")) return;
      expect(message.type() !== "error" || isRefusal, `${page.url()}: console: ${message.text()} ${message.location().url}`);
    });
    page.on("pageerror", (error) => expect(false, `${page.url()}: ${error}`));
    page.on("dialog", (dialog) => {
      expect(false, `${page.url()}: a script ran: ${dialog.message()}`);
      return dialog.dismiss();
    });
    page.on("request", (request) => {
      const { origin, pathname } = new URL(request.url());
      const { origin: own, pathname: prefix } = new URL(this.base);
      expect(origin === own, `a request elsewhere: ${request.url()}`);
      this.asked.add(`${request.method()} ${pathname.slice(prefix === "/" ? 1 : prefix.length + 1)}`);
    });
  }
}

// A picture is for people to look at, and no check: a busy machine may refuse to take one.
async function picture(page, name, options = {}) {
  const path = `${pictures}/${name}.png`;
  await page.screenshot({ path, ...options }).catch((error) => console.error(`no picture ${path}: ${error.message.split("\n")[0]}`));
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

// Sends a form of the page as a person does: opens what it is folded into, fills it in, and presses its button. `of` are
// hidden fields by which it is known among others, as it is by those that are filled in.
async function send(page, action, { of = {}, fill = {}, value } = {}) {
  const hidden = Object.entries(of).map(([name, value]) => `:has(input[name="${name}"][value=${JSON.stringify(String(value))}])`);
  const fields = Object.keys(fill).map((name) => `:has([name="${name}"]:not([type=hidden]))`);
  const known = [...hidden, ...fields].join("");
  const form = page.locator(`main form[action="${action}"]${known}, main form:has([formaction="${action}"])${known}`).first();
  const own = form.locator(`button[formaction="${action}"]`);
  const button = value ? form.locator(`button[value="${value}"]`) : (await own.count()) ? own : form.locator("button:not([formaction])").first();
  await button.evaluate((it) => {
    for (let fold = it.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  });
  for (const [name, text] of Object.entries(fill)) {
    const field = form.locator(`[name="${name}"]`);
    if (await field.evaluate((it) => it.tagName === "SELECT")) await field.selectOption(text);
    else await field.fill(text);
  }
  const answered = page.waitForResponse((it) => it.request().method() === "POST");
  await button.click();
  const answer = await answered;
  await page.waitForLoadState();
  return answer.status();
}

// Does it, and sees that the page says so.
async function done(page, action, options) {
  const status = await send(page, action, options);
  expect(status === 303, `${action}: ${status} ${await page.textContent("main")}`);
  const said = await page.locator("[role=status]").textContent({ timeout: 5000 }).catch(() => "");
  expect(said.includes("✓"), `after ${action} the page says what was done`);
}

// Confirms what was frozen, however many they are, and says why.
async function confirm(page, { reason } = {}) {
  await page.waitForURL(/bulk\?id=/);
  if (reason) await page.locator('form[action="run-bulk"] [name=reason]').fill(reason);
  const typed = page.locator("#typed");
  const number = /Type ([\d,]+)/.exec(await page.textContent("main"));
  if (number) await typed.fill(number[1]);
  await page.locator('form[action="run-bulk"] button').first().click();
  await page.getByText("It has ended.").waitFor({ timeout: 60000 });
}

async function deadTask(page, site) {
  await page.goto(`${site.base}/tasks?q=state%3Adead+type%3Asend_card`);
  return page.locator("[data-id] a").first().getAttribute("href");
}

// Each page as it is, in each look.
async function looks(site) {
  const { context: first, page: start } = await site.visitor();
  const dead = await deadTask(start, site);
  await start.goto(`${site.base}/bulks`);
  const bulk = await start.locator('main a[href^="bulk?id="]').first().getAttribute("href");
  const state = await first.storageState();
  await first.close();
  const pages = ["overview", "overview?hours=6", "tasks", "tasks?q=state%3Adead", "tasks?q=state%3Adied+queue%3Amail+type%3Asend_card", "tasks?q=stat", dead, "causes", "queues", "limits", "schedules", "schedule?name=nightly", "workers", "bulks", bulk, "enqueue?type=charge_card", "audit", "nothing"];
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, viewport] of [["desk", DESK], ["phone", PHONE]]) {
      const context = await site.browser.newContext({ colorScheme, viewport, storageState: state });
      for (const path of pages) {
        const page = await context.newPage();
        const expected = path === "nothing" ? 404 : 200;
        site.watch(page, [404]);
        const answer = await page.goto(`${site.base}/${path}`);
        expect(answer.status() === expected, `${path}: ${answer.status()}`);
        const file = path.replace(/\W+/g, "-");
        await picture(page, `${site.place}-${colorScheme}-${name}-${file}`, { fullPage: true });
        await check(page, `${site.place} ${colorScheme} ${name} ${path}`);
        await page.close();
      }
      await context.close();
    }
  }
}

// Turns to the form in which a payload is written as a whole.
async function asJson(page) {
  const link = page.locator("main form a", { hasText: "Write it as JSON" }).first();
  if (await link.count()) await page.goto(new URL(await link.getAttribute("href"), page.url()).href);
}

// What somebody does with one task: its payload is edited, it is put off, run, cancelled and deleted.
async function oneTask(page, site) {
  await page.goto(`${site.base}/${await deadTask(page, site)}`);
  await asJson(page);
  await done(page, "edit", { fill: { payload: '{"usr_id": 7, "locale": "de"}', at: "2h", reason: "it had no locale" } });
  await done(page, "retry", { fill: { at: "3h" } });
  await done(page, "cancel", { fill: { reason: "the user is gone" } });
  await done(page, "discard");
  await page.goto(`${site.base}/enqueue?type=send_card`);
  await page.getByLabel("usr_id").fill("9007199254740993");
  await page.getByLabel("locale").fill(' de "at" <b>');
  expect((await send(page, "enqueue")) === 422, "a payload that does not fit is refused");
  expect((await page.textContent(".hint strong")).includes("expected u32"), "what is wrong stands at its field");
  expect((await page.getByLabel("locale").inputValue()) === ' de "at" <b>', "what was typed is there again");
  await picture(page, `${site.place}-enqueue-refused`);
  await check(page, `${site.place} enqueue refused`);
  await page.getByLabel("usr_id").fill("3");
  await done(page, "enqueue", { fill: { at: "1h" } });
}

// What somebody says to queues, types, keys, schedules and workers.
async function words(page, site) {
  const go = (path) => page.goto(`${site.base}/${path}`);
  await go("overview");
  await done(page, "resume", { of: { name: "billing" } });
  await go("overview");
  await done(page, "acknowledge", { fill: { reason: "it is meant so", until: "7d" } });
  await page.locator("summary", { hasText: "1 acknowledged" }).click();
  await picture(page, `${site.place}-acknowledged`, { fullPage: true });
  await check(page, `${site.place} the overview with what is acknowledged`);
  await done(page, "unacknowledge");
  await go("overview");
  await done(page, "reset-limits", { of: { name: "exports" } });
  await go("overview");
  await done(page, "take-back");
  await go("overview");
  await done(page, "end-session");
  await go("queues");
  await done(page, "pause", { of: { name: "render_video" }, fill: { reason: "the disk is slow", until: "2h" } });
  await done(page, "resume", { of: { name: "render_video" } });
  await go("limits");
  await done(page, "limit", { fill: { name: "media", concurrency: "2", reason: "the disk is slow" } });
  await done(page, "reset-limits", { of: { name: "media" } });
  await done(page, "weight", { fill: { type: "draw_report", key: '{"tenant_id": 2}', weight: "5" } });
  await done(page, "weight", { of: { type: "draw_report" } });
  await done(page, "skip-dead");
  await go("schedules");
  await done(page, "run-schedule", { of: { name: "weekly_digest" } });
  await go("schedules");
  await page.getByText("last run by hand").waitFor();
  await go("schedule?name=weekly_digest");
  expect((await send(page, "upsert-schedule", { fill: { timezone: "Europe/Zurick", reason: "Mondays here" } })) === 422, "a zone that is none is refused");
  expect((await page.textContent("[role=alert]")).includes("did you mean `Europe/Zurich`?"), "it says which zone may be meant");
  await picture(page, `${site.place}-schedule-refused`, { fullPage: true });
  await check(page, `${site.place} a schedule that is refused`);
  await done(page, "upsert-schedule", { fill: { timezone: "Europe/Zurich" } });
  await picture(page, `${site.place}-schedule-changed`, { fullPage: true });
  await page.getByRole("button", { name: "Run weekly_digest now" }).click();
  await page.getByText("The task of the schedule is enqueued").waitFor();
  await go("schedule");
  await done(page, "upsert-schedule", { fill: { name: "hourly", expression: "0 * * * *", type: "nightly" } });
  await go("schedules");
  await done(page, "pause", { of: { name: "nightly" } });
  await done(page, "resume", { of: { name: "nightly" } });
  await done(page, "remove-schedule", { of: { name: "weekly_digest" } });
  await go("workers");
  await done(page, "forget-worker");
  await done(page, "stop-worker", { fill: { reason: "its host is changed" } });
}

// What somebody does to all that match.
async function all(page, site) {
  // The one that somebody else began.
  await page.goto(`${site.base}/bulk?id=1`);
  await done(page, "stop-bulk");
  await picture(page, `${site.place}-bulk-stopped`);
  await check(page, `${site.place} a stopped operation`);
  await send(page, "run-bulk");
  await page.getByText("It has ended.").waitFor({ timeout: 60000 });
  await page.goto(`${site.base}/causes`);
  await send(page, "freeze", { value: "discard" });
  await picture(page, `${site.place}-bulk-frozen`);
  await check(page, `${site.place} a frozen operation`);
  await done(page, "drop-bulk");
  await page.goto(`${site.base}/causes`);
  await done(page, "retry-one");
  await page.waitForTimeout(3000);
  await picture(page, `${site.place}-retry-one`, { fullPage: true });
  await check(page, `${site.place} one that was retried first`);
  await page.goto(`${site.base}/causes`);
  await send(page, "freeze", { value: "retry" });
  await confirm(page);
  await picture(page, `${site.place}-bulk-ended`);
  await page.goto(`${site.base}/tasks?q=type%3Asend_letter`);
  await send(page, "freeze", { value: "cancel" });
  await confirm(page, { reason: "by hand" });
  expect((await page.textContent("main")).includes(": by hand"), "an operation says why it was done");
  for (const path of ["audit", "bulks"]) {
    await page.goto(`${site.base}/${path}`);
    await picture(page, `${site.place}-${path}-after`);
    await check(page, `${site.place} ${path} with entries`);
  }
}

// Script in whatever somebody can write.
async function script(page, site) {
  const text = `"'><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7 * 7 }}`;
  const name = `a/b?c#d % ${text}`;
  await page.goto(`${site.base}/enqueue`);
  await page.locator('[name="unchecked"]').check();
  await done(page, "enqueue", { fill: { type: name, queue: name, payload: JSON.stringify({ [text]: text }), reason: text, at: "2h" } });
  const task = page.url();
  await page.goto(`${site.base}/queues`);
  await done(page, "pause", { fill: { scope: "queue", name, reason: text } });
  await page.goto(`${site.base}/limits`);
  await done(page, "limit", { fill: { name, concurrency: "1", reason: text } });
  await page.goto(task);
  await done(page, "cancel", { fill: { reason: text } });
  const filter = encodeURIComponent(`type:"${name.replace(/["\\]/g, "\\$&")}"`);
  for (const path of ["overview", "tasks", `tasks?q=${filter}`, "causes", "queues", "limits", "audit", "bulks", new URL(task).pathname.split("/").pop() + new URL(task).search]) {
    await page.goto(`${site.base}/${path}`);
    await page.waitForTimeout(300);
    await check(page, `${site.place} ${path} with script in its texts`);
    expect((await page.locator("main img, main script").count()) === 0, `${path}: markup of others`);
  }
  await page.goto(`${site.base}/queues`);
  await picture(page, `${site.place}-script`, { fullPage: true });
}

// What moves: a list says how much is new, a form in use stands still, and whoever finds no place loads now and then.
async function live(site) {
  const { context, page } = await site.visitor();
  await page.goto(`${site.base}/tasks?q=type%3Asend_card`);
  await page.getByText("Live", { exact: true }).waitFor({ timeout: 10000 });
  await page.locator(".news:not([hidden])").waitFor({ timeout: 15000 });
  expect(/\d+.* new/.test(await page.textContent(".news")), "a list says how much is new");
  await page.goto(`${site.base}/overview`);
  const before = await page.textContent("#figures");
  await page.waitForFunction((text) => document.querySelector("#figures").textContent !== text, before, { timeout: 15000 }).catch(() => expect(false, "the overview moves"));
  await page.goto(`${site.base}/queues`);
  const field = page.locator('form[action="pause"] input[name=reason]').first();
  await field.evaluate((it) => { it.closest("details").open = true; });
  await field.fill("half a sen");
  await page.waitForTimeout(5000);
  expect((await field.inputValue()) === "half a sen", "what somebody types stays");

  const crowded = await context.newPage();
  site.watch(crowded, [503]);
  await page.goto(`${site.base}/audit`);
  // Not by the page: a browser makes six connections.
  const cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
  const streams = [];
  const crowd = () => Promise.all([...Array(32).keys()].map((number) => new Promise((resolve) => {
    const stream = http.get(`${site.base}/events?page=task&id=${streams.length + number}`, { headers: { cookie }, agent: false }, (answer) => {
      answer.resume();
      resolve(stream);
    });
    stream.on("error", resolve);
  }))).then((more) => streams.push(...more));
  await crowd();
  // What the pages before had is free by now, and taken too.
  await page.waitForTimeout(6000);
  await crowd();
  await crowded.goto(`${site.base}/overview`);
  await crowded.getByText("Every 10 s").waitFor({ timeout: 10000 });
  const then = await crowded.textContent("#figures");
  await crowded.waitForFunction((text) => document.querySelector("#figures").textContent !== text, then, { timeout: 30000 }).catch(() => expect(false, "without a place the page is loaded now and then"));
  streams.forEach((stream) => stream.destroy?.());
  await crowded.getByText("Live", { exact: true }).waitFor({ timeout: 30000 });
  // Until all places are forgotten.
  await page.waitForTimeout(12000);
  await context.close();
}

// The page of the first task that a filter finds, once there is one.
async function taskOf(page, site, filter) {
  const found = page.locator("[data-id] a").first();
  for (let turn = 0; turn < 30; turn += 1) {
    await page.goto(`${site.base}/tasks?q=${encodeURIComponent(filter)}`);
    if (await found.count()) break;
    await page.waitForTimeout(1000);
  }
  return found.getAttribute("href");
}

// What handlers have logged: folded, unfolded, all of it, by keys alone, and while more comes.
async function logged(site) {
  const { context: first, page: start } = await site.visitor();
  const names = { contacts: "type:sync_contacts state:dead", rows: "type:import_row state:dead", feed: "type:follow_feed" };
  for (const name in names) names[name] = await taskOf(start, site, names[name]);
  const state = await first.storageState();
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, viewport] of [["desk", DESK], ["phone", PHONE]]) {
      const context = await site.browser.newContext({ colorScheme, viewport, storageState: state });
      for (const [name, path] of Object.entries(names)) {
        const page = await context.newPage();
        site.watch(page);
        await page.goto(`${site.base}/${path}`);
        await check(page, `${site.place} ${colorScheme} ${width} ${name} with folded lines`);
        await picture(page, `${site.place}-${colorScheme}-${width}-log-${name}-folded`, { fullPage: true });
        await page.locator("details.log, .failure details").evaluateAll((all) => all.forEach((it) => { it.open = true; }));
        await check(page, `${site.place} ${colorScheme} ${width} ${name} with lines`);
        await picture(page, `${site.place}-${colorScheme}-${width}-log-${name}`, { fullPage: true });
        await page.close();
      }
      await context.close();
    }
  }
  await start.goto(`${site.base}/${names.rows}`);
  expect((await start.textContent("details.log summary")).includes("of one call for 5 tasks"), "lines of a batch say so");
  await start.goto(`${site.base}/${names.contacts}`);
  const folds = start.locator("details.log");
  expect((await folds.count()) === 3, "each attempt has its lines");
  expect(!(await start.content()).includes("hunter2"), "no line has a secret");
  await folds.last().locator("summary").focus();
  await start.keyboard.press("Enter");
  const lines = folds.last().locator(".lines");
  await lines.waitFor();
  expect((await folds.last().textContent()).includes("dropped"), "it says that lines were dropped");
  expect(await lines.evaluate((it) => it.scrollTop === 0 && it.lastElementChild.getBoundingClientRect().bottom <= it.getBoundingClientRect().bottom + 1), "the last lines are in view first");
  await start.keyboard.press("Tab");
  await start.keyboard.press("Tab");
  expect(await lines.evaluate((it) => it === document.activeElement), "a key leads to the lines");
  await start.keyboard.press("PageUp");
  await start.waitForFunction(() => document.activeElement.scrollTop < 0, null, { timeout: 5000 }).catch(() => expect(false, "keys scroll the lines"));
  const shown = await lines.locator("li").count();
  await folds.last().getByRole("link", { name: /^Show .* earlier lines$/ }).click();
  await start.waitForURL(/all=/);
  expect((await lines.isVisible()) && (await lines.locator("li").count()) > shown, "earlier lines are shown, and unfolded");
  expect(await folds.last().evaluate((it) => it.getBoundingClientRect().top < innerHeight), "it goes where one was");
  await check(start, `${site.place} all lines`);
  await picture(start, `${site.place}-log-all`);

  // A handler that goes on logging: whoever reads the last lines sees more, and who has scrolled up is left in peace.
  await start.goto(`${site.base}/${names.feed}`);
  const feed = start.locator("details.log");
  await feed.locator("summary").click();
  await start.locator("h1").click();
  const last = () => feed.locator("li").last().textContent();
  const moved = async (before, timeout) => start.waitForFunction((text) => document.querySelector("details.log li:last-child").textContent !== text, before, { timeout }).then(() => true, () => false);
  expect(await moved(await last(), 20000), "the lines of a running attempt move");
  expect(await feed.evaluate((it) => it.open), "what was unfolded stays so");
  await feed.locator(".lines").evaluate((it) => { it.scrollTop = -200; });
  expect(!(await moved(await last(), 8000)), "lines that somebody reads stand still");
  await first.close();
}

// By keys alone, and without a script.
async function otherwise(site) {
  const { context, page } = await site.visitor();
  await page.goto(`${site.base}/overview`);
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
  await page.goto(`${site.base}/overview`);
  expect((await page.getAttribute("html", "data-theme")) === "dark", "dark is remembered elsewhere");
  await context.close();
  const { context: bare, page: plain } = await site.visitor({ javaScriptEnabled: false });
  await plain.goto(`${site.base}/causes`);
  await plain.locator('form[action="freeze"] button[value="retry"]').first().click();
  await confirm(plain);
  await bare.close();
}

// Nobody gets in without the link, and the cookie is out of a script's reach.
async function strangers(site) {
  const context = await site.browser.newContext();
  const page = await context.newPage();
  // Of its own accord the browser asks for an icon beside the prefix.
  site.watch(page, [403, 404]);
  const answer = await page.goto(`${site.base}/overview`);
  expect(answer.status() === 403 && (await answer.text()).includes("open the link"), `a stranger: ${answer.status()}`);
  await page.goto(`${site.base}/${site.token}`);
  await page.waitForURL(/overview$/);
  expect((await page.evaluate(() => document.cookie)) === "", "no script reads the cookie");
  expect(!page.url().includes("token"), "the token is out of the address");
  await context.close();
}

const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
for (const [place, prefix] of [["root", ""], ["prefix", "/a/b"]]) {
  const { child, link } = await serve();
  const front = prefix ? await proxy(link, prefix) : { base: link.origin };
  const site = new Site(browser, front.base, link.search, place);
  const parts = {
    strangers,
    looks,
    logged,
    live,
    otherwise,
    deeds: async () => {
      const { context, page } = await site.visitor({}, [422]);
      for (const part of [oneTask, all, words, script]) await part(page, site);
      await context.close();
    },
  };
  for (const [name, part] of Object.entries(parts)) {
    if (only && !only.split(",").includes(name)) continue;
    await part(site).catch((error) => expect(false, `${place} ${name}: ${error.stack ?? error}`));
    for (const context of browser.contexts()) await context.close();
  }
  if (!only) for (const route of routes) expect(site.asked.has(route), `${place}: nothing asks for ${route}`);
  front.server?.closeAllConnections();
  front.server?.close();
  child.removeAllListeners("exit");
  child.kill("SIGINT");
}
await browser.close();
console.log(`${count} checks, ${faults.length} failed`);
process.exit(faults.length ? 1 : 0);
