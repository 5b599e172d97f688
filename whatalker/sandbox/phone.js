// Keeps the page equal to the sandbox: events say what changed, this file fetches and draws it.
import { call, setUp } from "./actions.js";
import { bubble, clockTime, make, summary } from "./bubbles.js";

const $ = (id) => document.getElementById(id);
const state = { number: "", waId: "", quote: null, overview: null, messages: [], drawn: new Map(), atEnd: true, typing: false, changes: 0, changing: 0 };
let typingTimer = 0, listTimer = 0;

const notice = (text) => { $("strip").textContent = text; $("strip").hidden = !text; };
const act = setUp(state, notice);
act.redraw = () => drawThread();
state.refreshList = () => refreshList();

state.showQuote = (message) => {
  state.quote = message.id;
  $("quote-who").textContent = message.mine ? "You" : business().name;
  $("quote-text").textContent = summary(message);
  $("quote").hidden = false;
  $("text").focus();
};

const business = () => state.overview.numbers.find((one) => one.phone_number_id === state.number) || state.overview.numbers[0];
const initials = (name) => (name.match(/\p{L}/gu) ? name.split(/\s+/).map((word) => word[0]).slice(0, 2).join("") : "#").toUpperCase();
const person = (waId) => state.overview.contacts.find((one) => one.wa_id === waId) || { wa_id: waId, name: "", online: null, reads: null, stopped: false };
const nameOf = (one) => one.name || `+${one.wa_id}`;
const setting = (one, name) => one[name] ?? state.overview.usual[name];

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`The sandbox answered ${answer.status}.`);
  return answer.json();
}

// One at a time, and once more when asked meanwhile: an older answer never overwrites a newer one.
function oneAtATime(work) {
  let running = null, again = null;
  const run = () => { running = work().finally(() => { running = null; }); return running; };
  return () => {
    if (!running) return run();
    again ??= running.catch(() => {}).then(() => { again = null; return run(); });
    return again;
  };
}

const refreshList = oneAtATime(async () => {
  const before = state.changes;
  state.overview = await get("/_sandbox/phone");
  const numbers = state.overview.numbers;
  if (!numbers.some((one) => one.phone_number_id === state.number)) state.number = numbers[0].phone_number_id;
  $("number-field").hidden = numbers.length < 2;
  if ($("number").options.length !== numbers.length) {
    $("number").replaceChildren(...numbers.map((one) => make("option", { value: one.phone_number_id }, `${one.name} ${one.display}`)));
  }
  $("number").value = state.number;
  const threads = state.overview.threads.filter((one) => one.number === state.number);
  const listed = new Set(threads.map((one) => one.wa_id));
  const others = state.overview.contacts.filter((one) => one.played && !listed.has(one.wa_id)).map((one) => ({ wa_id: one.wa_id, unread: 0, last: null }));
  const focused = document.activeElement?.dataset?.waId;
  $("people").replaceChildren(...[...threads, ...others].map(personRow));
  if (focused) $("people").querySelector(`[data-wa-id="${CSS.escape(focused)}"]`)?.focus();
  for (const button of document.querySelectorAll(".example")) button.hidden = Boolean(threads.length + others.length);
  $("empty-text").textContent = threads.length + others.length ? "Choose a contact to see its phone." : "Choose a contact, or begin with an example.";
  drawChrome(before === state.changes && !state.changing);
});

function personRow(line) {
  const one = person(line.wa_id), name = nameOf(one);
  const last = line.typing ? "typing…" : line.last ? summary(line.last) : one.name ? `+${one.wa_id}` : "";
  const row = make("button", { type: "button", className: "person", onclick: () => open(line.wa_id) },
    make("span", { className: `avatar${setting(one, "online") ? "" : " away"}`, "aria-hidden": "true" }, initials(name)),
    make("span", { className: "name", dir: "auto" }, name),
    line.last ? make("time", { dateTime: new Date(line.last.at * 1000).toISOString() }, clockTime(line.last.at)) : make("span"),
    make("span", { className: "last", dir: "auto" }, last),
    line.unread ? make("span", { className: "count" }, String(line.unread), make("span", { className: "hidden" }, " unread")) : null);
  row.dataset.waId = line.wa_id;
  if (line.wa_id === state.waId) row.setAttribute("aria-current", "true");
  return make("li", {}, row);
}

function drawChrome(switches = true) {
  const chosen = Boolean(state.waId), one = person(state.waId);
  $("chat-title").textContent = chosen ? business().name : "No contact chosen";
  $("chat-avatar").textContent = chosen ? initials(business().name) : "";
  $("chat-avatar").hidden = !chosen;
  for (const id of ["bar", "composer", "habits-body", "log"]) $(id).hidden = !chosen;
  $("empty").hidden = chosen;
  $("habits-none").hidden = chosen;
  $("habits-open").hidden = !chosen;
  if (!chosen) return;
  document.title = `${nameOf(one)} · Phone simulator`;
  $("habits-title").textContent = `${nameOf(one)}’s phone`;
  if (switches) {
    $("online").checked = setting(one, "online");
    $("reads").checked = setting(one, "reads");
    $("stopped").checked = one.stopped;
  }
  $("read-now").hidden = setting(one, "reads");
  $("fact-number").textContent = `+${one.wa_id}`;
  drawNote();
}

function drawNote() {
  $("chat-note").textContent = state.typing ? "typing…" : `${business().display} · you are ${nameOf(person(state.waId))}`;
  $("chat-note").className = state.typing ? "typing" : "";
}

const refreshThread = oneAtATime(async () => {
  if (!state.waId) return;
  const asked = `${state.number}/${state.waId}`;
  const found = await get(`/_sandbox/phone/threads/${asked}`);
  if (asked !== `${state.number}/${state.waId}`) return;
  state.messages = found.messages;
  drawThread();
  state.typing = found.typing_s > 0;
  drawNote();
  clearTimeout(typingTimer);
  if (found.typing_s > 0) typingTimer = setTimeout(() => { state.typing = false; drawNote(); }, found.typing_s * 1000);
  const until = found.window_until * 1000;
  $("fact-window").textContent = until > Date.now() ? `open until ${new Date(until).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" })}` : until ? "closed: only templates arrive" : "not opened yet: write first";
});

function drawThread() {
  const list = $("messages"), known = state.drawn.size;
  const byId = new Map(state.messages.map((one) => [one.id, one]));
  const wanted = [];
  let day = "";
  for (const message of state.messages) {
    const when = new Date(message.at * 1000).toDateString();
    if (when !== day) { day = when; wanted.push(dayMark(message.at)); }
    wanted.push(drawnBubble(message, byId.get(message.reply_to)));
  }
  for (const id of [...state.drawn.keys()]) if (!byId.has(id) && !id.startsWith("day ")) state.drawn.delete(id);
  wanted.forEach((node, index) => { if (list.children[index] !== node) list.insertBefore(node, list.children[index] || null); });
  while (list.children.length > wanted.length) list.lastChild.remove();
  if (state.drawn.size > known && state.messages.at(-1)?.mine) state.atEnd = true;
  toEnd();
}

// The newest message stays in view while the visitor has not scrolled away from it; pictures that load later count too.
function toEnd() { if (state.atEnd) $("log").scrollTop = $("log").scrollHeight; }
$("log").onscroll = () => { const log = $("log"); state.atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60; };
new ResizeObserver(toEnd).observe($("messages"));

function dayMark(at) {
  const date = new Date(at * 1000), key = `day ${date.toDateString()}`;
  if (!state.drawn.has(key)) {
    const today = date.toDateString() === new Date().toDateString();
    const text = today ? "Today" : date.toLocaleDateString([], { day: "numeric", month: "long", year: "numeric" });
    state.drawn.set(key, { node: make("li", { className: "day" }, text) });
  }
  return state.drawn.get(key).node;
}

function drawnBubble(message, quoted) {
  const mark = JSON.stringify([message, quoted && summary(quoted)]);
  const known = state.drawn.get(message.id);
  // A bubble whose menu is open is left alone until the menu closes, or it would vanish under the visitor's hand.
  if (known && (known.mark === mark || known.node.querySelector(".menu"))) return known.node;
  const node = bubble(message, quoted, act);
  const place = known ? [...known.node.querySelectorAll("button, a")].indexOf(document.activeElement) : -1;
  known?.node.replaceWith(node);
  if (place >= 0) node.querySelectorAll("button, a")[place]?.focus();
  state.drawn.set(message.id, { mark, node });
  return node;
}

async function open(waId) {
  if (waId !== state.waId) {
    state.waId = waId;
    state.typing = false;
    state.drawn.clear();
    $("messages").replaceChildren();
    state.atEnd = true;
    act.dropQuote();
  }
  document.body.dataset.view = "chat";
  location.hash = waId;
  drawChrome();
  for (const row of $("people").querySelectorAll(".person")) row.removeAttribute("aria-current");
  $("people").querySelector(`[data-wa-id="${CSS.escape(waId)}"]`)?.setAttribute("aria-current", "true");
  await guarded(refreshThread);
  if (matchMedia("(min-width: 701px)").matches) $("text").focus();
}

async function guarded(work) {
  try { await work(); } catch (error) { notice(error instanceof TypeError ? "The sandbox does not answer. Trying again…" : error.message); }
}

async function add(name, number) {
  const made = await call("/_sandbox/phone/contacts", { wa_id: number, phone_number_id: state.number, ...(name ? { name } : {}) });
  await refreshList();
  await open(made.wa_id);
}

$("add").onsubmit = async (event) => {
  event.preventDefault();
  try {
    await add($("add-name").value.trim(), $("add-number").value.trim());
    $("add").reset();
    $("add-fold").open = false;
    $("add-problem").hidden = true;
  } catch {
    $("add-problem").textContent = "Write the number with its country code, for example +1 650 555 1234.";
    $("add-problem").hidden = false;
    $("add-number").focus();
  }
};
for (const button of document.querySelectorAll(".example")) button.onclick = () => guarded(() => add("Sheena Nelson", "+1 650 555 1234"));
$("back").onclick = () => {
  document.body.dataset.view = "people";
  $("people").querySelector('[aria-current="true"]')?.focus();
};
$("number").onchange = () => {
  state.number = $("number").value;
  const again = state.waId;
  state.waId = "";
  guarded(refreshList).then(() => again && open(again));
};

function listen() {
  const source = new EventSource("/_sandbox/phone/events");
  const everything = () => guarded(async () => { await refreshList(); await refreshThread(); notice(""); });
  source.addEventListener("hello", everything);
  source.onmessage = (event) => {
    const news = JSON.parse(event.data);
    if (news.more || news.changed.includes(`${state.number}/${state.waId}`)) guarded(refreshThread);
    clearTimeout(listTimer);
    listTimer = setTimeout(() => guarded(refreshList), 60);
  };
  source.onerror = () => notice("The sandbox does not answer. Trying again…");
}

guarded(async () => {
  await refreshList();
  const named = location.hash.slice(1);
  if (/^\d+$/.test(named) && state.overview.threads.some((one) => one.wa_id === named)) await open(named);
}).then(listen);
