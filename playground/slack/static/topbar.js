/* The bar on top: who acts, what time it is in the workspace, the inspector, light or dark. */

import { become } from "./acting.js";
import { control } from "./api.js";
import { clockTime, fullTime, zoneName } from "./dates.js";
import { fill, h, icon } from "./dom.js";
import { hasGuide, toggleGuide } from "./guide.js";
import { closeInspector, openInspector } from "./inspector.js";
import { avatar } from "./messages.js";
import { notice, openMenu } from "./overlays.js";
import { app, onDraw, redraw, remember, workspaceNow } from "./store.js";

const BARS = "M4 7h16M4 12h16M4 17h16";
const CLOCK = "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18M12 7v5l3.5 2";
const SCOPE = "M4 6h16M4 12h10M4 18h7M17 15l4 4M15 12.5a3 3 0 1 0 0 6a3 3 0 0 0 0-6";
const MOON = "M20 14a8 8 0 1 1-10-10a6.5 6.5 0 0 0 10 10z";
const HELP = "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18M9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1 1-1.1 1.8M12 17h.01";
const CHEVRON = "M6 9l6 6 6-6";

onDraw((state, ui) => {
  fill(document.getElementById("top-left"),
    h("button.quiet.only-narrow", { type: "button", id: "open-sidebar", "aria-label": "Channels", "aria-expanded": ui.isSidebarOpen, "aria-controls": "sidebar", onclick: toggleSidebar }, icon(BARS), unreadDot(state, ui)),
    h("span.brand", null, h("span.brand-mark", { "aria-hidden": "true" }, "‹›"), h("span.brand-name", null, state.workspace.name)));
  fill(document.getElementById("top-right"),
    h("button.top-btn", { type: "button", id: "open-clock", "aria-haspopup": "menu", "aria-expanded": "false", title: `Workspace time: ${fullTime(workspaceNow())}`, onclick: (event) => clockMenu(event.currentTarget, state) },
      icon(CLOCK), h("span", { id: "clock" }, clockWords(state)), h("span.vh", null, " workspace time, change")),
    hasGuide(state) ? h("button.top-btn.square", { type: "button", id: "open-guide", "aria-label": "How to play", title: "How to play", "aria-pressed": remember.get("guide", true), onclick: toggleGuide }, icon(HELP)) : null,
    h("button.top-btn.square", { type: "button", id: "open-inspector", "aria-label": "Inspector", title: "Inspector: what goes over the wire", "aria-pressed": Boolean(ui.inspector), onclick: () => (ui.inspector ? closeInspector() : openInspector()) },
      icon(SCOPE), state.failures ? h("span.alarm", null, h("span.vh", null, `${state.failures} refused`)) : null),
    h("button.top-btn.square", { type: "button", id: "theme", "aria-label": isDark() ? "Use light colours" : "Use dark colours", title: "Light or dark", onclick: flipTheme }, icon(MOON)),
    h("button.top-btn.who", { type: "button", id: "act-as", "aria-haspopup": "menu", "aria-expanded": "false", onclick: (event) => whoMenu(event.currentTarget, state) },
      avatar(state.me.id, "small"), h("span.who-words", null, h("span.who-you", null, "You are"), h("span.who-name", null, state.me.real_name), h("span.who-role", null, state.me.title)), icon(CHEVRON)));
});

function unreadDot(state, ui) {
  const count = state.channels.filter((c) => c.id !== ui.place.id).reduce((sum, c) => sum + c.unread, 0);
  return count ? h("span.alarm", null, h("span.vh", null, `${count} unread`)) : null;
}

function toggleSidebar() {
  app.ui.isSidebarOpen = !app.ui.isSidebarOpen;
  redraw();
  if (app.ui.isSidebarOpen) requestAnimationFrame(() => requestAnimationFrame(() => document.querySelector("#sidebar button")?.focus()));
}

function whoMenu(anchor, state) {
  const people = state.people.filter((p) => !p.is_bot);
  openMenu(anchor, [
    { heading: "Act as" },
    ...people.map((p) => ({ label: p.real_name, note: p.title || `@${p.name}`, mark: avatar(p.id), isChecked: p.id === state.me.id, pick: () => become(p.id) })),
  ], { label: "Act as" });
}

// -- time ----------------------------------------------------------------------------------------------------------

const clockWords = (state) => `${clockTime(workspaceNow())} ${zoneName()}${state.speed === 1 ? "" : ` ×${state.speed}`}`;

setInterval(() => {
  const place = document.getElementById("clock");
  if (!place || !app.state) return;
  const words = clockWords(app.state);
  if (place.textContent !== words) place.textContent = words;
}, 1000);

function clockMenu(anchor, state) {
  const leap = async (minutes) => {
    const answer = await control("clock", { advance_s: minutes * 60 });
    notice(answer.ok ? `${minutes} ${minutes === 1 ? "minute has" : "minutes have"} passed in the workspace.` : answer.why ?? "The clock did not move.", { isError: !answer.ok });
  };
  openMenu(anchor, [
    { heading: "Let time pass in the workspace; the app has its own clock" },
    ...[1, 5, 15, 60].map((m) => ({ label: m === 60 ? "+ 1 hour" : `+ ${m} ${m === 1 ? "minute" : "minutes"}`, pick: () => leap(m) })),
    { heading: "Speed" },
    ...[1, 10, 60].map((s) => ({ label: s === 1 ? "Real time" : `${s} times as fast`, note: s === state.speed ? "now" : null, pick: () => control("clock", { speed: s }) })),
  ], { label: "Workspace time" });
}

// -- theme ---------------------------------------------------------------------------------------------------------

const system = matchMedia("(prefers-color-scheme: dark)");
system.addEventListener("change", redraw);
const isDark = () => (remember.get("theme") ? remember.get("theme") === "dark" : system.matches);

export function applyTheme() {
  const chosen = remember.get("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
}

function flipTheme() {
  remember.set("theme", isDark() ? "light" : "dark");
  applyTheme();
  redraw();
}
