// Keeps the page as the daemon has it now: asks for it again, and changes only what differs.

const REFRESH_MS = 5000;
const ANSWER_MS = 4000;
const PARTS = ["header.top", "main", "footer"];

const connection = document.getElementById("connection");
const served = new Map(PARTS.map((part) => [part, document.querySelector(part).cloneNode(true)]));
let title = document.title;
let lostSince = null;
let timer = null;
let asking = false;

/** Make `live` what `fresh` is. `last` is what the server sent before: only what differs from it is touched. */
function merge(live, last, fresh) {
  if (last.isEqualNode(fresh)) return;
  const count = fresh.children.length;
  const alike =
    count > 0 &&
    last.children.length === count &&
    live.children.length === count &&
    last.cloneNode(false).isEqualNode(fresh.cloneNode(false)) &&
    ownText(last) === ownText(fresh);
  if (!alike) {
    replace(live, fresh);
    return;
  }
  const pairs = [...live.children].map((child, i) => [child, last.children[i], fresh.children[i]]);
  for (const [child, before, after] of pairs) merge(child, before, after);
}

function ownText(element) {
  return [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("\n");
}

/** Put `fresh` in the place of `live`; what was unfolded stays so, and the focus stays where it was. */
function replace(live, fresh) {
  const made = document.importNode(fresh, true);
  for (const details of live.matches("details") ? [live] : live.querySelectorAll("details[open][id]")) {
    const same = made.id === details.id ? made : made.querySelector(`#${CSS.escape(details.id)}`);
    if (same) same.open = details.open;
  }
  const focused = live.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && [...live.querySelectorAll(focused.localName)].indexOf(focused);
  live.replaceWith(made);
  if (focused) (made.querySelectorAll(focused.localName)[place] ?? made).focus({ preventScroll: true });
}

function spoken(seconds) {
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days) return `in ${days} d ${hours} h`;
  if (hours) return `in ${hours} h ${minutes} min`;
  return minutes ? `in ${minutes} min` : "in less than a minute";
}

/** Write what only the reader's own clock and time zone can say. */
function localise() {
  for (const element of document.querySelectorAll("[data-countdown]")) {
    const seconds = (Date.parse(element.dataset.countdown) - Date.now()) / 1000;
    write(element, seconds > 0 ? spoken(seconds) : "held by now; results appear hours later");
  }
  for (const element of document.querySelectorAll("[data-your-time]")) {
    const moment = new Date(element.dataset.yourTime);
    const shown = moment.toLocaleString("en-GB", {
      weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
    });
    write(element, `, ${shown} where you are`);
  }
  for (const element of document.querySelectorAll("time[datetime*=T]:not([title])")) {
    element.title = `${new Date(element.dateTime).toLocaleString("en-GB")} where you are`;
  }
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function show(text) {
  connection.hidden = !text;
  write(connection, text);
  document.documentElement.classList.toggle("lost", Boolean(text));
  document.title = text ? "not connected · Helios Agent" : title;
}

export async function refresh() {
  clearTimeout(timer);
  if (asking || document.visibilityState === "hidden") return;
  asking = true;
  try {
    const answer = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    // A reader who is marking text would lose the mark; the next refresh brings what this one leaves out.
    if (document.getSelection()?.isCollapsed ?? true) adopt(fresh);
    lostSince = null;
    show("");
  } catch {
    lostSince ??= new Date();
    show(`Not connected since ${lostSince.toLocaleTimeString("en-GB")}. What you see is what was last known.`);
  }
  asking = false;
  timer = setTimeout(refresh, REFRESH_MS);
}

function adopt(fresh) {
  for (const part of PARTS) {
    const after = fresh.querySelector(part);
    if (!after) throw new Error(`the answer has no ${part}`);
    merge(document.querySelector(part), served.get(part), after);
    served.set(part, after);
  }
  title = fresh.title;
  localise();
}

document.addEventListener("visibilitychange", refresh);
setInterval(localise, 1000);
localise();
timer = setTimeout(refresh, REFRESH_MS);
