/* The inspector: what went over the wire, what the workspace found wrong, and trouble on request. */

import { control, fetchEnvelopes, healAll } from "./api.js";
import { clockTimeSecs } from "./dates.js";
import { fill, h, icon, keepList } from "./dom.js";
import { CROSS, notice, show } from "./overlays.js";
import { app, onDraw, redraw } from "./store.js";

const TABS = { envelopes: "To the app", calls: "From the app", findings: "Findings", trouble: "Trouble" };
let data = null;
let isAsked = false;

/** Fetch what the inspector shows; cheap to call often, does nothing while it is closed. */
export function refreshInspector() {
  if (!app.ui.inspector || isAsked) return;
  isAsked = true;
  setTimeout(async () => {
    isAsked = false;
    data = await fetchEnvelopes().catch(() => data);
    redraw();
  }, 150);
}

export function openInspector(tab = "envelopes") {
  app.ui.inspector = tab;
  refreshInspector();
  redraw();
}

export function closeInspector() {
  app.ui.inspector = null;
  redraw();
  document.getElementById("open-inspector")?.focus();
}

/** Pretty JSON, coloured by kind; every piece is a text node. */
function pretty(value) {
  const text = JSON.stringify(value, null, 2) ?? "null";
  const pattern = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/gi;
  const nodes = [];
  let at = 0;
  for (const found of text.matchAll(pattern)) {
    nodes.push(text.slice(at, found.index));
    const kind = found[2] ? "j-key" : found[1] ? "j-text" : found[3] ? "j-word" : "j-number";
    nodes.push(h(`span.${kind}`, null, found[1] ?? found[0]), found[2] ?? "");
    at = found.index + found[0].length;
  }
  return h("pre.json", { tabindex: "0" }, h("code", null, nodes, text.slice(at)));
}

function copyButton(value) {
  return h("button.btn.tiny", {
    type: "button",
    onclick: async () => {
      const text = JSON.stringify(value, null, 2);
      await navigator.clipboard.writeText(text).then(() => notice("JSON copied."), () => notice("The browser did not allow copying.", { isError: true }));
    },
  }, "Copy JSON");
}

/** Any value as JSON in a dialog. */
export function rawSheet(title, value) {
  const dialog = h("dialog.sheet.wide", { "aria-label": title },
    h("div.sheet-head", null, h("h2", null, title), h("button.quiet", { type: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon(CROSS))),
    pretty(value), h("div.sheet-foot", null, copyButton(value)));
  show(dialog);
}

// JSON is drawn when an entry is opened: a hundred payloads would cost more than the rest of the page.
function entry(key, title, note, tone, parts) {
  const box = h("details.wire", { key });
  const body = h("div.wire-body");
  box.append(h("summary", null, h("span", { class: `dot ${tone}` }), h("span.wire-title", null, title), h("span.note", null, note)), body);
  box.addEventListener("toggle", () => {
    if (!box.open || body.firstChild) return;
    for (const [name, value] of parts) body.append(h("div.wire-part", null, h("h4", null, name), copyButton(value)), pretty(value));
  });
  box.$keep = true;
  return box;
}

function envelopeItem(e) {
  const last = e.attempts.at(-1);
  const tone = !last ? "idle" : last.outcome === "acked" ? "good" : "bad";
  const payload = e.payload ?? {};
  const what = payload.command ? `${payload.command} ${payload.text ?? ""}` : payload.event?.type ?? payload.actions?.[0]?.action_id ?? payload.view?.callback_id ?? payload.type ?? "";
  const took = last?.took_s != null ? `${Math.round(last.took_s * 1000)} ms` : "no answer yet";
  const tries = e.attempts.length > 1 ? ` · ${e.attempts.length} attempts` : "";
  const note = `${e.kind} · ${last ? `${last.outcome}, ${took}` : took}${tries}`;
  return {
    key: e.id, sign: JSON.stringify([e.attempts, e.answer]),
    build: () => entry(e.id, what, note, tone, [["Payload", e.payload], ["Answer", e.answer ?? null], ["Attempts", e.attempts]]),
  };
}

function callItem(c, index, all) {
  // Two calls may share a moment; counting from the older end keeps the key when newer calls arrive.
  const twins = all.slice(index + 1).filter((o) => o.at === c.at && o.method === c.method).length;
  const key = `call-${c.at}-${c.method}-${twins}`;
  return {
    key, sign: c.verdict,
    build: () => entry(key, c.method, `${clockTimeSecs(c.at)} · ${c.verdict}`, c.ok ? "good" : "bad", [["Arguments", c.args], ["Answer", c.answer]]),
  };
}

function findingItems({ lint, failures }) {
  const all = [
    ...failures.map((text) => ({ tone: "bad", title: "Refused", text })),
    ...lint.map((n) => ({ tone: "idle", title: n.rule, text: `${n.where}: ${n.detail}` })),
  ];
  if (!all.length) all.push({ tone: "good", title: "Nothing found", text: "The app did nothing that Slack would refuse or frown upon." });
  return all.map(({ tone, title, text }, index) => ({
    key: `finding-${index}`, sign: title + text,
    build: () => h("div.finding", null, h("span", { class: `dot ${tone}` }), h("div", null, h("strong", null, title), h("p", null, text))),
  }));
}

const TROUBLES = [
  ["Answer the next 3 calls with 429", "fault", { kind: "429", times: 3, seconds: 2 }, "The app is told to slow down and has to wait."],
  ["Answer the next 3 calls with 500", "fault", { kind: "500", times: 3 }, "The server fails; nothing took effect."],
  ["Lose the answer of the next message", "fault", { kind: "reset_after", target: "chat.postMessage", times: 1 }, "The message is there, but the app cannot know."],
  ["Deliver the next event twice", "fault", { kind: "duplicate", times: 1 }, "A correct app does it once."],
  ["Cut the app's sockets", "socket", { do: "drop" }, "As when a network cable is pulled."],
  ["Ask the app to reconnect", "socket", { do: "disconnect", reason: "refresh_requested" }, "As Slack does every few hours."],
];

function trouble(state) {
  const run = (name, body, label) => async () => {
    const answer = await control(name, body);
    notice(answer.ok ? `Done: ${label}.` : answer.why ?? "That did not work.", { isError: !answer.ok });
  };
  const armed = state.faults.map((f) => `${f.kind} on ${f.target}${f.times ? `, ${f.times} left` : ""}`).join("; ");
  return h("div.troubles", null,
    h("p.note", null, armed ? `Armed: ${armed}` : "Break something and watch how the app copes. Everything here is undone by one click."),
    TROUBLES.map(([label, name, body, note]) => h("div.trouble", null, h("button.btn", { type: "button", onclick: run(name, body, label) }, label), h("span.note", null, note))),
    h("button.btn.primary", { type: "button", onclick: async () => { await healAll(); notice("All faults are off."); } }, "Make everything well again"));
}

function tabList(current, state) {
  const counts = { findings: state.lint + state.failures, trouble: state.faults.length };
  const keys = Object.keys(TABS);
  const onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    openInspector(keys.at((keys.indexOf(app.ui.inspector) + step) % keys.length));
    requestAnimationFrame(() => document.querySelector('#inspector [aria-selected="true"]')?.focus());
  };
  return h("div.tabs", { role: "tablist", "aria-label": "Inspector" }, keys.map((key) => h("button.tab", {
    type: "button", role: "tab", id: `tab-${key}`, "aria-selected": key === current, "aria-controls": "inspector-body", tabindex: key === current ? "0" : "-1",
    onclick: () => openInspector(key), onkeydown,
  }, TABS[key], counts[key] ? h("span.count", null, counts[key]) : null)));
}

const frame = {};

function build(host) {
  frame.tabs = h("div");
  frame.body = h("div.pane-body", { id: "inspector-body", role: "tabpanel", tabindex: "0" });
  host.append(
    h("div.pane-head", null, h("h2", null, "Inspector"), h("button.quiet", { type: "button", "aria-label": "Close inspector", onclick: closeInspector }, icon(CROSS))),
    frame.tabs, frame.body);
}

onDraw((state, ui) => {
  const host = document.getElementById("inspector");
  host.hidden = !ui.inspector;
  if (!ui.inspector) return;
  if (!frame.body) build(host);
  fill(frame.tabs, tabList(ui.inspector, state));
  frame.body.setAttribute("aria-labelledby", `tab-${ui.inspector}`);
  if (frame.shown !== ui.inspector) frame.body.replaceChildren();
  frame.shown = ui.inspector;
  if (ui.inspector === "trouble") return fill(frame.body, trouble(state));
  if (!data) return fill(frame.body, h("p.note", null, "Loading …"));
  if (frame.body.firstElementChild && !frame.body.firstElementChild.$key) frame.body.replaceChildren();
  const list = { envelopes: () => data.envelopes.map(envelopeItem), calls: () => data.calls.map(callItem), findings: () => findingItems(data) }[ui.inspector]();
  if (list.length) return keepList(frame.body, list);
  fill(frame.body, h("p.note", null, "Nothing yet. Do something on the page and it appears here."));
});
