/* The field under the thread: grows, keeps drafts, asks before sending, finds canned replies. Its one rule: nothing typed is lost. */
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const inbox = $("#inbox");
  if (!inbox) return;
  const words = JSON.parse(inbox.dataset.words);
  const token = $("meta[name=csrf-token]").content;
  const LONGEST = 4096, NEAR = 3800;
  let timer = null, asked = 0, kept = null;

  const form = () => $("#writing");
  const field = () => $("#text");
  const mode = () => form()?.querySelector("input[name=mode]:checked")?.value || "note";

  function dress() {
    const text = field();
    if (!text) return;
    text.dataset.reply ||= text.placeholder;
    text.placeholder = mode() === "note" ? text.dataset.note : text.dataset.reply;
    grow(); count();
  }
  function grow() {
    const text = field();
    if (CSS.supports("field-sizing", "content")) return;
    text.style.height = "auto"; text.style.height = `${Math.min(text.scrollHeight + 2, 212)}px`;
  }
  function count() {
    const counter = $("#counter"), length = field().value.length;
    counter.hidden = length < NEAR || mode() === "note";
    counter.textContent = `${length} / ${LONGEST}`; counter.classList.toggle("over", length > LONGEST);
  }

  /* Draft and check, when the typing pauses. */
  async function pause() {
    const writing = form();
    if (!writing || mode() !== "reply" || field().value === kept) return;
    const mine = ++asked, data = new FormData(writing);
    data.delete("file");
    kept = field().value;
    try {
      const response = await fetch(writing.dataset.draft, { method: "POST", body: data, credentials: "same-origin", headers: { "HX-Request": "true", "X-CSRFToken": token }, keepalive: true });
      if (mine !== asked || !response.ok || writing !== form()) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      $("#checks").replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
      if (window.htmx) htmx.process($("#checks"));
    } catch (error) { kept = null; }
  }
  const later = () => { clearTimeout(timer); timer = setTimeout(pause, 600); };
  addEventListener("pagehide", () => { clearTimeout(timer); pause(); });
  document.addEventListener("window-closed", () => { clearTimeout(timer); pause(); });

  /* Canned replies after a slash at the start. */
  let cannedAsked = 0;
  async function canned() {
    const box = $("#canned"), match = mode() === "reply" && field().value.match(/^\/([\w\- ]{0,40})$/);
    if (!match) return hideCanned();
    const mine = ++cannedAsked;
    const response = await fetch(`${form().dataset.canned}?q=${encodeURIComponent(match[1])}`, { credentials: "same-origin", headers: { "HX-Request": "true" } });
    if (!response.ok || mine !== cannedAsked) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    box.replaceChildren(...[...page.body.childNodes].map((node) => document.importNode(node, true)));
    box.hidden = false;
    const text = field();
    text.setAttribute("role", "combobox"); text.setAttribute("aria-expanded", "true"); text.setAttribute("aria-controls", "canned-list"); point(0);
  }
  function hideCanned() {
    const box = $("#canned"), text = field();
    cannedAsked += 1;
    if (!box || box.hidden) return;
    box.hidden = true; box.replaceChildren();
    for (const name of ["role", "aria-expanded", "aria-controls", "aria-activedescendant"]) text.removeAttribute(name);
  }
  const options = () => $$("#canned [role=option]");
  function point(index) {
    const all = options();
    all.forEach((option, n) => option.setAttribute("aria-selected", n === index));
    if (all[index]) { field().setAttribute("aria-activedescendant", all[index].id); all[index].scrollIntoView({ block: "nearest" }); }
  }
  function take(option) {
    const text = field();
    text.value = option.dataset.text; hideCanned(); dress(); text.focus(); later();
    const hole = text.value.indexOf("{{");
    if (hole >= 0) text.setSelectionRange(hole, text.value.indexOf("}}", hole) + 2);
  }
  function steer(event) {
    const all = options(), at = all.findIndex((option) => option.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); point((at + (event.key === "ArrowDown" ? 1 : all.length - 1)) % all.length); return true; }
    if ((event.key === "Enter" || event.key === "Tab") && all[at]) { event.preventDefault(); take(all[at]); return true; }
    if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); hideCanned(); return true; }
    return false;
  }

  /* Sending */
  function send() {
    const writing = form(), button = $(".send", writing);
    if (button.disabled || (!field().value.trim() && !$("input[name=file]", writing)?.files.length)) return;
    clearTimeout(timer); asked += 1;
    writing.requestSubmit(button);
  }
  document.addEventListener("keydown", (event) => {
    if (event.target.id !== "text" || event.isComposing) return;
    if (options().length && !$("#canned").hidden && steer(event)) return;
    if (event.key !== "Enter" || event.shiftKey) return;
    const withControl = event.ctrlKey || event.metaKey;
    if (withControl || form().dataset.enter === "1") { event.preventDefault(); send(); }
  });
  document.addEventListener("input", (event) => { if (event.target.id === "text") { dress(); later(); canned().catch(hideCanned); } });
  document.addEventListener("pointerdown", (event) => { const option = event.target.closest("#canned [role=option]"); if (option) { event.preventDefault(); take(option); } });
  document.addEventListener("change", (event) => {
    if (event.target.name === "mode") { hideCanned(); dress(); field().focus(); }
    if (event.target.matches("#writing input[type=file]")) choose(event.target);
  });
  function choose(input) {
    const file = input.files[0], said = $("#chosen-file");
    said.classList.remove("bad-text"); said.textContent = "";
    if (!file) return;
    const limits = JSON.parse(input.dataset.limits), limit = limits.find((one) => one.type && file.type.startsWith(one.type)) || limits[limits.length - 1];
    if (file.size > limit.most) { input.value = ""; said.textContent = limit.say; said.classList.add("bad-text"); return; }
    said.textContent = `${file.name} · ${file.size > 1048576 ? `${(file.size / 1048576).toFixed(1)} MB` : `${Math.max(1, Math.round(file.size / 1024))} kB`}`;
  }
  document.addEventListener("paste", (event) => {
    const input = $("#writing input[type=file]"), file = [...(event.clipboardData?.files || [])][0];
    if (event.target.id !== "text" || !file || !input) return;
    event.preventDefault();
    const box = new DataTransfer(); box.items.add(file); input.files = box.files; choose(input);
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.id !== "writing") return;
    const button = $(".send", event.target);
    clearTimeout(timer); button.setAttribute("aria-busy", "true"); $(".say-send", button)?.replaceChildren(words.sending);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.target.id !== "writing" || event.detail.successful) return;
    const button = $(".send", event.target);
    button.removeAttribute("aria-busy"); button.disabled = false;
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target?.id === "composer" || event.detail.elt?.id === "composer") { kept = null; dress(); field()?.focus(); }
    if (event.detail.target?.id === "thread") { kept = field()?.value ?? null; dress(); }
    if ((event.detail.elt?.id || event.detail.target?.id) === "panel") $("#panel input:not([type=hidden]), #panel a")?.focus();
  });
  /* A template that was sent answers with the thread: htmx follows the redirect, and the panel's target is not there. */
  document.addEventListener("htmx:beforeSwap", (event) => {
    const panelForm = event.detail.requestConfig?.elt;
    if (panelForm?.dataset?.thread && event.detail.xhr.responseURL && !/\/templates\//.test(event.detail.xhr.responseURL)) {
      event.detail.target = $("#thread"); event.detail.selectOverride = "#thread"; event.detail.swapOverride = "outerHTML";
    }
  });
  kept = field()?.value ?? null;
  dress();
})();
