/* Modals and the app's Home tab. */

import { act } from "./api.js";
import { blocks } from "./blocks.js";
import { h, icon, morph } from "./dom.js";
import { flush } from "./elements.js";
import { plain, words } from "./mrkdwn.js";
import { CROSS, notice } from "./overlays.js";
import { app, onDraw } from "./store.js";

let dialog = null; // the <dialog> that shows the top view
let shownFor = null; // whose it is
let trouble = ""; // what went wrong with the last submission

onDraw((state) => {
  const view = state.modals.at(-1);
  if (dialog && (!view || shownFor !== state.me.id)) shut();
  if (!view) return;
  const isFresh = !dialog || dialog.$key !== view.id;
  if (isFresh) trouble = "";
  const next = draw(view, state.modals.length);
  if (!dialog) raise(next, state.me.id);
  else if (isFresh) swap(next);
  else if (dialog.$sign !== next.$sign) {
    const sign = next.$sign;
    dialog = morph(dialog, next);
    dialog.$sign = sign;
    if (Object.keys(view.errors ?? {}).length) dialog.querySelector(".wrong :is(input, textarea, select, summary)")?.focus();
  }
});

let opener = null;

function raise(next, who) {
  opener = document.activeElement;
  shownFor = who;
  dialog = next;
  document.body.append(dialog);
  dialog.showModal();
  focusFirst();
}

function swap(next) {
  dialog.remove();
  dialog = next;
  document.body.append(dialog);
  dialog.showModal();
  focusFirst();
}

const focusFirst = () => (dialog.querySelector("[autofocus]") ?? dialog.querySelector("input, textarea, select") ?? dialog.querySelector(".sheet-foot .primary"))?.focus();

function shut() {
  dialog.remove();
  dialog = null;
  if (opener?.isConnected) opener.focus();
}

function draw(view, depth) {
  const scene = { place: { view_id: view.id }, values: view.values, errors: view.errors };
  const node = h(
    "dialog.sheet.view", { key: view.id, "aria-labelledby": "view-title", oncancel: (event) => { event.preventDefault(); close(view); } },
    h("form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); submit(view); }, novalidate: true },
      h("div.sheet-head", null,
        h("h2", { id: "view-title" }, plain(view.title), depth > 1 ? h("span.note", null, ` step ${depth}`) : null),
        h("button.quiet", { type: "button", "aria-label": "Close", onclick: () => close(view) }, icon(CROSS))),
      h("div.sheet-body", null, blocks(view.blocks, scene)),
      h("p.complaint.trouble-line", { role: "alert", hidden: !trouble }, trouble),
      h("div.sheet-foot", null,
        h("button.btn", { type: "button", onclick: () => close(view) }, view.close ? plain(view.close) : depth > 1 ? "Back" : "Close"),
        view.submit ? h("button.btn.primary", { type: "submit" }, plain(view.submit)) : null)),
  );
  node.$sign = JSON.stringify([view, depth, trouble]);
  return node;
}

async function close(view) {
  const answer = await act(app.state.me.id, "close", { view_id: view.id });
  if (!answer.ok) notice(answer.why, { isError: true });
}

async function submit(view) {
  const button = dialog.querySelector("[type=submit]");
  if (!button || button.classList.contains("busy")) return;
  button.classList.add("busy");
  await flush(dialog);
  const answer = await act(app.state.me.id, "submit", { view_id: view.id });
  button.classList.remove("busy");
  // Errors by field arrive with the next state and stand beside their fields.
  trouble = answer.ok || answer.errors ? "" : `The app did not take this: ${answer.why}`;
  const line = dialog?.querySelector(".trouble-line");
  if (line) {
    line.textContent = trouble;
    line.hidden = !trouble;
  }
  if (answer.ok) document.dispatchEvent(new CustomEvent("played", { detail: { did: "submit", words: words(view.submit), who: app.state.me.id } }));
}

/** The Home tab as a node. */
export function homeNode(state) {
  const { home } = state;
  if (!home) return h("div.empty", null, h("p", null, `${state.app.name} has not published a Home for ${state.me.real_name} yet. It appears here when it does.`));
  return h("div.home", { key: home.id }, blocks(home.blocks, { place: { view_id: home.id }, values: home.values, errors: home.errors }));
}
