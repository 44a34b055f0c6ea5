/* Start: choose who acts, fetch the state, listen for changes, draw. */

import { follow, goTo, onRefresh } from "./acting.js";
import { fetchState, listen } from "./api.js";
import { recallPlayed } from "./guide.js";
import { refreshInspector } from "./inspector.js";
import { app, redraw, remember } from "./store.js";
import { setUp } from "./stream.js";
import "./sidebar.js";
import { applyTheme } from "./topbar.js";
import "./views.js";

const QUIET_MS = 40; // changes come in bursts; one fetch serves a burst
const ONLY_INSPECTOR = ["envelope", "log", "lint"];

let isFetching = false;
let isStale = false;

/** Fetch the state and draw it. A change during the fetch causes one more. */
async function refresh() {
  if (isFetching) {
    isStale = true;
    return;
  }
  isFetching = true;
  try {
    do {
      isStale = false;
      await fetchOnce();
    } while (isStale);
    setOnline(true);
  } catch {
    setOnline(false);
  } finally {
    isFetching = false;
  }
}

async function fetchOnce() {
  const who = app.ui.me;
  const fresh = await fetchState(who, app.state?.me.id === who ? app.state.rev : null);
  if (fresh.status === 404 && who) {
    // Remembered from another workspace: take whoever comes first in this one.
    app.ui.me = "";
    isStale = true;
    return;
  }
  if (fresh.unchanged || app.ui.me !== who) return;
  if (!app.state || fresh.rev < app.state.rev) {
    app.ui.seenReplies = {};
    recallPlayed(fresh);
  }
  app.state = fresh;
  app.ui.me = fresh.me.id;
  app.fetchedAt = performance.now();
  settlePlace();
  redraw();
}

// The place may not exist for this person: an outsider sees fewer channels.
function settlePlace() {
  const { state, ui } = app;
  if (ui.place.kind === "home" || state.channels.some((c) => c.id === ui.place.id)) return;
  const joined = state.channels.filter((c) => c.is_member && c.kind !== "im");
  const first = joined.find((c) => /oncall|incident|alert|ops/.test(c.name)) ?? joined[0] ?? state.channels[0];
  if (first) goTo(first.id);
}

function setOnline(isOnline) {
  app.isOnline = isOnline;
  document.getElementById("offline").hidden = isOnline;
}

function clicks(event) {
  const place = event.target.closest?.("a[data-place]");
  if (!place || event.metaKey || event.ctrlKey || event.button) return;
  event.preventDefault();
  follow(place.dataset.place);
}

function escape(event) {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open], .menu")) return;
  const { ui } = app;
  const close = ui.isSidebarOpen
    ? () => { ui.isSidebarOpen = false; redraw(); document.getElementById("open-sidebar")?.focus(); }
    : ui.thread && !event.target.closest?.("#inspector") ? () => document.querySelector("#thread-head button")?.click()
    : ui.inspector ? () => document.querySelector("#inspector .pane-head button")?.click() : null;
  close?.();
}

async function start() {
  applyTheme();
  setUp();
  document.addEventListener("click", clicks);
  document.addEventListener("keydown", escape);
  document.getElementById("veil").addEventListener("click", () => { app.ui.isSidebarOpen = false; redraw(); });
  onRefresh(refresh);
  app.ui.me = new URLSearchParams(location.search).get("as") ?? remember.get("me", "");
  const place = remember.get("place");
  if (place) app.ui.place = place;
  await refresh();
  if (location.pathname.startsWith("/archives/")) follow(location.pathname + location.search);
  else if (app.state) goTo(app.ui.place.kind === "channel" ? app.ui.place.id : app.state.channels[0].id);
  let timer = null;
  listen({
    onUp: refresh,
    onDown: () => setOnline(false),
    onNote: ({ rev, what }) => {
      refreshInspector();
      if (ONLY_INSPECTOR.includes(what) || rev <= (app.state?.rev ?? -1)) return;
      timer ??= setTimeout(() => { timer = null; refresh(); }, QUIET_MS);
    },
  });
}

start();
