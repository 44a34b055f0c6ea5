/* Talks to the workspace: /ui/* for what a person sees and does, /_sim/* for the simulator's own controls. */

async function json(path, options) {
  const answer = await fetch(path, options);
  const body = await answer.json().catch(() => ({ ok: false, why: `the workspace answered ${answer.status}` }));
  return { status: answer.status, ...body };
}

function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return json(path, { method: "POST", headers, body: JSON.stringify(body) });
}

/** Everything `who` may see, or {unchanged: true}. */
export function fetchState(who, since) {
  const query = new URLSearchParams({ as: who });
  if (since != null) query.set("since", since);
  return json(`/ui/state?${query}`);
}

/** Do something as a person. Never throws: a dead server is an answer with `ok: false` and a `why`. */
export async function act(who, what, body = {}) {
  try {
    return await post("/ui/do", { as: who, act: what, ...body });
  } catch {
    return { ok: false, status: 0, why: "The workspace does not answer. Is its process still running?" };
  }
}

export const fetchEnvelopes = (limit = 80) => json(`/ui/envelopes?limit=${limit}`);
export const control = (name, body) => post(`/_sim/${name}`, body).catch(() => ({ ok: false }));
export const healAll = () => json("/_sim/fault", { method: "DELETE" }).catch(() => ({ ok: false }));

/** Live notes by server-sent events; the browser reconnects by itself. */
export function listen({ onNote, onUp, onDown }) {
  const source = new EventSource("/ui/stream");
  source.onopen = onUp;
  source.onerror = onDown;
  source.onmessage = (event) => onNote(JSON.parse(event.data));
  return source;
}
