// What the visitor does as the contact. Rule: nothing is drawn here; the sandbox's events bring every change to the screen.
import { make } from "./bubbles.js";

const $ = (id) => document.getElementById(id);

export async function call(path, body) {
  const form = body instanceof FormData;
  const answer = await fetch(path, {
    method: "POST",
    headers: form ? {} : { "Content-Type": "application/json" },
    body: form ? body : JSON.stringify(body),
  });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.error || `The sandbox answered ${answer.status}.`);
  return found;
}

export function setUp(state, notice) {
  const attempt = async (work) => {
    try { await work(); notice(""); } catch (error) { notice(error.message); }
  };
  const say = (message) => {
    const quote = state.quote;
    dropQuote();
    return call("/_sandbox/phone/messages", {
      from: state.waId, phone_number_id: state.number, ...(quote && !message.reply_to ? { reply_to: quote } : {}), ...message,
    });
  };
  const dropQuote = () => { state.quote = null; $("quote").hidden = true; };

  setUpComposer(state, attempt, say);
  setUpAttachments(state, attempt, say);
  setUpHabits(state, attempt);
  $("quote-drop").onclick = () => { dropQuote(); $("text").focus(); };
  return {
    dropQuote,
    answer: (message, payload) => attempt(() => say({ ...payload, reply_to: message.id })),
    react: (message, emoji) => attempt(() => call("/_sandbox/phone/messages", { from: state.waId, phone_number_id: state.number, type: "reaction", reaction: { message_id: message.id, emoji } })),
    copy: (code) => attempt(() => navigator.clipboard.writeText(code)),
    jump: (id) => { const found = $(`m-${id}`); found?.scrollIntoView({ block: "center" }); found?.focus(); },
    quote: (message) => state.showQuote(message),
    list: (message) => openList(message, (row) => attempt(() => say({ type: "interactive", interactive: { type: "list_reply", list_reply: row }, reply_to: message.id }))),
  };
}

function setUpComposer(state, attempt, say) {
  const text = $("text");
  const fit = () => { text.style.height = "auto"; text.style.height = `${Math.min(text.scrollHeight + 2, 160)}px`; };
  text.oninput = fit;
  text.onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("composer").requestSubmit(); }
  };
  $("composer").onsubmit = (event) => {
    event.preventDefault();
    const written = text.value;
    if (!written.trim()) return text.focus();
    text.value = "";
    fit();
    text.focus();
    attempt(() => say({ text: written }).catch((error) => { text.value = text.value || written; fit(); throw error; }));
  };
}

function setUpAttachments(state, attempt, say) {
  const menu = $("attach-menu"), opener = $("attach"), file = $("file");
  const toggle = (open) => {
    menu.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    if (open) menu.querySelector("button").focus();
  };
  opener.onclick = () => toggle(menu.hidden);
  document.addEventListener("click", (event) => { if (!menu.hidden && !event.target.closest("#attach, #attach-menu")) toggle(false); });
  menu.onkeydown = (event) => {
    const all = [...menu.querySelectorAll("button")], here = all.indexOf(document.activeElement);
    if (event.key === "Escape") { toggle(false); opener.focus(); }
    if (event.key === "ArrowDown") all[(here + 1) % all.length].focus();
    if (event.key === "ArrowUp") all[(here - 1 + all.length) % all.length].focus();
  };
  menu.onclick = (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    toggle(false);
    if (button.dataset.open) return $(button.dataset.open).showModal();
    file.accept = button.dataset.pick;
    file.dataset.document = button.dataset.pick ? "" : "yes";
    file.value = "";
    file.click();
  };
  file.onchange = () => attempt(() => sendFile(state, say, file.files[0], file.dataset.document === "yes"));
  document.addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files || [])][0];
    if (pasted && state.waId) { event.preventDefault(); attempt(() => sendFile(state, say, pasted, false)); }
  });
  dialog("location-dialog", (data) => attempt(() => say({
    type: "location",
    location: { latitude: Number(data.get("latitude")), longitude: Number(data.get("longitude")), name: data.get("name"), address: data.get("address") },
  })));
  dialog("card-dialog", (data) => attempt(() => {
    const [first, last, phone] = ["first", "last", "phone"].map((name) => data.get(name).trim());
    const name = { first_name: first, last_name: last, formatted_name: `${first} ${last}`.trim() };
    return say({ type: "contacts", contacts: [{ name, phones: [{ phone, wa_id: phone.replace(/\D/g, ""), type: "MOBILE" }] }] });
  }));
}

async function sendFile(state, say, file, asDocument) {
  if (!file) return;
  const text = document.getElementById("text");
  const form = new FormData();
  form.append("phone_number_id", state.number);
  form.append("file", file);
  const { id } = await call("/_sandbox/phone/media", form);
  const family = file.type.split("/")[0];
  const type = !asDocument && ["image", "video", "audio"].includes(family) ? family : "document";
  const caption = type === "audio" ? "" : text.value.trim();
  if (caption) text.value = "";
  await say({ type, media_id: id, filename: file.name, ...(caption ? { caption } : {}) });
}

function dialog(id, send) {
  const box = $(id);
  box.addEventListener("close", () => {
    if (box.returnValue === "send") send(new FormData(box.querySelector("form")));
    box.returnValue = "";
    $("text").focus();
  });
}

function openList(message, send) {
  const { action, body } = message.content, rows = $("list-rows"), box = $("list-dialog");
  $("list-title").textContent = action.button || body?.text || "Choose";
  const known = new Map();
  rows.replaceChildren(...action.sections.map((section) => make("fieldset", {},
    section.title ? make("legend", {}, section.title) : make("legend", { className: "hidden" }, "Choices"),
    ...section.rows.map((row) => {
      known.set(row.id, row);
      return make("label", { className: "option" }, make("input", { type: "radio", name: "row", value: row.id, required: true }),
        make("span", {}, row.title, row.description ? make("small", {}, row.description) : null));
    }))));
  box.onclose = () => {
    const chosen = rows.querySelector("input:checked");
    if (box.returnValue === "send" && chosen) send(known.get(chosen.value));
    box.returnValue = "";
  };
  box.showModal();
}

function setUpHabits(state, attempt) {
  // While a switch is on its way, an answer asked for before must not set it back.
  const changing = (work) => attempt(async () => {
    state.changes += 1;
    state.changing += 1;
    try { await work(); } finally { state.changing -= 1; }
    await state.refreshList();
  });
  const change = (name) => () => changing(() => call("/_sandbox/phone/contacts", { wa_id: state.waId, phone_number_id: state.number, [name]: $(name).checked }));
  $("online").onchange = change("online");
  $("reads").onchange = change("reads");
  $("stopped").onchange = () => changing(() => call("/_sandbox/phone/preferences", { from: state.waId, phone_number_id: state.number, value: $("stopped").checked ? "stop" : "resume" }));
  $("read-now").onclick = () => attempt(() => call("/_sandbox/phone/read", { wa_id: state.waId, phone_number_id: state.number }));
  const open = (yes) => {
    document.body.dataset.habits = yes ? "open" : "";
    $("habits-open").setAttribute("aria-expanded", String(yes));
    (yes ? $("habits-close") : $("habits-open")).focus();
  };
  $("habits-open").onclick = () => open(document.body.dataset.habits !== "open");
  $("habits-close").onclick = () => open(false);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && document.body.dataset.habits === "open") open(false); });
}
