/* The list of places: channels, the app, and channels one could join. */

import { doAct, goHome, goTo } from "./acting.js";
import { fill, h, icon } from "./dom.js";
import { avatar } from "./messages.js";
import { onDraw, redraw } from "./store.js";

const HASH = "M9 4L7 20M17 4l-2 16M4 9h16M3 15h16";
const LOCK = "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3";
const HOME = "M4 11l8-7 8 7v9h-5v-6H9v6H4z";
const isNarrow = matchMedia("(max-width: 800px)");
isNarrow.addEventListener("change", redraw);

onDraw((state, ui) => {
  const host = document.getElementById("sidebar");
  const isOut = isNarrow.matches && !ui.isSidebarOpen;
  host.classList.toggle("open", ui.isSidebarOpen);
  host.inert = isOut;
  document.getElementById("veil").hidden = !(isNarrow.matches && ui.isSidebarOpen);
  const joined = state.channels.filter((c) => c.kind !== "im" && c.is_member);
  const others = state.channels.filter((c) => c.kind !== "im" && !c.is_member);
  const direct = state.channels.find((c) => c.kind === "im");
  fill(host,
    h("h2.side-title", null, "Channels"),
    h("ul", null, joined.map((c) => row(c, ui, icon(c.kind === "private" ? LOCK : HASH), c.name))),
    h("h2.side-title", null, "App"),
    h("ul", null, direct ? row(direct, ui, avatar(state.app.user_id, "small"), state.app.name, status(state)) : null, state.app.has_home ? homeRow(ui) : null),
    others.length ? [h("h2.side-title", null, "Not joined"), h("ul", null, others.map((c) => row(c, ui, icon(HASH), c.name)))] : null,
    h("p.side-foot", null, people(state)),
  );
});

const people = (state) => `${state.people.filter((p) => !p.is_bot).length} people · limits ${state.limits}`;

function row(channel, ui, mark, name, extra = null) {
  const isHere = ui.place.kind === "channel" && ui.place.id === channel.id;
  const kind = ["place", !isHere && channel.unread && "unread"].filter(Boolean).join(" ");
  return h("li", { key: channel.id }, h("button", { type: "button", class: kind, "aria-current": isHere ? "page" : null, onclick: () => goTo(channel.id) },
    mark, h("span.place-name", null, name), extra,
    !isHere && channel.unread ? h(channel.mentions ? "span.badge.loud" : "span.badge", null, channel.unread, h("span.vh", null, " unread")) : null));
}

function homeRow(ui) {
  const isHere = ui.place.kind === "home";
  return h("li", { key: "home" }, h("button.place", { type: "button", "aria-current": isHere ? "page" : null, onclick: goHome }, icon(HOME), h("span.place-name", null, "Home")));
}

function status(state) {
  const isOn = state.connections > 0 || state.mode === "http";
  return h("span", { class: `status ${isOn ? "on" : "off"}` }, isOn ? (state.mode === "http" ? "by HTTP" : "connected") : "offline");
}

/** For a channel this person is not in: an explanation and a way in. */
export function outside(channel) {
  return h("div.empty", null, h("p", null, `You are not in #${channel.name}, so you see none of its messages.`),
    h("button.btn.primary", { type: "button", onclick: () => doAct("join", { channel: channel.id }) }, "Join"));
}
