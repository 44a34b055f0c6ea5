/* The middle of the page and the thread pane: headings, messages, Home, and where they are scrolled to. */

import { closeThread, goHome, goTo, openThread } from "./acting.js";
import { act } from "./api.js";
import { makeComposer } from "./composer.js";
import { announce, fill, h, icon, keepList } from "./dom.js";
import { items } from "./messages.js";
import { link, mrkdwn, oneLine } from "./mrkdwn.js";
import { CROSS, notice } from "./overlays.js";
import { outside } from "./sidebar.js";
import { app, channelOf, directMessage, nameOf, onDraw, redraw } from "./store.js";
import { homeNode } from "./views.js";

const NEAR_PX = 90; // closer to the end than this, new messages pull the view along
const byId = (id) => document.getElementById(id);

/** A list that stays at its end while one is there, and stays put otherwise. */
function scroller(box, list) {
  let isAtEnd = true;
  let spot = null;
  box.addEventListener("scroll", () => {
    isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
    if (isAtEnd) markRead();
  }, { passive: true });
  const settle = () => { if (isAtEnd) box.scrollTop = box.scrollHeight; };
  const watch = new ResizeObserver(settle); // pictures arrive late
  watch.observe(list);
  watch.observe(box);
  return {
    show(name, list_items) {
      const isElsewhere = spot !== name;
      if (isElsewhere) {
        list.replaceChildren();
        isAtEnd = true;
      }
      spot = name;
      keepList(list, list_items);
      if (isElsewhere) box.scrollTop = box.scrollHeight;
    },
    settle,
    reach(ts) {
      const node = list.querySelector(`[data-ts="${CSS.escape(ts)}"]`);
      if (!node) return;
      isAtEnd = false;
      node.scrollIntoView({ block: "center" });
      node.focus({ preventScroll: true });
    },
    get isAtEnd() { return isAtEnd; },
  };
}

const parts = {};

export function setUp() {
  parts.stream = scroller(byId("stream-box"), byId("stream"));
  parts.replies = scroller(byId("thread-box"), byId("replies"));
  parts.composer = makeComposer(byId("composer"), { name: "main", hasShortcuts: true });
  parts.answer = makeComposer(byId("thread-composer"), { name: "thread" });
  for (const box of [byId("stream-box"), byId("thread-box")]) box.addEventListener("keydown", walk);
}

// Arrow keys walk from message to message once one of them, or the stream, has the focus.
function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const isOnMessage = event.target.matches?.("li.message");
  if (!step || !isOnMessage && event.target !== event.currentTarget || event.altKey || event.shiftKey) return;
  const all = [...event.currentTarget.querySelectorAll("li.message")];
  const at = isOnMessage ? all.indexOf(event.target) + step : all.length - 1;
  if (!all[at]) return;
  event.preventDefault();
  all[at].focus({ preventScroll: true });
  all[at].scrollIntoView({ block: "nearest" });
}

onDraw((state, ui) => {
  const isHome = ui.place.kind === "home";
  const channel = isHome ? directMessage() : channelOf(ui.place.id);
  if (!channel) return;
  fill(byId("place-head"), placeHead(state, channel, isHome));
  const isInside = channel.is_member;
  byId("home").hidden = !isHome;
  byId("outside").hidden = isHome || isInside;
  byId("stream-box").hidden = isHome || !isInside;
  byId("composer").hidden = isHome || !isInside || channel.archived;
  if (isHome) fill(byId("home"), homeNode(state));
  else if (!isInside) fill(byId("outside"), outside(channel));
  else drawStream(state, ui, channel);
  drawThread(state, ui, channel);
  document.title = titleOf(state, channel, isHome);
});

function titleOf(state, channel, isHome) {
  const unread = state.channels.reduce((sum, c) => sum + (c.is_member ? c.unread : 0), 0);
  const place = isHome ? `${state.app.name} Home` : channel.kind === "im" ? state.app.name : `#${channel.name}`;
  return `${unread ? `(${unread}) ` : ""}${place} – ${state.workspace.name} (simulator)`;
}

function placeHead(state, channel, isHome) {
  if (channel.kind === "im") {
    const tab = (words, isHere, onclick) => h("button.tab", { type: "button", "aria-current": isHere ? "page" : null, onclick }, words);
    return [h("div.place-title", null, h("h1", null, state.app.name), h("span.badge-app", null, "App")),
      h("div.tabs.inline", null, state.app.has_home ? tab("Home", isHome, goHome) : null, tab("Messages", !isHome, () => goTo(channel.id)))];
  }
  const members = channel.members.map(nameOf).join(", ");
  return [
    h("div.place-title", null, h("h1", null, h("span.hash", { "aria-hidden": "true" }, "#"), channel.name),
      h("span.note", { title: members }, `${channel.members.length} members`), channel.archived ? h("span.note", null, "archived") : null),
    channel.topic || channel.purpose ? h("p.topic", null, mrkdwn(channel.topic || channel.purpose)) : null,
    channel.bookmarks?.length ? h("div.bookmarks", null, channel.bookmarks.map((b) => link(String(b.link ?? ""), String(b.title ?? "bookmark")))) : null,
  ];
}

let lastSeen = { place: null, ts: 0 };

function drawStream(state, ui, channel) {
  const shown = channel.messages.filter((m) => !m.is_reply || m.broadcast);
  const place = `${state.me.id}/${channel.id}`;
  parts.stream.show(place, items(shown, { newSince: ui.newSince[channel.id] }));
  parts.composer.aim({ channel: channel.id, placeholder: `Message ${channel.kind === "im" ? "" : "#"}${channel.name}, or type /` });
  if (ui.focusTs) reach(ui);
  else parts.stream.settle();
  tellNew(place, channel.messages, state.me.id);
  byId("stream-empty").hidden = shown.length > 0;
  markRead();
}

function reach(ui) {
  const ts = ui.focusTs;
  requestAnimationFrame(() => (ui.thread && ui.thread.ts !== ts ? parts.replies : parts.stream).reach(ts));
  setTimeout(() => {
    if (ui.focusTs !== ts) return;
    ui.focusTs = null;
    redraw();
  }, 2500);
}

// New messages are spoken once; what was there when a place was opened is not.
function tellNew(place, messages, me) {
  const newest = Math.max(0, ...messages.map((m) => Number(m.ts)));
  if (lastSeen.place === place) {
    const fresh = messages.filter((m) => Number(m.ts) > lastSeen.ts && m.user !== me).slice(-3);
    const hidden = fresh.filter((m) => m.is_ephemeral && m.is_reply && app.ui.thread?.ts !== m.thread_ts).at(-1);
    if (hidden) notice(`Only to you, in a thread: ${oneLine(hidden.text)}`, { action: { label: "Open", run: () => openThread(hidden.channel, hidden.thread_ts) } });
    if (fresh.length) announce(fresh.map((m) => `${nameOf(m.user)}${m.is_ephemeral ? ", only to you" : ""}${m.is_reply ? ", in a thread" : ""}: ${oneLine(m.text).slice(0, 200)}`).join(". "));
  }
  lastSeen = { place, ts: newest };
}

function drawThread(state, ui, channel) {
  const root = ui.thread?.channel === channel.id && ui.place.kind === "channel" && channel.messages.find((m) => m.ts === ui.thread.ts);
  const pane = byId("thread");
  pane.hidden = !root;
  document.body.classList.toggle("has-thread", Boolean(root));
  if (!root) return;
  const replies = channel.messages.filter((m) => m.is_reply && m.thread_ts === root.ts);
  fill(byId("thread-head"),
    h("h2", null, "Thread"), h("span.note", null, `in #${channel.name}`),
    h("button.quiet", { type: "button", "aria-label": "Close thread", onclick: closeThread }, icon(CROSS)));
  parts.replies.show(`${state.me.id}/${root.ts}`, [
    ...items([root], { isThread: true }),
    { key: "count", sign: String(replies.length), build: () => h("li.day.replies-count", null, h("span", null, replies.length ? `${replies.length} ${replies.length === 1 ? "reply" : "replies"}` : "No replies yet")) },
    ...items(replies, { isThread: true }),
  ]);
  parts.replies.settle();
  parts.answer.aim({ channel: channel.id, thread_ts: root.ts, placeholder: `Reply, or ask @${state.app.name} here` });
  if (replies.length) ui.seenReplies[`${state.me.id}/${root.ts}`] = replies.at(-1).ts;
}

const told = {};

function markRead() {
  const { state, ui } = app;
  const channel = state && ui.place.kind === "channel" ? channelOf(ui.place.id) : null;
  if (!channel?.is_member || !channel.unread || document.hidden || !parts.stream?.isAtEnd) return;
  const newest = channel.messages.at(-1)?.ts;
  const key = `${state.me.id}/${channel.id}`;
  if (told[key] === newest) return;
  told[key] = newest;
  act(state.me.id, "read", { channel: channel.id });
}

document.addEventListener("visibilitychange", markRead);
setInterval(redraw, 30_000); // for "3 minutes ago"
