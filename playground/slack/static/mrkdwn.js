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
export function mrkdwn(text, { isMarkdown = false, isVerbatim = false } = {}) {
  const nodes = [];
  const pieces = String(text ?? "").split(/```\n?([\s\S]*?)\n?```/);
  pieces.forEach((piece, index) => {
    if (index % 2) nodes.push(h("pre", { tabindex: "0" }, h("code", null, bare(piece.replace(isMarkdown ? /^[a-z]+\n/ : /^$/, "")))));
    else nodes.push(...lines(piece, { isMarkdown, isVerbatim }));
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

function lines(text, how) {
  const { isMarkdown } = how;
  const nodes = [];
  let run = null; // {kind, rows}
  const flush = () => {
    if (run) nodes.push(build[run.kind](run.rows, how));
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
  heading: (rows, how) => h("p.md-heading", null, inline(rows[0], how)),
  quote: (rows, how) => h("blockquote", null, byLine(rows, how)),
  text: (rows, how) => (rows.join("").trim() ? h("p", null, byLine(rows, how)) : null),
  gap: () => h("div.gap"),
  // The mark the author typed stays, so what is copied is what was sent.
  list: (rows, how) => h("ul.marked", null, rows.map(([indent, mark, words]) =>
    h(indent.length > 1 ? "li.deeper" : "li", null, h("span.mark", null, mark === "-" || mark === "*" ? "•" : mark), h("span", null, inline(words, how))))),
};

function byLine(rows, how) {
  return rows.flatMap((row, index) => (index ? [h("br"), ...inline(row, how)] : inline(row, how)));
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
// Bare addresses become links unless the author said `verbatim`.
const VERBATIM = /`([^`\n]+)`|<([^<>\n]+)>|:([a-z0-9_+-]+(?:::skin-tone-\d)?):/gi;
const TOKEN = /`([^`\n]+)`|<([^<>\n]+)>|:([a-z0-9_+-]+(?:::skin-tone-\d)?):|(https?:\/\/[^\s<>|]*[^\s<>|.,;:!?)'"\]])/gi;
const MARKDOWN_LINK = /\[([^\]\n]+)\]\((https?:[^\s)]+)\)/g;

/*
 * One line as an array of nodes and strings. Scans forward once: a stranger's text of any shape costs time in proportion
 * to its length, never more.
 */
function inline(text, how = {}, depth = 0) {
  const out = [];
  const finders = [finder(how.isVerbatim ? VERBATIM : TOKEN, text, resolved)];
  if (depth < 6) finders.unshift(styleFinder(text, how, depth));
  if (how.isMarkdown) finders.unshift(finder(MARKDOWN_LINK, text, (found) => link(decode(found[2]), decode(found[1]))));
  let at = 0;
  while (at < text.length) {
    const next = finders.map((find) => find(at)).filter(Boolean).sort((a, b) => a.start - b.start)[0];
    if (!next) break;
    if (next.start > at) out.push(decode(text.slice(at, next.start)));
    out.push(next.node());
    at = next.end;
  }
  if (at < text.length) out.push(decode(text.slice(at)));
  return out;
}

// Finders remember the next hit, so that text is not searched again for each neighbour.
function finder(pattern, text, make) {
  const search = new RegExp(pattern);
  let hit = null;
  let isSpent = false;
  return (from) => {
    if (isSpent || hit && hit.start >= from) return hit;
    search.lastIndex = from;
    const found = search.exec(text);
    isSpent = !found;
    hit = found && { start: found.index, end: search.lastIndex, node: () => make(found) };
    return hit;
  };
}

function styleFinder(text, how, depth) {
  const marks = [...(how.isMarkdown ? MARKDOWN : MARKS)];
  let hit = null;
  return (from) => {
    if (hit && hit.start >= from) return hit;
    hit = null;
    for (let i = from; i < text.length && !hit; i = skip(text, i)) {
      const mark = marks.find(([sign]) => opens(text, i, sign));
      if (!mark) continue;
      const close = closing(text, i + mark[0].length, mark[0]);
      // Where none closes now, none will close later in the line.
      if (close < 0) marks.splice(marks.indexOf(mark), 1);
      else hit = span(text, i, close, mark, how, depth);
    }
    return hit;
  };
}

function span(text, start, close, [sign, tag], how, depth) {
  const inner = text.slice(start + sign.length, close);
  return { start, end: close + sign.length, node: () => h(tag, null, inline(inner, how, depth + 1)) };
}

// The next place to look at: behind code and links, which are kept whole.
function skip(text, at) {
  const end = text[at] === "`" ? text.indexOf("`", at + 1) : text[at] === "<" ? text.indexOf(">", at + 1) : -1;
  return end > 0 && end - at < 4000 ? end + 1 : at + 1;
}

const isWord = (character) => character !== undefined && /[\p{L}\p{N}]/u.test(character);

function opens(text, at, sign) {
  const before = text[at - 1];
  const after = text[at + sign.length];
  return text.startsWith(sign, at) && !isWord(before) && before !== sign[0] && after !== undefined && after !== sign[0] && !/\s/.test(after);
}

function closing(text, from, sign) {
  for (let i = from; i < text.length; i = skip(text, i)) {
    if (i === from || !text.startsWith(sign, i)) continue;
    const after = text[i + sign.length];
    if (!/\s/.test(text[i - 1]) && !isWord(after) && after !== sign[0]) return i;
  }
  return -1;
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
  return node.type === "mrkdwn" ? mrkdwn(node.text, { isVerbatim: node.verbatim }) : plain(node);
}

/** A text object as one plain string, for labels and options. */
export function words(node) {
  if (!node) return "";
  const text = h("span", null, node.type === "mrkdwn" ? inline(String(node.text ?? "")) : plain(node));
  return text.textContent;
}

/** A message's text in one line, for notices. */
export const oneLine = (text) => h("span", null, inline(String(text ?? "").replaceAll("\n", " "))).textContent;
