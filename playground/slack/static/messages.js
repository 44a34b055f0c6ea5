/* Messages: one list item each, for the stream and for the thread pane. */

import { askWords, copy, doAct, openThread } from "./acting.js";
import { blocks, picture } from "./blocks.js";
import { clockTime, dayKey, dayName, fullTime } from "./dates.js";
import { h, icon } from "./dom.js";
import { QUICK } from "./emoji.js";
import { rawSheet } from "./inspector.js";
import { glyph, link, mrkdwn, oneLine } from "./mrkdwn.js";
import { lightbox, openMenu, CROSS } from "./overlays.js";
import { DOTS } from "./elements.js";
import { app, nameOf, personOf, workspaceNow } from "./store.js";

const REPLY = "M4 5h16v11H10l-5 4v-4H4z";
const SMILE = "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18M8.5 14.5a4 4 0 0 0 7 0M9 9.5h.01M15 9.5h.01";
const EYE = "M2 12s4-6.5 10-6.5S22 12 22 12s-4 6.5-10 6.5S2 12 2 12M12 9.5a2.5 2.5 0 1 0 0 5a2.5 2.5 0 0 0 0-5";
const TOGETHER_S = 300; // messages of one sender within this time share a heading

/** A coloured square with initials; people are round, apps are square. */
export function avatar(id, size = "") {
  const person = personOf(id);
  const isApp = !person || person.is_bot;
  const name = nameOf(id);
  const initials = name.split(/[\s._-]+/).map((w) => w[0]).join("").slice(0, 2).toUpperCase();
  const hue = [...String(id)].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 997, 7) % 6;
  return h("span.avatar", { class: `${isApp ? "app" : `hue-${hue}`} ${size}`, "aria-hidden": "true" }, initials);
}

/** Items for keepList: day headings, the "new" line and messages. */
export function items(messages, { isThread = false, newSince = null } = {}) {
  const list = [];
  let before = null;
  let isNewShown = false;
  for (const message of messages) {
    const seconds = Number(message.ts);
    const day = dayKey(seconds);
    if (!isThread && (!before || dayKey(Number(before.ts)) !== day)) {
      const name = dayName(seconds);
      list.push({ key: `day-${day}`, sign: name, build: () => h("li.day", null, h("span", null, name)) });
      before = null;
    }
    if (newSince && !isNewShown && seconds > Number(newSince) && message.user !== app.state.me.id) {
      isNewShown = true;
      list.push({ key: "new-line", sign: "", build: () => h("li.new-line", null, h("span", null, "New")) });
      before = null;
    }
    list.push(messageItem(message, isSameHead(before, message), isThread));
    before = message;
  }
  return list;
}

function isSameHead(before, message) {
  return Boolean(before) && before.user === message.user && before.is_ephemeral === message.is_ephemeral && !before.subtype?.startsWith("channel_")
    && Number(message.ts) - Number(before.ts) < TOGETHER_S && !before.reply_count;
}

function messageItem(message, isSame, isThread) {
  const { state, ui } = app;
  const files = (message.files ?? []).map((id) => state.files[id]);
  const fresh = isThread ? 0 : freshReplies(message);
  const isMarked = ui.focusTs === message.ts;
  const told = JSON.stringify(message);
  // "3 minutes ago" and "today" grow old; everything else changes only when the workspace says so.
  const minute = /ago\}|pretty\}/.test(told) ? Math.floor(workspaceNow() / 60) : 0;
  const sign = [told, isSame, isThread, state.me.id, JSON.stringify(files), fresh, isMarked, minute].join("\n");
  return { key: message.ts, sign, build: () => messageNode(message, { isSame, isThread, files, fresh, isMarked }) };
}

/** Replies that came since this person last had the thread open. */
function freshReplies(message) {
  if (!message.reply_count || app.ui.thread?.ts === message.ts) return 0;
  const seen = Number(app.ui.seenReplies[`${app.state.me.id}/${message.ts}`] ?? 0);
  const channel = app.state.channels.find((c) => c.id === message.channel);
  return channel.messages.filter((m) => m.thread_ts === message.ts && m.is_reply && !m.is_ephemeral && Number(m.ts) > seen && m.user !== app.state.me.id).length;
}

function messageNode(message, { isSame, isThread, files, fresh, isMarked }) {
  const isSystem = message.subtype?.startsWith("channel_");
  const seconds = Number(message.ts);
  const kind = ["message", isSame && "same", message.is_ephemeral && "ephemeral", isSystem && "system", isMarked && "marked"].filter(Boolean).join(" ");
  return h("li", { class: kind, "data-ts": message.ts, tabindex: "-1" },
    isSame ? h("span.side-time", { "aria-hidden": "true" }, clockTime(seconds)) : avatar(message.user),
    h("div.message-body", null,
      isSame ? h("span.vh", null, `${nameOf(message.user)}, ${clockTime(seconds)}`) : head(message, seconds),
      message.is_ephemeral ? h("p.only-you", null, icon(EYE), "Only visible to you") : null,
      message.broadcast && !isThread ? h("p.note", null, h("button.link", { type: "button", onclick: () => openThread(message.channel, message.thread_ts) }, "replied in a thread")) : null,
      content(message, isSame), files.map(fileNode), reactions(message), isThread ? null : threadBar(message, fresh)),
    tools(message, isThread));
}

function head(message, seconds) {
  const person = personOf(message.user);
  const isApp = !person || person.is_bot;
  const path = new URL(message.permalink, location.origin);
  return h("div.message-head", null,
    h("span.sender", null, nameOf(message.user)),
    isApp ? h("span.badge-app", null, "App") : person.title ? h("span.role", null, person.title) : null,
    h("a.time", { href: path.pathname + path.search, "data-place": path.pathname + path.search, title: fullTime(seconds) }, h("time", { datetime: new Date(seconds * 1000).toISOString() }, clockTime(seconds))),
    message.edited ? edited(message) : null,
    message.pinned_to?.length ? h("span.note", null, "pinned") : null);
}

const edited = (message) => h("span.edited", { title: fullTime(Number(message.edited.ts)) }, "edited");

function content(message, isSame) {
  const scene = { place: { channel: message.channel, ts: message.ts }, values: message.values };
  return h("div.content", null,
    message.blocks?.length ? blocks(message.blocks, scene) : message.text ? h("div.prose", null, mrkdwn(message.text)) : null,
    (message.attachments ?? []).map((a) => attachment(a, scene)), isSame && message.edited ? edited(message) : null);
}

function attachment(raw, scene) {
  const tone = /^#?[0-9a-f]{6}$/i.test(raw.color ?? "") ? `#${raw.color.replace("#", "")}` : { good: "#2e9e6b", warning: "#d99a1c", danger: "#cf3f36" }[raw.color];
  return h("div.attachment", tone ? { tone } : null,
    raw.pretext ? h("div.prose", null, mrkdwn(raw.pretext)) : null,
    raw.title ? h("strong", null, raw.title_link ? link(raw.title_link, raw.title) : raw.title) : null,
    raw.text ? h("div.prose", null, mrkdwn(raw.text)) : null,
    raw.fields ? h("div.b-fields", null, raw.fields.map((f) => h("div.prose", null, h("strong", null, String(f.title ?? "")), mrkdwn(f.value)))) : null,
    raw.image_url ? picture({ image_url: raw.image_url, alt_text: raw.title ?? "" }, "full") : null,
    blocks(raw.blocks, scene), raw.footer ? h("p.note", null, String(raw.footer)) : null);
}

function fileNode(file) {
  if (!file) return h("p.note", null, "A file that is not shared with you.");
  const size = file.size > 1e6 ? `${(file.size / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(file.size / 1000))} kB`;
  if (file.mimetype.startsWith("image/")) {
    return h("figure.b-image.file", null,
      h("figcaption", null, file.title, h("span.note", null, ` ${size}`)),
      h("button.picture.full", { type: "button", "aria-label": `Enlarge: ${file.alt_text || file.title}`, onclick: () => lightbox(file.url, file.alt_text, file.title) },
        h("img", { src: file.url, alt: file.alt_text || file.title })));
  }
  return h("a.file-card", { href: file.url, target: "_blank", rel: "noopener" },
    h("span.file-kind", { "aria-hidden": "true" }, file.name.split(".").pop().slice(0, 4)),
    h("span", null, h("strong", null, file.title), h("span.note", null, `${file.name} · ${size}`)));
}

function reactions(message) {
  if (!message.reactions?.length) return null;
  return h("div.reactions", null, message.reactions.map((r) => {
    const isMine = r.users.includes(app.state.me.id);
    const who = r.users.map(nameOf).join(", ");
    return h("button.reaction", {
      key: r.name, type: "button", "aria-pressed": isMine, title: `${who}: :${r.name}:`, "aria-label": `${r.name.replaceAll("_", " ")}, ${who}`,
      onclick: () => doAct("react", { channel: message.channel, ts: message.ts, name: r.name }),
    }, glyph(r.name) ?? `:${r.name}:`, h("span", null, r.count));
  }));
}

function threadBar(message, fresh) {
  if (!message.reply_count) return null;
  const faces = [...new Set(message.reply_users ?? [])].slice(0, 4);
  const count = `${message.reply_count} ${message.reply_count === 1 ? "reply" : "replies"}`;
  return h("button.thread-bar", { type: "button", onclick: () => openThread(message.channel, message.ts) },
    h("span.faces", null, faces.map((id) => avatar(id, "small"))), h("strong", null, count),
    fresh ? h("span.fresh", null, `${fresh} new`) : null,
    h("span.note", null, `last at ${clockTime(Number(message.latest_reply))}`));
}

// -- tools ------------------------------------------------------------------------------------------------------------

function tools(message, isThread) {
  const { channel, ts } = message;
  if (message.is_ephemeral) {
    return h("div.tools", null, tool("Dismiss", CROSS, () => doAct("delete", { channel, ts })));
  }
  return h("div.tools", null,
    tool("Add a reaction", SMILE, (event) => pickReaction(event.currentTarget, message), "menu"),
    isThread || message.is_reply ? null : tool("Reply in thread", REPLY, () => openThread(channel, ts)),
    tool("More actions for this message", DOTS, (event) => openMenu(event.currentTarget, menuFor(message), { label: "Message" }), "menu"));
}

function tool(label, path, onclick, popup) {
  return h("button.quiet", { type: "button", "aria-label": label, title: label, onclick, "aria-haspopup": popup }, icon(path, path === DOTS ? "dots" : ""));
}

function pickReaction(anchor, message) {
  openMenu(anchor, QUICK.map((name) => ({
    label: name.replaceAll("_", " "), mark: glyph(name),
    pick: () => doAct("react", { channel: message.channel, ts: message.ts, name }),
  })), { label: "Reaction" });
}

function menuFor(message) {
  const { channel, ts } = message;
  const shortcuts = app.state.shortcuts.filter((s) => s.kind === "message");
  const list = shortcuts.map((s) => ({ label: s.name, note: app.state.app.name, pick: () => doAct("shortcut", { callback_id: s.callback_id, channel, ts }) }));
  list.push({ label: "Copy link", pick: () => copy(new URL(message.permalink, location.origin).href, "Link") });
  list.push({ label: "Show as JSON", pick: () => rawSheet("Message", message) });
  if (message.user === app.state.me.id) {
    list.push({ label: "Edit", pick: () => edit(message) });
    list.push({ label: "Delete", isDanger: true, pick: () => doAct("delete", { channel, ts }) });
  }
  return list;
}

async function edit(message) {
  const text = await askWords("Edit message", oneLine(message.text), "Save");
  if (text !== null) doAct("edit", { channel: message.channel, ts: message.ts, text });
}
