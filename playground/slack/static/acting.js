/* What a click outside of Block Kit does: go somewhere, become somebody, react, edit, delete, join. */

import { act } from "./api.js";
import { announce, h } from "./dom.js";
import { notice, show } from "./overlays.js";
import { app, channelOf, nameOf, redraw, remember } from "./store.js";

const refreshers = [];
/** Register what fetches the state anew. */
export const onRefresh = (work) => refreshers.push(work);
export const refresh = () => refreshers.forEach((work) => work());

/** Do `what` as the current person and show why when it is refused. Resolves to the answer. */
export async function doAct(what, body) {
  const answer = await act(app.state.me.id, what, body);
  if (!answer.ok) notice(answer.why || "That did not work.", { isError: true });
  return answer;
}

/** Open a channel, and perhaps a thread and a message in it. */
export function goTo(channelId, { thread = null, ts = null } = {}) {
  const { ui } = app;
  const channel = channelOf(channelId);
  if (!channel) return notice("That place is not on this person's screen.", { isError: true });
  const isNew = ui.place.kind !== "channel" || ui.place.id !== channelId;
  ui.place = { kind: "channel", id: channelId };
  if (isNew || thread) ui.thread = thread ? { channel: channelId, ts: thread } : null;
  ui.focusTs = ts;
  ui.isSidebarOpen = false;
  if (isNew) noteUnread(channel);
  if (channel.kind === "im" && app.state.home_open) act(app.state.me.id, "open_home", { tab: "messages" });
  keepPlace();
  if (isNew) announce(`${channel.kind === "im" ? "Messages with" : "Channel"} ${channel.name}`);
  redraw();
}

/** The line between read and new messages stands where it was when the channel was opened. */
function noteUnread(channel) {
  app.ui.newSince[channel.id] = channel.unread ? channel.last_read : null;
}

export function goHome() {
  const { ui } = app;
  ui.place = { kind: "home", id: null };
  ui.thread = null;
  ui.isSidebarOpen = false;
  keepPlace();
  doAct("open_home", { tab: "home" });
  redraw();
}

export function openThread(channelId, ts) {
  app.ui.thread = { channel: channelId, ts };
  document.getElementById("notices").replaceChildren();
  redraw();
  requestAnimationFrame(() => document.querySelector("#thread textarea")?.focus({ preventScroll: true }));
}

export function closeThread() {
  const ts = app.ui.thread?.ts;
  app.ui.thread = null;
  redraw();
  requestAnimationFrame(() => document.querySelector(`#stream [data-ts="${ts}"] .thread-bar`)?.focus());
}

function keepPlace() {
  remember.set("place", app.ui.place);
  const { kind, id } = app.ui.place;
  // The person is in the address, so that two windows can be two people and survive a reload.
  const path = kind === "channel" && id ? `/archives/${id}` : "/";
  history.replaceState(null, "", `${path}?as=${encodeURIComponent(app.state.me.name)}`);
}

/** Look at the workspace as somebody else. */
export async function become(id) {
  const { ui } = app;
  if (id === ui.me) return;
  ui.me = id;
  ui.newSince = {};
  remember.set("me", id);
  await Promise.all(refreshers.map((work) => work()));
  keepPlace();
  announce(`You are now ${nameOf(id)}`);
  document.dispatchEvent(new CustomEvent("played", { detail: { did: "become", who: id } }));
}

/** Follow an /archives/ address inside the page. */
export function follow(path) {
  const found = /^\/archives\/(\w+)(?:\/p(\d{10})(\d{6}))?/.exec(path);
  if (!found) return;
  const thread = new URLSearchParams(path.split("?")[1] ?? "").get("thread_ts");
  goTo(found[1], { thread, ts: found[2] ? `${found[2]}.${found[3]}` : null });
}

/** Put words into the composer of the channel, ready to be sent. */
export function compose(text) {
  const box = document.querySelector("#composer textarea");
  if (!box) return;
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
  box.focus();
}

/** Ask for words in a small dialog; resolves to the text, or null when closed. */
export function askWords(title, value, label) {
  return new Promise((resolve) => {
    let answer = null;
    const field = h("textarea", { value, rows: "4", "aria-label": title, autofocus: true });
    const dialog = h("dialog.sheet.small", { "aria-label": title },
      h("h2", null, title), field,
      h("div.sheet-foot", null,
        h("button.btn", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button.btn.primary", { type: "button", onclick: () => { answer = field.value; dialog.close(); } }, label)));
    show(dialog, () => resolve(answer));
  });
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} copied.`);
  } catch {
    notice(`The browser did not allow copying. ${what}: ${text.slice(0, 300)}`);
  }
}
