// Draws one message of a thread. Rule: text goes in as text nodes, never as markup.
const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  clock: ["M8.5 1.2a4.8 4.8 0 1 0 0 9.6a4.8 4.8 0 1 0 0-9.6", "M8.5 3.5v2.6l1.8 1"],
  one: ["M4 6.5l3 3 6-7"],
  two: ["M1.5 6.5l3 3 6-7", "M8 9.2l.4.3 6-7"],
  pin: ["M12 21s7-6 7-11a7 7 0 1 0-14 0c0 5 7 11 7 11z", "M12 12.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z"],
  file: ["M6 3h8l4 4v14H6z", "M14 3v4h4", "M9 12h6M9 16h6"],
  person: ["M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M4 21c0-4 4-6 8-6s8 2 8 6"],
  picture: ["M4 5h16v14H4z", "M4 16l5-5 4 4 3-3 4 4", "M15 9h.01"],
  more: ["M6 12h.01M12 12h.01M18 12h.01"],
};
const REACTIONS = ["👍", "❤️", "😂", "😮", "🙏"];
const MEDIA = ["image", "video", "audio", "document", "sticker"];

export function make(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name in node && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export function drawing(name, viewBox = "0 0 24 24", className = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", viewBox);
  svg.setAttribute("aria-hidden", "true");
  if (className) svg.setAttribute("class", className);
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

export const clockTime = (at) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

// WhatsApp's own marks: *bold*, _italic_, ~struck~, ```code```, and addresses.
function rich(text) {
  const parts = [];
  const marks = /```([^`]+)```|\*([^*\n]+)\*|_([^_\n]+)_|~([^~\n]+)~|(https?:\/\/[^\s<>"]+)/g;
  let from = 0;
  for (const found of text.matchAll(marks)) {
    parts.push(text.slice(from, found.index));
    const [whole, code, bold, italic, struck, link] = found;
    if (link) parts.push(make("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, link));
    else parts.push(make(code ? "code" : bold ? "b" : italic ? "i" : "s", {}, code || bold || italic || struck));
    from = found.index + whole.length;
  }
  parts.push(text.slice(from));
  return parts;
}

const paragraph = (text, className = "") => make("p", { className, dir: "auto" }, ...rich(String(text ?? "")));

function card(icon, title, note, link = "") {
  const inside = [drawing(icon), make("b", {}, title), note ? make("small", {}, note) : null];
  if (!link) return make("div", { className: "card" }, ...inside);
  return make("a", { className: "card", href: link, target: "_blank", rel: "noopener noreferrer" }, ...inside);
}

const hostOf = (link) => { try { return new URL(link).host; } catch { return link; } };

function mediaPart(kind, content) {
  const id = content.id || content.media_id;
  const source = id ? `/_sandbox/phone/files/${encodeURIComponent(id)}` : "";
  const label = content.filename || content.caption || kind;
  if (!source) return card(kind === "document" ? "file" : "picture", content.filename || `${kind[0].toUpperCase()}${kind.slice(1)}`, `from ${hostOf(content.link || "")}`, content.link || "");
  if (kind === "image" || kind === "sticker") return make("img", { className: "picture", src: source, alt: label, loading: "lazy" });
  if (kind === "video") return make("video", { src: source, controls: true, preload: "metadata", "aria-label": label });
  if (kind === "audio") return make("audio", { src: source, controls: true, preload: "metadata", "aria-label": content.voice ? "Voice message" : "Audio" });
  return card("file", content.filename || "Document", content.mime_type || "", source);
}

function locationPart(place) {
  const note = [place.address, `${Number(place.latitude).toFixed(4)}, ${Number(place.longitude).toFixed(4)}`].filter(Boolean).join(" · ");
  return card("pin", place.name || "Location", note);
}

function headerPart(header) {
  if (!header) return null;
  if (header.type === "text") return paragraph(header.text, "head");
  if (header.type === "location") return locationPart(header.location || header);
  return mediaPart(header.type, header[header.type] || header);
}

function replyContent(content) {
  const inner = content.button_reply || content.list_reply;
  if (!inner) return [paragraph(`(${content.type})`)];
  return [paragraph(inner.title), inner.description ? paragraph(inner.description, "foot") : null];
}

function insides(message) {
  const { type, content } = message;
  if (type === "text") return [paragraph(content.body)];
  if (MEDIA.includes(type)) return [mediaPart(type, content), content.caption ? paragraph(content.caption) : null];
  if (type === "location") return [locationPart(content)];
  if (type === "contacts") return content.map((one) => card("person", one.name?.formatted_name || "Contact", (one.phones || []).map((row) => row.phone).join(", ")));
  if (type === "button") return [paragraph(content.text)];
  if (type === "interactive" && message.mine) return replyContent(content);
  if (type === "interactive") return [headerPart(content.header), content.body ? paragraph(content.body.text) : paragraph(`(${content.type})`), content.footer ? paragraph(content.footer.text, "foot") : null];
  if (type === "template") return [headerPart(content.header), paragraph(content.body), content.footer ? paragraph(content.footer, "foot") : null];
  return [paragraph(`(${type})`)];
}

// One line of it, without WhatsApp's marks: for the list of contacts and for quotes.
export function summary(message) {
  const { type, content } = message;
  if (type === "text" || type === "template") return content.body.replace(/([*_~]|```)(?=\S)([^*_~\n]+)\1/g, "$2");
  if (type === "button") return content.text;
  if (type === "interactive") return (content.button_reply || content.list_reply)?.title || content.body?.text || content.type;
  if (MEDIA.includes(type)) return content.caption || content.filename || { image: "Photo", video: "Video", audio: "Audio", document: "Document", sticker: "Sticker" }[type];
  if (type === "location") return content.name || "Location";
  if (type === "contacts") return content[0]?.name?.formatted_name || "Contact card";
  return type;
}

function metaLine(message) {
  const meta = make("div", { className: "meta" }, make("time", { dateTime: new Date(message.at * 1000).toISOString() }, clockTime(message.at)));
  if (!message.mine) return meta;
  const [icon, word] = { sending: ["clock", "On its way"], delivered: ["two", "Delivered"], read: ["two", "Read"] }[message.status] || ["one", "Sent"];
  const tick = drawing(icon, "0 0 17 12", `tick ${message.status}`);
  meta.append(tick, make("span", { className: "hidden" }, word));
  meta.title = word;
  return meta;
}

function fate(message) {
  if (message.mine) return null;
  if (message.status === "failed") return make("p", { className: "why" }, `Never arrived: ${REASONS[message.error] || "refused by the provider"} (${message.error})`);
  if (message.status === "sent" || message.status === "accepted") return make("p", { className: "foot" }, "On its way to this phone");
  return null;
}
const REASONS = {
  131047: "the 24-hour window was closed",
  131026: "this phone cannot receive it",
  131049: "too much marketing for this person",
  131050: "this person stopped marketing",
};

function buttons(message, act) {
  const { type, content } = message;
  if (message.mine || !["delivered", "read"].includes(message.status)) return null;
  const made = [];
  const button = (text, title, payload) => make("button", { type: "button", className: `choice${message.chosen === title ? " taken" : ""}`, onclick: () => act.answer(message, payload) }, text);
  if (type === "interactive" && content.type === "button") {
    for (const { reply } of content.action.buttons) {
      const one = button(reply.title, reply.title, { type: "interactive", interactive: { type: "button_reply", button_reply: reply } });
      one.disabled = Boolean(message.chosen);
      made.push(one);
    }
  } else if (type === "interactive" && content.type === "list") {
    made.push(make("button", { type: "button", className: `choice${message.chosen ? " taken" : ""}`, onclick: () => act.list(message) }, message.chosen || content.action.button));
  } else if (type === "interactive" && content.type === "cta_url") {
    made.push(make("a", { className: "choice", href: content.action.parameters.url, target: "_blank", rel: "noopener noreferrer" }, content.action.parameters.display_text));
  } else if (type === "template") {
    for (const one of content.buttons || []) {
      if (one.type === "QUICK_REPLY") made.push(button(one.text, one.text, { type: "button", button: { payload: one.payload, text: one.text } }));
      else if (one.type === "URL") made.push(make("a", { className: "choice", href: one.url, target: "_blank", rel: "noopener noreferrer" }, one.text));
      else if (one.type === "COPY_CODE") made.push(make("button", { type: "button", className: "choice", onclick: () => act.copy(one.code) }, `${one.text || "Copy code"} · ${one.code}`));
      else made.push(make("span", { className: "choice" }, one.text));
    }
  }
  return made.length ? make("div", { className: "choices" }, ...made) : null;
}

function menu(message, act, close) {
  const bar = make("div", { className: "menu", role: "group", "aria-label": "Reply or react" });
  bar.append(make("button", { type: "button", className: "word", onclick: () => { close(); act.quote(message); } }, "Reply"));
  for (const emoji of REACTIONS) {
    const mine = message.reactions?.contact === emoji;
    bar.append(make("button", { type: "button", "aria-label": `React ${emoji}`, "aria-pressed": String(mine), onclick: () => { close(); act.react(message, mine ? "" : emoji); } }, emoji));
  }
  return bar;
}

export function bubble(message, quoted, act) {
  const state = message.status === "failed" ? " failed" : !message.mine && ["accepted", "sent"].includes(message.status) ? " waiting" : "";
  const body = make("div", { className: `bubble${state}` });
  if (message.reply_to) body.append(make("button", { type: "button", className: "quoted", onclick: () => act.jump(message.reply_to) }, make("span", { dir: "auto" }, quoted ? summary(quoted) : "Earlier message")));
  body.append(...insides(message).filter(Boolean));
  const note = fate(message);
  if (note) body.append(note);
  body.append(metaLine(message));
  const column = make("div", { className: "column" }, body);
  const shown = Object.values(message.reactions || {}).filter(Boolean);
  if (shown.length) column.append(make("span", { className: "reactions", "aria-label": `Reactions: ${shown.join(" ")}` }, shown.join(" ")));
  const choices = buttons(message, act);
  if (choices) column.append(choices);
  const more = make("button", { type: "button", className: "round more", "aria-label": "Reply or react", "aria-expanded": "false" }, drawing("more"));
  let open = null;
  const close = () => { open?.remove(); open = null; more.setAttribute("aria-expanded", "false"); more.focus(); act.redraw(); };
  more.onclick = () => {
    if (open) return close();
    open = menu(message, act, close);
    open.onkeydown = (event) => { if (event.key === "Escape") { event.stopPropagation(); close(); } };
    column.append(open);
    more.setAttribute("aria-expanded", "true");
    open.querySelector("button").focus();
  };
  return make("li", { className: `item${message.mine ? " mine" : ""}`, id: `m-${message.id}`, tabIndex: -1 }, column, more);
}
