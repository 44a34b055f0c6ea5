/*
 * The box to type in, one for the channel and one for the thread. It is made once and never redrawn, so that nothing
 * disturbs a half-typed line; drafts are kept per place and person.
 */

import { doAct } from "./acting.js";
import { h, icon } from "./dom.js";
import { emojiLike } from "./emoji.js";
import { openMenu } from "./overlays.js";
import { app } from "./store.js";

const SEND = "M4 12l16-8-5 16-3-7z";
const PLUS = "M12 5v14M5 12h14";
const drafts = new Map();
const typedLines = []; // commands sent before, newest first, offered again

/** Make a composer in `host`. Returns {aim(target)}; a target is {channel, thread_ts, placeholder}. */
export function makeComposer(host, { name, hasShortcuts = false }) {
  let target = null;
  let key = null;
  let offers = [];
  let at = 0;
  const listId = `${name}-offers`;
  const list = h("div.offers", { id: listId, role: "listbox", "aria-label": "Suggestions", hidden: true });
  const field = h("textarea", {
    id: `${name}-field`, rows: "1", autocomplete: "off", spellcheck: "true", "aria-autocomplete": "list", "aria-controls": listId,
    oninput: changed, onkeydown: keys, onblur: () => setTimeout(hide, 150), onclick: changed,
  });
  const send = h("button.send", { type: "button", "aria-label": "Send", title: "Send (Enter)", onclick: submit }, icon(SEND));
  const more = hasShortcuts ? h("button.quiet", { type: "button", "aria-label": "Shortcuts", title: "Shortcuts", "aria-haspopup": "menu", onclick: shortcuts }, icon(PLUS)) : null;
  host.append(list, h("div.box", null, more, field, send));

  function aim(next) {
    target = next;
    const nextKey = `${app.ui.me}/${next.channel}/${next.thread_ts ?? ""}`;
    field.placeholder = next.placeholder;
    field.setAttribute("aria-label", next.placeholder);
    if (key === nextKey) return;
    if (key) drafts.set(key, field.value);
    key = nextKey;
    field.value = drafts.get(key) ?? "";
    grow();
    hide();
  }

  function grow() {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, 180)}px`;
    send.classList.toggle("ready", Boolean(field.value.trim()));
  }

  function changed() {
    grow();
    offers = suggestions(field.value, field.selectionStart, Boolean(target.thread_ts));
    at = 0;
    showOffers();
  }

  function showOffers() {
    list.hidden = !offers.length;
    list.replaceChildren(...offers.map((offer, index) => h("div.offer", {
      role: "option", id: `${listId}-${index}`, "aria-selected": index === at,
      onpointerdown: (event) => { event.preventDefault(); take(offer); },
    }, h("strong", null, offer.label), offer.note ? h("span.note", null, offer.note) : null)));
    if (offers.length) field.setAttribute("aria-activedescendant", `${listId}-${at}`);
    else field.removeAttribute("aria-activedescendant");
    list.children[at]?.scrollIntoView({ block: "nearest" });
  }

  function hide() {
    offers = [];
    showOffers();
  }

  function take(offer) {
    const tail = field.value.slice(field.selectionStart);
    field.value = offer.text + tail;
    field.setSelectionRange(offer.text.length, offer.text.length);
    field.focus();
    changed();
  }

  function keys(event) {
    if (event.isComposing) return;
    if (offers.length && ["ArrowDown", "ArrowUp"].includes(event.key)) {
      at = (at + (event.key === "ArrowDown" ? 1 : offers.length - 1)) % offers.length;
      showOffers();
    } else if (offers.length && event.key === "Tab" && !event.shiftKey) take(offers[at]);
    else if (offers.length && event.key === "Escape") {
      event.stopPropagation();
      hide();
    } else if (event.key === "Enter" && !event.shiftKey) {
      const offer = offers[at];
      if (offer?.onEnter && offer.text.trim() !== field.value.trim()) take(offer);
      else submit();
    } else return;
    event.preventDefault();
  }

  async function submit() {
    const text = field.value.trim();
    if (!text) return;
    const sentFrom = key;
    field.value = "";
    drafts.delete(sentFrom);
    grow();
    hide();
    const { channel, thread_ts } = target;
    const answer = await doAct("send", { channel, text, thread_ts });
    if (answer.ok) noteSent(text);
    else if (answer.status !== 200) giveBack(sentFrom, text);
  }

  // What was refused is not lost: it stands in the box again, unless something new was typed meanwhile.
  function giveBack(sentFrom, text) {
    if (key === sentFrom && !field.value) {
      field.value = text;
      grow();
    } else if (!drafts.get(sentFrom)) drafts.set(sentFrom, text);
  }

  function shortcuts(event) {
    const own = app.state.shortcuts.filter((s) => s.kind === "global");
    const items = own.map((s) => ({ label: s.name, note: app.state.app.name, pick: () => doAct("shortcut", { callback_id: s.callback_id }) }));
    items.push(...app.state.commands.map((c) => ({ label: c.command, note: c.description, pick: () => put(`${c.command} `) })));
    openMenu(event.currentTarget, items, { label: "Shortcuts and commands" });
  }

  function put(text) {
    field.value = text;
    field.focus();
    changed();
  }

  return { aim, field };
}

function noteSent(text) {
  document.dispatchEvent(new CustomEvent("played", { detail: { did: "send", words: text, who: app.state.me.id } }));
  if (!text.startsWith("/")) return;
  const before = typedLines.indexOf(text);
  if (before >= 0) typedLines.splice(before, 1);
  typedLines.unshift(text);
  typedLines.length = Math.min(typedLines.length, 20);
}

// -- what to offer -------------------------------------------------------------------------------------------------

function suggestions(value, caret, isThread) {
  const text = value.slice(0, caret);
  if (/^\/\S*$/.test(text)) return isThread ? [] : commands(text);
  if (text.startsWith("/")) return isThread ? [] : verbs(text);
  const word = /(^|\s)([@#:])([\w.+-]*)$/.exec(text);
  if (!word) return [];
  const before = text.slice(0, text.length - word[3].length - 1);
  return { "@": people, "#": channels, ":": emojis }[word[2]](before, word[3].toLowerCase());
}

function commands(text) {
  return app.state.commands.filter((c) => c.command.startsWith(text))
    .map((c) => ({ label: c.command, note: c.description, text: `${c.command} `, onEnter: true }));
}

/** The verbs of a command: told by the workspace, else read from the usage hint ("ack | rollback <model>"). */
function verbs(text) {
  const [name] = text.split(" ");
  const command = app.state.commands.find((c) => c.command === name);
  if (!command) return [];
  const rest = text.slice(name.length + 1).trimStart();
  const known = command.verbs?.length ? command.verbs : hinted(command.usage_hint);
  const offers = known.filter((v) => v.usage.split(" ")[0].startsWith(rest) && rest.split(" ").length < 2)
    .map((v) => ({ label: v.usage, note: v.about, text: `${name} ${v.usage.split(" ")[0]} ` }));
  const again = typedLines.filter((line) => line.startsWith(text.trimEnd()) && line !== text.trimEnd()).slice(0, 3)
    .map((line) => ({ label: line, note: "sent before", text: line }));
  return [...again, ...offers].slice(0, 12);
}

function hinted(hint) {
  return (hint ?? "").split("|").map((part) => part.replace(/^[\s[(]+|[\s\])…]+$/g, "")).filter((part) => /^[a-z]/.test(part)).map((usage) => ({ usage, about: "" }));
}

function people(before, part) {
  return app.state.people.filter((p) => `${p.name} ${p.real_name}`.toLowerCase().includes(part)).slice(0, 8)
    .map((p) => ({ label: `@${p.name}`, note: p.is_bot ? "App" : `${p.real_name}${p.title ? `, ${p.title}` : ""}`, text: `${before}@${p.name} `, onEnter: true }));
}

function channels(before, part) {
  return app.state.channels.filter((c) => c.kind !== "im" && c.name.includes(part)).slice(0, 8)
    .map((c) => ({ label: `#${c.name}`, note: c.topic, text: `${before}#${c.name} `, onEnter: true }));
}

function emojis(before, part) {
  if (part.length < 2) return [];
  return emojiLike(part).map(([name, character]) => ({ label: `${character} :${name}:`, text: `${before}:${name}: `, onEnter: true }));
}
