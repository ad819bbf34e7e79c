// Keeps a page of hookd up to date. Without it each page is whole, and stands still.
"use strict";
const log = document.querySelector("pre[data-follow]");

function line(entry) {
  const row = document.createElement("div");
  row.className = entry.stream;
  const time = document.createElement("time");
  time.textContent = new Date(entry.at).toISOString().slice(11, 19);
  // Controls, and the format characters that reorder or hide what stands beside them.
  row.append(time, entry.text.replace(/(?![\t\n\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd"));
  return row;
}

async function look() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  const main = document.querySelector("main");
  if (next && main.innerHTML !== next.innerHTML) main.replaceWith(next);
}

if (log) {
  const events = new EventSource(log.dataset.follow);
  log.textContent = "";
  events.onmessage = (event) => {
    const atEnd = innerHeight + scrollY >= document.body.scrollHeight - 40;
    log.append(line(JSON.parse(event.data)));
    if (atEnd) scrollTo(0, document.body.scrollHeight);
  };
  // A connection that was cut begins anew, with the first line.
  events.onopen = () => (log.textContent = "");
  events.addEventListener("end", () => {
    events.close();
    look();
  });
} else if (document.querySelector("main[data-live]")) {
  setInterval(() => document.hidden || look().catch(() => {}), 2000);
}
