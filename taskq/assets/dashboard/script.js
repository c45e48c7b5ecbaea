// What a page does by itself: it follows what changes, and goes where a key leads. Without this it works all the same.
(() => {
  "use strict";
  const body = document.body;
  const news = document.querySelector(".news");
  const lamp = document.querySelector(".live");

  // Makes one element like another, and touches only what differs: focus, open details and scrolled regions stay. A child
  // with an id stays itself where others come before it.
  function morph(from, to) {
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
      from.replaceWith(document.importNode(to, true));
      return;
    }
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    for (const { name } of [...from.attributes]) {
      const isOpen = from.nodeName === "DETAILS" && name === "open";
      if (!to.hasAttribute(name) && !isOpen) from.removeAttribute(name);
    }
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    const fresh = [...to.childNodes];
    const isLeft = new Set(fresh.map(idOf).filter(Boolean));
    const known = new Map([...from.children].map((node) => [idOf(node), node]));
    let at = from.firstChild;
    for (const node of fresh) {
      while (at && idOf(at) && !isLeft.has(idOf(at))) at = removed(at);
      const id = idOf(node);
      const same = id ? known.get(id) : at && !idOf(at) ? at : null;
      if (same === at && at) at = at.nextSibling;
      else from.insertBefore(same ?? document.importNode(node, true), at);
      if (same) morph(same, node);
    }
    while (at) at = removed(at);
  }
  // A form has a field that is named `id`.
  function idOf(node) {
    return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("id") : null;
  }
  function removed(node) {
    const next = node.nextSibling;
    node.remove();
    return next;
  }

  // Whether somebody reads or writes just here: then nothing moves. Who reads log lines has scrolled up from the last one.
  function isInUse(region) {
    const active = document.activeElement;
    if (active && region.contains(active) && active.matches("input, textarea, select, button, summary")) return true;
    if (region.querySelector("details[open]:not(.known) form")) return true;
    if ([...region.querySelectorAll(".lines")].some((it) => it.scrollTop < -1)) return true;
    const selection = getSelection();
    return Boolean(selection && !selection.isCollapsed && region.contains(selection.anchorNode));
  }

  // A list does not jump. It says how much is new.
  function countNew(page) {
    const here = document.querySelector("[data-list]");
    const there = page.querySelector("[data-list]");
    if (!there) return;
    const known = new Set([...document.querySelectorAll("[data-list] [data-id]")].map((row) => row.dataset.id));
    const count = [...there.querySelectorAll("[data-id]")].filter((row) => !known.has(row.dataset.id)).length;
    const most = there.querySelectorAll("[data-id]").length;
    news.hidden = count === 0;
    news.firstElementChild.textContent = `${count}${count === most && here ? " or more" : ""} new`;
  }

  function update(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const region of document.querySelectorAll("[data-live]")) {
      const next = page.getElementById(region.id);
      if (next && !isInUse(region)) morph(region, next);
    }
    countNew(page);
  }
  function light(text) {
    if (!lamp) return;
    lamp.hidden = !text;
    lamp.textContent = text;
  }

  let source = null;
  let turn = 0;
  function follow() {
    if (source || document.hidden || !body.dataset.events) return;
    source = new EventSource(body.dataset.events);
    source.addEventListener("open", () => light("Live"));
    source.addEventListener("page", (event) => update(event.data));
    source.addEventListener("error", () => {
      // Otherwise the browser asks again by itself.
      if (source.readyState === EventSource.CLOSED) reload();
      else light("");
    });
  }
  // There is no place: the page is loaded now and then, until there is one.
  function reload() {
    rest();
    light("Every 10 s");
    turn = setTimeout(async () => {
      const answer = await fetch(location.href).catch(() => null);
      if (answer && answer.ok) update(await answer.text());
      follow();
    }, 10000);
  }
  function rest() {
    clearTimeout(turn);
    if (source) source.close();
    source = null;
    light("");
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : follow()));
  addEventListener("pagehide", rest);
  addEventListener("pageshow", follow);
  follow();

  // Keys: `/` goes to the filter, `g` and a letter to a page, `r` loads again.
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input, textarea, select");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (isGoing) {
      isGoing = false;
      const link = [...document.querySelectorAll("nav [data-key]")].find((it) => it.dataset.key === event.key);
      if (link) link.click();
      return;
    }
    if (event.key === "g") isGoing = true;
    else if (event.key === "r") location.reload();
    else if (event.key === "/") {
      const field = document.querySelector("[role=search] input");
      if (field) {
        event.preventDefault();
        field.focus();
        field.select();
      }
    }
  });

  // A form is sent once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
    setTimeout(() => delete form.dataset.sent, 5000);
  });

  // On a phone the navigation is scrolled to the page in view. (`scrollIntoView` would move where Tab begins.)
  const here = document.querySelector("nav [aria-current]");
  const list = document.querySelector("nav ul");
  if (here && list) list.scrollLeft = here.offsetLeft - (list.clientWidth - here.clientWidth) / 2;
})();
