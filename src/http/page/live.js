// Keeps a page of hookd up to date where it stands, and writes times in the reader's zone. Without it each page is whole.
"use strict";
const main = document.querySelector("main");
const offline = document.querySelector("#offline");
const every = Number(document.body.dataset.every) * 1000;
const parse = (text) => new DOMParser().parseFromString(text, "text/html");

// Times: the text in the reader's zone, the whole with its zone on hover.
const short = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
function age(date) {
  const seconds = Math.max(0, (Date.now() - date) / 1000);
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.floor(seconds / 60))} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86400);
  return days === 1 ? "1 day ago" : `${days} days ago`;
}
function took(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} m`;
}
function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
function times(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    set(time, time.classList.contains("ago") ? age(date) : short.format(date));
    time.title = whole.format(date);
  }
  for (const span of root.querySelectorAll("span[data-since]")) set(span, took(Date.now() - span.dataset.since));
  for (const bar of root.querySelectorAll("progress[data-since]")) {
    bar.value = Math.min(Date.now() - bar.dataset.since, bar.max * 0.95);
  }
}

// Makes `old` what `next` is, and leaves alone what is the same: focus, scroll, selection and what is typed stay.
function morph(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  if (old.hasAttribute("data-keep")) return;
  const own = (name) => (old.localName === "details" && name === "open") || (old.localName === "input" && name === "value");
  for (const { name, value } of next.attributes) if (!own(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!own(name) && !next.hasAttribute(name)) old.removeAttribute(name);
  children(old, next);
}
function key(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id : "";
}
function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);
}
function children(old, next) {
  let at = old.firstChild;
  for (const wanted of [...next.childNodes]) {
    let match = at;
    while (match && !alike(match, wanted)) match = key(wanted) || match === at ? match.nextSibling : null;
    if (!match) {
      old.insertBefore(wanted, at);
      continue;
    }
    if (key(wanted)) {
      if (match !== at) old.insertBefore(match, at);
      else at = at.nextSibling;
    } else {
      while (at !== match) at = remove(at);
      at = at.nextSibling;
    }
    morph(match, wanted);
  }
  while (at) at = remove(at);
}
function remove(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

// Looks at the page again and again; says so when nobody answers.
let since = null;
async function look() {
  const answer = await fetch(location.href, { cache: "no-store", headers: { accept: "text/html" }, signal: AbortSignal.timeout(10000) });
  // The session is over: the log-in page leads back here.
  if (answer.redirected) return location.reload();
  if (!answer.ok) throw new Error(answer.status);
  const next = parse(await answer.text());
  const fresh = next.querySelector("main");
  times(fresh);
  morph(main, fresh);
  document.title = next.title;
  const icon = document.querySelector("link[rel=icon]");
  const href = next.querySelector("link[rel=icon]").getAttribute("href");
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
  document.body.dataset.every = next.body.dataset.every || document.body.dataset.every;
  ready();
}
async function again() {
  if (!document.hidden) {
    try {
      await look();
      since = null;
      offline.hidden = true;
    } catch {
      since = since || new Date();
      set(offline, `Not connected since ${since.toLocaleTimeString()}. What is shown is from before.`);
      offline.hidden = false;
    }
  }
  setTimeout(again, Number(document.body.dataset.every) * 1000);
}

// The log of a deployment that runs: rows as they come, the oldest leave when there are too many.
const MOST = 2000;
const lines = document.querySelector("#lines");
const follow = document.querySelector("#follow");
let stream = null;
function add(rows) {
  for (const row of rows) {
    const phase = row.dataset.phase;
    let fold = lines.lastElementChild;
    if (!fold || fold.dataset.phase !== phase) {
      fold = document.createElement("details");
      fold.className = "fold";
      fold.open = true;
      fold.dataset.phase = phase;
      const summary = document.createElement("summary");
      summary.textContent = phase;
      const body = document.createElement("div");
      body.className = "rows";
      fold.append(summary, body);
      lines.append(fold);
    }
    fold.lastElementChild.append(row);
  }
  let surplus = lines.querySelectorAll(".row").length - MOST;
  for (const row of surplus > 0 ? [...lines.querySelectorAll(".row")].slice(0, surplus) : []) row.remove();
  for (const fold of lines.querySelectorAll(".fold")) if (!fold.querySelector(".row")) fold.remove();
}
function ready() {
  for (const element of document.querySelectorAll("[data-script]")) if (!stream) element.hidden = true;
}
let last = lines && lines.dataset.follow;
function listen() {
  stream = new EventSource(last);
  stream.onmessage = (event) => {
    last = last.replace(/from=.*/, `from=${event.lastEventId}`);
    add([...parse(event.data).body.children]);
    document.querySelector(".silent")?.remove();
    if (follow.checked) lines.scrollTop = lines.scrollHeight;
  };
  stream.addEventListener("end", () => {
    stream.close();
    stream = null;
    look().catch(() => {});
  });
  // The browser asks again by itself when it was cut off, but not when it was refused: too many follow.
  stream.onerror = () => stream && stream.readyState === EventSource.CLOSED && setTimeout(listen, 5000);
}
if (last) {
  listen();
  // Who scrolls up wants to read; who comes back to the end wants to follow.
  let top = lines.scrollTop;
  const atEnd = () => lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 4;
  lines.addEventListener("scroll", () => {
    if (atEnd()) follow.checked = true;
    else if (lines.scrollTop < top) follow.checked = false;
    top = lines.scrollTop;
  });
  lines.scrollTop = lines.scrollHeight;
}

// Earlier lines come before those that are there.
document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a.earlier");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const first = lines.querySelector(".row").id.slice(1);
  const answer = await fetch(`?before=${first}`, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const next = parse(await answer.text());
  const height = lines.scrollHeight;
  lines.prepend(...next.querySelector("#lines").children);
  lines.scrollTop += lines.scrollHeight - height;
  const earlier = next.querySelector("a.earlier");
  if (earlier) set(link, earlier.textContent);
  else link.parentElement.remove();
});

// What is linked to is shown, even in a fold that was closed.
function reveal() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const fold = target && target.closest("details");
  if (fold) fold.open = true;
  if (target) target.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", reveal);
reveal();

times(document);
ready();
setInterval(() => times(document), 1000);
if (every) setTimeout(again, every);
document.addEventListener("visibilitychange", () => document.hidden || look().catch(() => {}));
