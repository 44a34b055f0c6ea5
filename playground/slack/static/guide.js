/*
 * "How to play": the story in a few steps, the next one marked. The workspace may tell the steps (state key `guide`:
 * [{text, done or when, go?}], where `when` is a deed of ownStory below); without that the page tells the story of a
 * rollback and ticks what was done on this page.
 * `go` offers a short cut: {channel?, text?, as?} opens a channel, puts words into the composer, or changes person.
 */

import { become, compose, goTo } from "./acting.js";
import { fill, h, icon } from "./dom.js";
import { CROSS } from "./overlays.js";
import { app, nameOf, onDraw, redraw, remember } from "./store.js";

const MODEL = "intent_classifier";

function ownStory(state) {
  const command = state.commands.find((c) => c.command === "/mlops")?.command;
  const channel = state.channels.find((c) => /oncall|incident|alert|ops/.test(c.name)) ?? state.channels.find((c) => c.kind !== "im");
  if (!command || !channel) return [];
  const { played } = app.ui;
  const people = state.people.filter((p) => !p.is_bot);
  const requester = played.asked ?? state.me.id;
  const second = people.find((p) => p.id !== requester);
  const hasAlert = channel.messages.some((m) => m.bot_id && m.blocks?.length);
  return [
    { text: `An alert arrives in #${channel.name}. Read what ${state.app.name} says about it.`, done: hasAlert && Boolean(played.looked), go: { channel: channel.name } },
    { text: "Press Acknowledge: it is yours now, and nobody else is paged.", done: Boolean(played.acknowledged) },
    { text: `Ask for a rollback: ${command} rollback ${MODEL}`, done: Boolean(played.asked), go: { channel: channel.name, text: `${command} rollback ${MODEL}` } },
    { text: "Open the thread and press Approve. You asked, so you are refused.", done: Boolean(played.refused) },
    { text: `Become ${second?.real_name ?? "somebody else"} and approve. Then watch the proof come in.`, done: Boolean(played.approved), go: { as: second?.name } },
  ];
}

// What this person did here, as far as the page can see.
document.addEventListener("played", ({ detail: { did, words = "", who } }) => {
  const { played } = app.ui;
  if (did === "use" && /\back/i.test(words)) played.acknowledged = true;
  if (did === "send" && /\s(ack|acknowledge)\b/i.test(words)) played.acknowledged = true;
  if (/roll\s?back/i.test(words) && !played.asked) played.asked = who;
  if (did === "use" && /approve/i.test(words)) played[played.asked && played.asked !== who ? "approved" : "refused"] = true;
  if (did === "use") redraw();
  sessionStorage.setItem("workspace.played", JSON.stringify({ rev: app.state.rev, played }));
});

/** What was played before a reload; a workspace that started anew meanwhile counts from a lower revision. */
export function recallPlayed(state) {
  try {
    const { rev, played } = JSON.parse(sessionStorage.getItem("workspace.played"));
    app.ui.played = rev <= state.rev ? played : {};
  } catch {
    app.ui.played = {};
  }
}

function setOpen(isOpen) {
  remember.set("guide", isOpen);
  redraw();
  requestAnimationFrame(() => document.getElementById(isOpen ? "close-guide" : "open-guide")?.focus());
}

export const toggleGuide = () => setOpen(!remember.get("guide", true));
export const hasGuide = (state) => Boolean((state.guide ?? ownStory(state)).length);

onDraw((state, ui) => {
  const host = document.getElementById("guide");
  const here = ui.place.kind === "channel" && state.channels.find((c) => c.id === ui.place.id);
  if (here && here.messages.some((m) => m.bot_id)) ui.played.looked = true;
  const steps = state.guide?.map((s) => ({ ...s, done: s.done ?? Boolean(ui.played[s.when]) })) ?? ownStory(state);
  const isOpen = remember.get("guide", true) && steps.length > 0;
  host.hidden = !isOpen;
  if (!isOpen) return;
  const next = steps.findIndex((s) => !s.done);
  fill(host,
    h("div.guide-head", null,
      h("h2", null, "How to play"),
      h("span.note", null, next < 0 ? "All done. Play on as you like." : `Step ${next + 1} of ${steps.length}`)),
    h("ol.steps", null, steps.map((step, index) => stepNode(step, index, index === next))),
    h("button.quiet", { type: "button", id: "close-guide", "aria-label": "Hide how to play", onclick: () => setOpen(false) }, icon(CROSS)));
});

function stepNode({ text, done, go }, index, isNext) {
  const state = done ? "done" : isNext ? "next" : "later";
  return h("li", { class: `step ${state}`, "aria-current": isNext ? "step" : null },
    h("span.step-mark", { "aria-hidden": "true" }, done ? "✓" : index + 1),
    h("span.step-words", null, done ? h("span.vh", null, "Done: ") : null, text,
      go && isNext && !isThere(go) ? h("button.link", { type: "button", onclick: () => take(go) }, label(go)) : null));
}

function isThere({ channel, text, as }) {
  const { place } = app.ui;
  if (as) return [app.state.me.name, app.state.me.id].includes(as);
  return Boolean(channel) && !text && place.kind === "channel" && app.state.channels.find((c) => c.id === place.id)?.name === channel;
}

function label({ as, text }) {
  const person = as && app.state.people.find((p) => p.name === as || p.id === as);
  if (person) return `Become ${nameOf(person.id)}`;
  return text ? "Type it for me" : "Take me there";
}

async function take({ channel, text, as }) {
  const person = as && app.state.people.find((p) => p.name === as || p.id === as);
  if (person) await become(person.id);
  const place = channel && app.state.channels.find((c) => c.name === channel || c.id === channel);
  if (place) goTo(place.id);
  if (text) requestAnimationFrame(() => requestAnimationFrame(() => compose(text)));
}
