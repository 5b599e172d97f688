/* Keeps the open inbox true: rows, bubbles, counts and countdowns. Its one rule: it hears ids and asks the server for what to show. */
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const inbox = $("#inbox");
  if (!inbox) return;
  const words = JSON.parse(inbox.dataset.words);
  const token = $("meta[name=csrf-token]").content;
  const offset = Number(inbox.dataset.now) - Date.now();
  const serverNow = () => Date.now() + offset;
  let cursor = inbox.dataset.cursor;
  let stream = null, streamFailures = 0, polling = null, offlineSince = 0, below = 0;

  const thread = () => $("#thread");
  const openId = () => thread()?.dataset.open || "";
  const log = () => $("#log");
  const atEnd = () => { const box = log(); return !box || box.scrollHeight - box.scrollTop - box.clientHeight < 80; };
  const toEnd = () => { const box = log(); if (box) box.scrollTop = box.scrollHeight; clearBelow(); };

  async function ask(address, options = {}) {
    const response = await fetch(address, { credentials: "same-origin", ...options, headers: { "HX-Request": "true", "X-CSRFToken": token, ...options.headers } });
    if (response.status === 401) { signedOut(); throw new Error("signed out"); }
    return response;
  }
  async function fragment(address) {
    const response = await ask(address);
    return response.ok ? new DOMParser().parseFromString(await response.text(), "text/html") : null;
  }
  const soon = (wait, act) => { let timer = null; return () => { if (timer) return; timer = setTimeout(() => { timer = null; act(); }, wait); }; };

  /* ---- strip: what has just happened, connection */
  function say(text, tone = "") {
    let line = $("#notices [data-live]");
    if (!line) { line = document.createElement("p"); line.dataset.live = "1"; $("#notices").append(line); }
    line.className = `strip-line ${tone}`; line.textContent = text;
    return line;
  }
  const hush = () => $("#notices [data-live]")?.remove();
  function signedOut() { stopStream(); clearInterval(polling); say(words.signed_out, "bad"); }
  function connected() {
    if (!offlineSince) return;
    if (Date.now() - offlineSince > 5000) { say(words.back, "good"); setTimeout(hush, 4000); }
    offlineSince = 0;
  }
  function disconnected() { if (!offlineSince) offlineSince = Date.now(); }
  setInterval(() => { if (offlineSince && Date.now() - offlineSince > 5000) say(words.offline, "bad"); }, 1000);
  addEventListener("offline", disconnected);
  addEventListener("online", () => { connected(); openStream(); });

  /* ---- list */
  const listArguments = () => inbox.dataset.rows.split("?")[1] || "";
  function sortKey(row, order) {
    if (order === "waiting") return row.dataset.waiting ? [0, Number(row.dataset.waiting)] : [1, -Number(row.dataset.at)];
    if (order === "closing") return Number(row.dataset.until || 0) > serverNow() ? [0, Number(row.dataset.until)] : [1, -Number(row.dataset.at)];
    return [0, -Number(row.dataset.at)];
  }
  const before = (a, b) => a[0] - b[0] || a[1] - b[1];
  function place(row) {
    const list = $("#list-body .rows-list[data-order]"), old = document.getElementById(row.id);
    const focused = old && old.contains(document.activeElement);
    if (!list) { if (!$("#list-body .search-results")) refreshList(); return; }
    row = document.importNode(row, true);
    const grew = !old || Number(row.dataset.at) > Number(old.dataset.at);
    old?.remove();
    const key = sortKey(row, list.dataset.order);
    const next = $$(".row", list).find((other) => before(key, sortKey(other, list.dataset.order)) < 0);
    list.insertBefore(row, next || null);
    if (window.htmx) htmx.process(row);
    if (grew) row.classList.add("arrived");
    mark(); if (focused) $("a", row).focus();
  }
  async function refreshRow(id) {
    const root = inbox.dataset.rows.split("?")[0];
    const page = await fragment(`${root}/${id}?${listArguments()}`);
    if (!page) return;
    takeTabs(page);
    const row = $(".row", page);
    if (row) place(row); else { document.getElementById(`row-${id}`)?.remove(); if (!$("#list-body .row")) refreshList(); }
  }
  function takeTabs(page) {
    const tabs = $("#tabs", page), old = $("#tabs");
    if (!tabs || $("details[open]", old) || old.contains(document.activeElement)) return;
    old.replaceWith(document.importNode(tabs, true)); title();
  }
  const refreshList = soon(300, async () => {
    if ($("#list-body .search-results")) return;
    const page = await fragment(inbox.dataset.rows);
    if (!page) return;
    const box = $("#list-body"), top = box.scrollTop;
    box.replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
    box.scrollTop = top; if (window.htmx) htmx.process(box); mark(); title();
  });
  function mark() {
    for (const link of $$("#list-body .row-link")) {
      const here = link.closest(".row").dataset.id === openId();
      here ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
    }
  }
  function title() {
    const count = $("#tabs")?.dataset.unread || "";
    document.title = document.title.replace(/^\(\d+\+?\) /, "");
    if (count && count !== "0") document.title = `(${count}) ${document.title}`;
  }

  /* ---- thread */
  const entryAddress = (id) => `${thread().dataset.base}/messages/${id}`;
  function put(entry, quietly) {
    const old = document.getElementById(entry.id), list = $$("#log .entries").pop();
    entry = document.importNode(entry, true);
    if (old) { if (!old.querySelector("details[open]") && old.outerHTML !== entry.outerHTML) old.replaceWith(entry); else return; }
    else {
      const end = atEnd();
      const later = $$(":scope > li[data-at]", list).find((other) => Number(other.dataset.at) > Number(entry.dataset.at));
      list.insertBefore(entry, later || null);
      if (end || (entry.dataset.direction === "out" && !quietly)) toEnd();
      else if (entry.dataset.direction === "in") { below += 1; showBelow(); }
    }
    if (window.htmx) htmx.process(entry);
    if (entry.dataset.direction === "in") sawInbound(entry, !old);
  }
  function sawInbound(entry, fresh) {
    const field = $("#writing input[name=seen_message_id]");
    // Only what was on the screen of somebody who looked counts as seen.
    if (fresh && document.visibilityState === "visible" && atEnd() && field) { field.value = entry.id.slice(2); seen(); }
  }
  const seen = soon(400, () => { if (inbox.dataset.works && openId() && document.visibilityState === "visible") ask(`${thread().dataset.base}/seen`, { method: "POST" }).catch(() => {}); });
  function catchUpSeen() {
    if (document.visibilityState !== "visible" || !openId() || !atEnd()) return;
    const last = $$("#log .entry.in").pop(), field = $("#writing input[name=seen_message_id]");
    if (last && field && field.value !== last.id.slice(2)) { field.value = last.id.slice(2); seen(); }
  }
  addEventListener("visibilitychange", catchUpSeen);
  async function refreshEntry(id) {
    const page = await fragment(entryAddress(id));
    const entry = page && $(".entries > li", page);
    if (entry && openId()) put(entry);
  }
  const refreshLog = soon(200, async () => {
    const id = openId();
    if (!id) return;
    const page = await fragment(`${thread().dataset.base}/log`);
    if (page && id === openId()) $$(".entries > li[id]", page).forEach((entry) => put(entry, true));
  });
  const refreshHead = soon(250, async () => {
    const id = openId();
    if (!id || $("#thread-head details[open]") || $("#thread-head, #context")?.contains(document.activeElement)) return;
    const page = await fragment(`${thread().dataset.base}/head?${listArguments()}`);
    if (!page || id !== openId()) return;
    for (const part of ["thread-head", "context"]) {
      const fresh = $(`#${part}`, page), old = document.getElementById(part);
      if (fresh && old && !old.contains(document.activeElement)) { fresh.removeAttribute("hx-swap-oob"); const copy = document.importNode(fresh, true); copy.classList.toggle("shown", old.classList.contains("shown")); old.replaceWith(copy); htmx.process(copy); }
    }
    count();
  });
  function showBelow() {
    const link = $("#new-below");
    if (!link) return;
    link.hidden = !below; link.textContent = below === 1 ? words.below_one : words.below.replace("{n}", below);
  }
  function clearBelow() { below = 0; showBelow(); }
  document.addEventListener("click", (event) => { if (event.target.closest("#new-below")) { event.preventDefault(); toEnd(); catchUpSeen(); } });
  document.addEventListener("scroll", (event) => { if (event.target === log() && atEnd()) { clearBelow(); catchUpSeen(); } }, true);

  /* ---- what we hear */
  const waiting = new Map();
  function heard(told) {
    if (told.event === "number.changed") return refreshList();
    const id = told.conversation_id;
    if (!id) return;
    if (told.event === "gone") { document.getElementById(`row-${id}`)?.remove(); if (!$("#list-body .row")) refreshList(); return; }
    const about = waiting.get(id) || { messages: new Set(), all: false };
    if (told.message_id) about.messages.add(told.message_id); else about.all = true;
    waiting.set(id, about); act();
  }
  const act = soon(120, () => {
    const now = [...waiting]; waiting.clear();
    if (now.length > 8) refreshList();
    for (const [id, about] of now) {
      if (now.length <= 8) refreshRow(id).catch(disconnected);
      if (id !== openId()) continue;
      refreshHead();
      if (about.messages.size && about.messages.size <= 4) about.messages.forEach((message) => refreshEntry(message).catch(disconnected));
      if (about.messages.size > 4 || about.all) refreshLog();
    }
  });
  function refresh() { refreshList(); refreshLog(); refreshHead(); }

  function openStream() {
    if (stream || !window.EventSource || navigator.onLine === false) return;
    stream = new EventSource(`${inbox.dataset.stream}?since=${encodeURIComponent(cursor)}`);
    stream.onopen = () => { streamFailures = 0; stopPolling(); connected(); };
    stream.addEventListener("change", (event) => { connected(); if (event.lastEventId) cursor = event.lastEventId; heard(JSON.parse(event.data)); });
    stream.addEventListener("refresh", (event) => { if (event.lastEventId) cursor = event.lastEventId; refresh(); });
    stream.addEventListener("closed", () => { stopStream(); location.reload(); });
    stream.onerror = () => {
      streamFailures += 1;
      // 503 (enough streams here), or a proxy that lets none through: ask every ten seconds, and try the stream again later.
      if (stream && (stream.readyState === EventSource.CLOSED || streamFailures > 2)) { stopStream(); startPolling(); setTimeout(() => { streamFailures = 0; openStream(); }, 60000); }
    };
  }
  function stopStream() { stream?.close(); stream = null; }
  function startPolling() { if (!polling) { polling = setInterval(poll, 10000); poll(); } }
  function stopPolling() { clearInterval(polling); polling = null; }
  async function poll() {
    try {
      const response = await ask(`${inbox.dataset.changes}?since=${encodeURIComponent(cursor)}`, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(String(response.status));
      const told = await response.json();
      connected();
      const moved = told.cursor !== cursor; cursor = told.cursor;
      if (told.refresh) refresh();
      else { told.events.forEach(heard); if (moved) refreshList(); }
    } catch (error) { disconnected(); }
  }
  addEventListener("pagehide", stopStream);
  addEventListener("pageshow", (event) => { if (event.persisted) { refresh(); openStream(); } });

  /* ---- countdown: the server's clock, minutes; seconds in the last five */
  const announced = new Set();
  function left(ms, exact) {
    const seconds = Math.max(0, Math.floor(ms / 1000)), h = Math.floor(seconds / 3600), m = Math.floor(seconds % 3600 / 60);
    if (seconds >= 4 * 3600) return words.h.replace("{h}", h);
    if (h) return words.hm.replace("{h}", h).replace("{m}", m);
    if (exact && seconds < 300 && m) return `${words.m.replace("{m}", m)} ${words.s.replace("{s}", seconds % 60)}`;
    return m ? words.m.replace("{m}", m) : words.s.replace("{s}", seconds);
  }
  function count() {
    let soonest = Infinity;
    for (const pill of $$(".pill[data-until]")) {
      const ms = Number(pill.dataset.until) - serverNow(), inHead = Boolean(pill.closest("#thread-head"));
      soonest = Math.min(soonest, ms);
      const state = ms <= 0 ? "closed" : ms <= 3600e3 ? "red" : ms <= 4 * 3600e3 ? "amber" : "open";
      if (!pill.classList.contains(state)) { pill.classList.remove("open", "amber", "red", "closed"); pill.classList.add(state); if (inHead) { refreshHead(); if (ms <= 0) closeWindow(); } }
      $(".pill-text", pill).textContent = ms <= 0 ? words.closed_short : words.left.replace("{t}", left(ms, inHead));
      if (ms <= 0) { $("use", pill)?.setAttribute("href", "#i-optout"); delete pill.dataset.until; }
      if (inHead) announce(ms);
    }
    return soonest;
  }
  function announce(ms) {
    // Polite and rare: at 4 h, 1 h, 10 min and when it closes, never each tick.
    for (const mark of [4 * 3600e3, 3600e3, 600e3, 0]) {
      const key = `${openId()}:${mark}`;
      if (ms <= mark && ms > mark - 60e3 && !announced.has(key)) { announced.add(key); say(mark ? words.closes_in.replace("{t}", left(ms)) : words.now_closed, mark ? "" : "bad"); setTimeout(hush, 8000); }
    }
  }
  function closeWindow() { document.dispatchEvent(new CustomEvent("window-closed")); }
  (function tick() { const soonest = count(); setTimeout(tick, soonest < 300e3 ? 1000 : 30000); })();

  /* ---- small comforts */
  document.addEventListener("click", (event) => {
    const toggle = event.target.closest("[data-toggle=context]");
    if (toggle) { const shown = $("#context").classList.toggle("shown"); $$("[data-toggle=context]").forEach((button) => button.setAttribute("aria-expanded", shown)); ($(shown ? ".context-close" : ".context-toggle") || toggle).focus(); }
    for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
    const close = event.target.closest("[data-close=panel]");
    if (close) { event.preventDefault(); $("#panel").replaceChildren(); $("#text")?.focus(); }
    const jump = event.target.closest(".quote");
    const target = jump && document.getElementById(jump.hash.slice(1));
    if (target) { event.preventDefault(); target.scrollIntoView({ block: "center" }); const bubble = $(".bubble", target); bubble.classList.add("flash"); setTimeout(() => bubble.classList.remove("flash"), 1500); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = $("details.menu[open]");
    if (menu) { menu.open = false; $("summary", menu).focus(); return; }
    if ($("#context.shown")) { $("#context").classList.remove("shown"); $(".context-toggle")?.focus(); }
  });
  document.addEventListener("toggle", async (event) => {
    const menu = event.target;
    if (!menu.open || !menu.dataset?.lazy || menu.dataset.loaded) return;
    const page = await fragment(menu.dataset.lazy);
    if (page) { menu.dataset.loaded = "1"; $(".menu-body", menu).replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true))); }
  }, true);
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target?.id === "thread") { clearBelow(); toEnd(); mark(); count(); inboxArguments(); thread().focus({ preventScroll: true }); refreshListRow(); }
  });
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    for (const entry of $$("li[id]", event.detail.fragment)) document.getElementById(entry.id)?.remove();
  });
  document.addEventListener("htmx:oobAfterSwap", () => toEnd());
  for (const name of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(name, () => { disconnected(); say(words.failed, "bad"); });
  function refreshListRow() { if (openId()) refreshRow(openId()).catch(() => {}); }
  function inboxArguments() { $(".panes").dataset.open = openId() ? "thread" : "list"; }
  document.addEventListener("bottom", toEnd);
  if (location.hash.startsWith("#m-") || location.hash.startsWith("#n-")) document.getElementById(location.hash.slice(1))?.scrollIntoView({ block: "center" }); else toEnd();
  for (const line of $$("#notices [data-passing]")) setTimeout(() => line.remove(), 8000);
  openStream();
  if (!window.EventSource) startPolling();
})();
