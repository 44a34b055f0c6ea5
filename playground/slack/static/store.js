/*
 * What the page knows: `state` as the workspace last told it, `ui` as this person arranged it.
 * Parts ask for a new drawing by `redraw()`; drawings are gathered into one per frame.
 */

export const app = {
  state: null,
  fetchedAt: 0, // performance.now() when `state` came, so that clocks can run on
  isOnline: true,
  ui: {
    me: null, // user id
    place: { kind: "channel", id: null }, // or {kind: "home"}
    thread: null, // {channel, ts}
    isSidebarOpen: false, // on narrow screens
    inspector: null, // null, or the name of its open tab
    focusTs: null, // a message to scroll to and mark
    newSince: {}, // channel id → last_read when it was opened, for the "new" line
    seenReplies: {}, // thread ts → newest reply seen
    played: {}, // what this person has done so far, for the guide
  },
};

const drawers = [];
let isAsked = false;

export function onDraw(drawer) {
  drawers.push(drawer);
}

export function redraw() {
  if (isAsked) return;
  isAsked = true;
  // A hidden tab gets no frames, but should be right when it is looked at again.
  (document.hidden ? (work) => setTimeout(work, 50) : requestAnimationFrame)(() => {
    isAsked = false;
    if (app.state) for (const draw of drawers) draw(app.state, app.ui);
  });
}

export const remember = {
  get(name, fallback = null) {
    try {
      return JSON.parse(localStorage.getItem(`workspace.${name}`)) ?? fallback;
    } catch {
      return fallback;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`workspace.${name}`, JSON.stringify(value));
    } catch {
      // Private windows may refuse; the page works without memory.
    }
  },
};

export const personOf = (id) => app.state.people.find((p) => p.id === id);
export const channelOf = (id) => app.state.channels.find((c) => c.id === id);
export const directMessage = () => app.state.channels.find((c) => c.kind === "im");

/** The name people are shown by. */
export function nameOf(id) {
  const person = personOf(id);
  if (!person) return id === "USLACKBOT" ? "Workspace" : id;
  return person.is_bot ? person.name : person.real_name || person.name;
}

/** Workspace time in seconds since 1970, now. */
export function workspaceNow() {
  const { now, speed } = app.state;
  return now + ((performance.now() - app.fetchedAt) / 1000) * speed;
}
