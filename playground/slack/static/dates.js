/* Times in the zone of the person who reads. Workspace times are seconds since 1970. */

import { app, workspaceNow } from "./store.js";

const cache = new Map();

/** The person's zone; where the workspace names none (UTC), the zone of whoever sits at the screen. */
function zone() {
  const own = app.state?.me.tz ?? "";
  return own && !own.includes("UTC") ? own : Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function format(options, seconds) {
  const timeZone = zone();
  const key = JSON.stringify([options, timeZone]);
  if (!cache.has(key)) {
    let made;
    try {
      made = new Intl.DateTimeFormat("en-GB", { ...options, timeZone });
    } catch {
      made = new Intl.DateTimeFormat("en-GB", options); // a zone this browser does not know
    }
    cache.set(key, made);
  }
  return cache.get(key).format(new Date(seconds * 1000));
}

const HM = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

export const clockTime = (s) => format(HM, s);
export const clockTimeSecs = (s) => format({ ...HM, second: "2-digit" }, s);
const parts = (s) => format({ year: "numeric", month: "2-digit", day: "2-digit" }, s).split("/").reverse();
export const dayKey = (s) => parts(s).join("-");

export function fullTime(s) {
  return `${format({ weekday: "long", day: "numeric", month: "long", year: "numeric" }, s)}, ${clockTimeSecs(s)} ${zoneName()}`;
}

/** "Europe/Paris" → "Paris". */
export function zoneName() {
  return (zone().split("/").pop() ?? "").replaceAll("_", " ");
}

/** Heading of a day in the stream. */
export function dayName(s) {
  return pretty(s) ?? format({ weekday: "long", day: "numeric", month: "long" }, s);
}

function pretty(s) {
  const now = workspaceNow();
  const names = { [dayKey(now)]: "Today", [dayKey(now - 86400)]: "Yesterday", [dayKey(now + 86400)]: "Tomorrow" };
  return names[dayKey(s)] ?? null;
}

function ago(s) {
  const gap = s - workspaceNow();
  const size = Math.abs(gap);
  const [step, unit] = size < 60 ? [1, "second"] : size < 3600 ? [60, "minute"] : size < 86400 ? [3600, "hour"] : [86400, "day"];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(gap / step), unit);
}

const LONG = { weekday: "long", year: "numeric", month: "long", day: "numeric" };
const PIECES = {
  date_num: (s) => dayKey(s),
  date: (s) => format({ year: "numeric", month: "long", day: "numeric" }, s),
  date_short: (s) => format({ year: "numeric", month: "short", day: "numeric" }, s),
  date_long: (s) => format(LONG, s),
  date_pretty: (s) => pretty(s)?.toLowerCase() ?? PIECES.date(s),
  date_short_pretty: (s) => pretty(s)?.toLowerCase() ?? PIECES.date_short(s),
  date_long_pretty: (s) => pretty(s)?.toLowerCase() ?? PIECES.date_long(s),
  time: clockTime,
  time_secs: clockTimeSecs,
  ago,
};

/** `{date_short} at {time}` with the pieces filled in; unknown pieces stay as they are. */
export function dateText(seconds, form) {
  return form.replace(/\{(\w+)\}/g, (whole, name) => PIECES[name]?.(seconds) ?? whole);
}
