// Sends the form without leaving the page, and shows what the database says, once a second.

const form = document.querySelector("form");
const result = document.getElementById("result");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  const email = form.email.value;
  button.disabled = true;
  try {
    const started = performance.now();
    const response = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
    });
    const took = Math.round(performance.now() - started);
    if (response.ok) {
      form.reset();
      say("good", `${email} is signed up (${response.status}, ${took} ms). The mail is on its way.`);
    } else {
      say("bad", `${sentence(await response.text())} (${response.status})`);
    }
    for (const input of [form.email, form.password]) {
      input.setAttribute("aria-invalid", String(response.status === 422 && refuses(input)));
    }
  } catch {
    say("bad", "The server does not answer. Is it still running?");
  } finally {
    button.disabled = false;
    form.email.focus();
  }
  await refresh();
});

// The reasons that the server gives name the field.
function refuses(input) {
  return result.textContent.toLowerCase().includes(input.name);
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + ".";
}

function say(tone, text) {
  result.className = `result ${tone}`;
  result.textContent = text;
}

let shown = "";

async function refresh() {
  let text;
  try {
    const response = await fetch("page.json");
    if (!response.ok) return;
    text = await response.text();
  } catch {
    return;
  }
  // Nothing new: leave the page, and what somebody is selecting in it, alone.
  if (text === shown) return;
  shown = text;
  const { users, mails, tasks } = JSON.parse(text);
  showUsers(users);
  showMails(mails);
  showTasks(tasks);
}

function showUsers(users) {
  fill("users", users.map(userRow), row(cell("", "nobody yet: be the first", "")));
  document.getElementById("users-count").textContent = count(users);
}

function userRow(user) {
  const seconds = (new Date(user.welcomed_at) - new Date(user.created_at)) / 1000;
  const badge = user.welcomed_at
    ? element("span", "badge good", `after ${seconds.toFixed(2)} s`)
    : element("span", "badge wait", "waiting");
  return row(cell(user.usr_id, user.email, badge));
}

function cell(...contents) {
  return contents.map((content) => {
    const td = document.createElement("td");
    td.append(content);
    return td;
  });
}

function row(cells) {
  const tr = document.createElement("tr");
  tr.append(...cells);
  return tr;
}

function showMails(mails) {
  fill("mails", mails.map(mailItem), element("li", "empty", "none yet"));
  document.getElementById("mails-count").textContent = count(mails);
}

function mailItem(mail) {
  const facts = element("div", "facts", "");
  facts.append(
    element("strong", "", mail.subject),
    element("span", "quiet", new Date(mail.received_at).toLocaleTimeString()),
  );
  const item = element("li", "", "");
  item.append(
    facts,
    element("div", "quiet", `to ${mail.recipient}`),
    element("pre", "", mail.body.trim()),
    element("code", "quiet", mail.message_id),
  );
  return item;
}

function showTasks({ waiting = 0, running = 0, discarded = 0, cancelled = 0, invalid = 0 }) {
  const dead = discarded + cancelled + invalid;
  const parts = [`Tasks: ${waiting} waiting, ${running} running`];
  if (dead > 0) parts.push(`${dead} given up`);
  document.getElementById("tasks").textContent = `${parts.join(", ")}.`;
}

function count(rows) {
  return rows.length === 0 ? "" : rows.length < 50 ? `(${rows.length})` : "(the newest 50)";
}

// Text only, never HTML: what people typed is shown here.
function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function fill(id, items, placeholder) {
  document.getElementById(id).replaceChildren(...(items.length > 0 ? items : [placeholder]));
}

refresh();
setInterval(() => document.hidden || refresh(), 1000);
