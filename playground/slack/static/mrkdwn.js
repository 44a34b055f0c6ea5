/*
 * Message text to nodes. Input is what the wire carries: `&amp; &lt; &gt;` escaped, `<…>` for links, mentions and dates.
 * Everything a stranger wrote ends in a text node; links get an address only when it begins with http, https or mailto.
 */

import { dateText, fullTime } from "./dates.js";
import { h } from "./dom.js";
import { emoji } from "./emoji.js";
import { app, channelOf, personOf } from "./store.js";

const decode = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

/** A link that is safe to follow; anything else is shown as words. */
export function link(address, ...label) {
  const words = label.length ? label : [address];
  let url;
  try {
    url = new URL(address);
  } catch {
    return h("span", null, ...words);
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return h("span", null, ...words);
  const isOurs = url.origin === location.origin && url.pathname.startsWith("/archives/");
  if (isOurs) return h("a", { href: url.href, "data-place": url.pathname + url.search }, ...words);
  return h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, ...words);
}

/** mrkdwn as an array of nodes: paragraphs, quotes, lists and code blocks. */
export function mrkdwn(text, { isMarkdown = false } = {}) {
  const nodes = [];
  const pieces = String(text ?? "").split(/```\n?([\s\S]*?)\n?```/);
  pieces.forEach((piece, index) => {
    if (index % 2) nodes.push(h("pre", { tabindex: "0" }, h("code", null, bare(piece.replace(isMarkdown ? /^[a-z]+\n/ : /^$/, "")))));
    else nodes.push(...lines(piece, isMarkdown));
  });
  return nodes;
}

// Inside code only entities and addresses are resolved; nothing is styled.
function bare(text) {
  return decode(text.replace(/<([^<>]+)>/g, (whole, inner) => {
    const [target, label] = split(inner);
    return /^[@#!]/.test(target) ? whole : label || target;
  }));
}

const BULLET = /^(\s*)(•|◦|▪|-|\*(?=\s)|\d{1,2}[.)])\s+(.*)$/;
const QUOTE = /^(?:&gt;|>) ?(.*)$/;

function lines(text, isMarkdown) {
  const nodes = [];
  let run = null; // {kind, rows}
  const flush = () => {
    if (run) nodes.push(build[run.kind](run.rows, isMarkdown));
    run = null;
  };
  for (const line of text.replace(/^\n+|\n+$/g, "").split("\n")) {
    const heading = isMarkdown && /^(#{1,6})\s+(.*)$/.exec(line);
    const quote = QUOTE.exec(line);
    const bullet = BULLET.exec(line);
    const kind = heading ? "heading" : quote ? "quote" : bullet ? "list" : line.trim() ? "text" : "gap";
    if (!run || run.kind !== kind || kind === "heading") {
      flush();
      run = { kind, rows: [] };
    }
    run.rows.push(heading ? heading[2] : quote ? quote[1] : bullet ? bullet.slice(1) : line);
  }
  flush();
  // One empty line is a gap; gaps at the edges are nothing.
  return nodes.filter((node, index) => node && !(node.className === "gap" && (!index || index === nodes.length - 1)));
}

const build = {
  heading: (rows, md) => h("p.md-heading", null, inline(rows[0], md)),
  quote: (rows, md) => h("blockquote", null, byLine(rows, md)),
  text: (rows, md) => (rows.join("").trim() ? h("p", null, byLine(rows, md)) : null),
  gap: () => h("div.gap"),
  // The mark the author typed stays, so what is copied is what was sent.
  list: (rows, md) => h("ul.marked", null, rows.map(([indent, mark, words]) =>
    h(indent.length > 1 ? "li.deeper" : "li", null, h("span.mark", null, mark === "-" || mark === "*" ? "•" : mark), h("span", null, inline(words, md))))),
};

function byLine(rows, md) {
  return rows.flatMap((row, index) => (index ? [h("br"), ...inline(row, md)] : inline(row, md)));
}

const MARKS = [
  ["*", "strong"],
  ["_", "em"],
  ["~", "s"],
];
const MARKDOWN = [
  ["**", "strong"],
  ["__", "strong"],
  ["~~", "s"],
  ["*", "em"],
  ["_", "em"],
];
const TOKEN = /`([^`\n]+)`|<([^<>\n]+)>|:([a-z0-9_+-]+(?:::skin-tone-\d)?):|(https?:\/\/[^\s<>|]*[^\s<>|.,;:!?)'"\]])/i;

/** One line as an array of nodes and strings. */
function inline(text, isMarkdown, depth = 0) {
  if (isMarkdown) {
    const found = /\[([^\]\n]+)\]\((https?:[^\s)]+)\)/.exec(text);
    if (found) return around(text, found, [link(decode(found[2]), decode(found[1]))], isMarkdown, depth);
  }
  const styled = depth < 6 ? styledSpan(text, isMarkdown ? MARKDOWN : MARKS) : null;
  const token = TOKEN.exec(text);
  if (styled && (!token || styled.index < token.index)) {
    return around(text, styled, [h(styled.tag, null, inline(styled.inner, isMarkdown, depth + 1))], isMarkdown, depth);
  }
  if (token) return around(text, token, [resolved(token)], isMarkdown, depth);
  return text ? [decode(text)] : [];
}

function around(text, found, nodes, isMarkdown, depth) {
  const before = text.slice(0, found.index);
  const after = text.slice(found.index + found[0].length);
  return [...(before ? inline(before, isMarkdown, depth) : []), ...nodes, ...(after ? inline(after, isMarkdown, depth) : [])];
}

// `*bold*` only between a word boundary and the next one; code and links inside are kept whole.
function styledSpan(text, marks) {
  let best = null;
  for (const [mark, tag] of marks) {
    const m = mark.replace(/[*]/g, "\\*");
    const found = new RegExp(`(?<![\\w${m[m.length - 1]}\\\\])${m}(?=\\S)((?:\`[^\`]*\`|<[^<>]*>|[^\\n])*?\\S)${m}(?![\\w${m[m.length - 1]}])`).exec(text);
    if (found && (!best || found.index < best.index)) best = Object.assign(found, { tag, inner: found[1] });
  }
  return best;
}

function resolved([whole, code, tag, name, address]) {
  if (code) return h("code", null, bare(code));
  if (tag) return entity(tag);
  if (name) return glyph(name) ?? whole;
  return link(decode(address));
}

/** An emoji with its name for those who hear it, or null. */
export function glyph(name) {
  const character = emoji(name);
  return character ? h("span.emoji", { role: "img", "aria-label": name.replaceAll("_", " "), title: `:${name}:` }, character) : null;
}

function split(inner) {
  const at = inner.indexOf("|");
  return at < 0 ? [inner, ""] : [inner.slice(0, at), inner.slice(at + 1)];
}

function entity(inner) {
  const [target, label] = split(inner);
  if (target.startsWith("@")) return person(target.slice(1), label);
  if (target.startsWith("#")) return channel(target.slice(1), label);
  if (target.startsWith("!date^")) return date(target, label);
  if (target.startsWith("!subteam^")) return group(target.slice(9), label);
  if (target.startsWith("!")) return h("span.mention.here", null, `@${decode(label || target.slice(1)).replace(/^@/, "")}`);
  return link(decode(target), ...(label ? [decode(label)] : []));
}

export function person(id, label = "") {
  const known = personOf(id);
  const isMe = id === app.state.me.id;
  const name = known ? (known.is_bot ? known.name : known.real_name) : decode(label) || id;
  return h(isMe ? "span.mention.me" : "span.mention", known?.title ? { title: known.title } : null, `@${name}`);
}

export function channel(id, label = "") {
  const known = channelOf(id);
  const name = `#${known?.name ?? (decode(label) || id)}`;
  return known ? h("a.mention", { href: `/archives/${id}`, "data-place": `/archives/${id}` }, name) : h("span.mention", null, name);
}

function group(id, label) {
  const known = app.state.usergroups.find((g) => g.id === id);
  const isMe = known?.users.includes(app.state.me.id);
  return h(isMe ? "span.mention.me" : "span.mention", null, `@${(known?.handle ?? decode(label)) || "group"}`.replace("@@", "@"));
}

function date(target, fallback) {
  const [, stamp, form, address] = target.split("^");
  const seconds = Number(stamp);
  if (!Number.isSafeInteger(seconds) || Math.abs(seconds) > 8e12 || !form) return decode(fallback);
  const words = h("time", { datetime: new Date(seconds * 1000).toISOString(), title: fullTime(seconds) }, decode(dateText(seconds, form)));
  return address ? link(decode(address), words) : words;
}

/** Words with emoji shortcodes resolved and nothing else: Block Kit's plain_text. */
export function plain(node) {
  const text = String(node?.text ?? "");
  return node?.emoji === false ? [text] : withEmoji(text);
}

export function withEmoji(text) {
  return text.split(/:([a-z0-9_+-]+):/i).flatMap((part, index, all) => {
    if (!(index % 2)) return part ? [part] : [];
    return [glyph(part) ?? `:${all[index]}:`];
  });
}

/** Any text object as nodes. */
export function textNodes(node) {
  if (!node) return [];
  return node.type === "mrkdwn" ? mrkdwn(node.text) : plain(node);
}

/** A text object as one plain string, for labels and options. */
export function words(node) {
  if (!node) return "";
  const text = h("span", null, node.type === "mrkdwn" ? inline(String(node.text ?? ""), false) : plain(node));
  return text.textContent;
}

/** A message's text in one line, for notices. */
export const oneLine = (text) => h("span", null, inline(String(text ?? "").replaceAll("\n", " "), false)).textContent;
