/* The controls of Block Kit. Each tells the workspace what a person did; the workspace decides what that means. */

import { act } from "./api.js";
import { h, icon } from "./dom.js";
import { plain, textNodes, words } from "./mrkdwn.js";
import { confirm, notice, openMenu } from "./overlays.js";
import { app } from "./store.js";

export const DOTS = "M5 12h.01M12 12h.01M19 12h.01";

/** Where an element stands: {place: {channel, ts} | {view_id}, values, block, labelId, errorId}. */
const idOf = (spot, element) => `f-${[...Object.values(spot.place), spot.block.block_id, element.action_id].join("-").replace(/[^\w-]/g, "_")}`;
const held = (spot, element) => spot.values?.[spot.block.block_id]?.[element.action_id] ?? {};
const nameFor = (spot, element) => spot.labelId
  ? { "aria-labelledby": spot.labelId, "aria-describedby": spot.errorId, "aria-invalid": spot.errorId ? "true" : null }
  : { "aria-label": element.accessibility_label || words(element.placeholder) || kindName(element.type) };
const kindName = (kind) => kind.replaceAll("_", " ");

/** Use an element as the current person; asks its confirm dialog first. Resolves to true when the app has it. */
export async function use(spot, element, extra = {}, control = null) {
  const body = { ...spot.place, block_id: spot.block.block_id, action_id: element.action_id, ...extra };
  if (element.confirm) body.confirmed = await confirm(element.confirm);
  control?.classList.add("busy");
  control?.setAttribute("aria-busy", "true");
  const answer = await act(app.state.me.id, "use", body);
  control?.classList.remove("busy");
  control?.removeAttribute("aria-busy");
  if (!answer.ok) notice(answer.why || "That did not work.", { isError: true });
  const isDone = answer.ok && body.confirmed !== false;
  if (isDone) document.dispatchEvent(new CustomEvent("played", { detail: { did: "use", words: words(element.text), who: app.state.me.id } }));
  return isDone;
}

/** One interactive element (or image) as a node. */
export function interactive(element, spot) {
  const make = MAKERS[element.type];
  return make ? make(element, spot) : h("span.unknown", null, `[this page cannot show ${kindName(element.type)}]`);
}

function button(element, spot) {
  const go = (event) => {
    const control = event.currentTarget;
    if (control.classList.contains("busy")) return;
    if (/^https?:/i.test(element.url ?? "")) open(element.url, "_blank", "noopener");
    use(spot, element, {}, control);
  };
  return h(`button.btn.${element.style ?? "plain"}`, {
    type: "button", key: `${spot.block.block_id}/${element.action_id}`, onclick: go,
    "aria-label": element.accessibility_label, "data-action": element.action_id,
  }, plain(element.text));
}

function overflow(element, spot) {
  const items = (element.options ?? []).map((option) => ({
    label: textNodes(option.text), note: option.description ? textNodes(option.description) : null,
    pick: () => {
      if (/^https?:/i.test(option.url ?? "")) open(option.url, "_blank", "noopener");
      use(spot, element, { value: option.value });
    },
  }));
  return h("button.btn.overflow", {
    type: "button", key: `${spot.block.block_id}/${element.action_id}`, "aria-haspopup": "menu", "aria-expanded": "false",
    "aria-label": element.accessibility_label || "More actions",
    onclick: (event) => openMenu(event.currentTarget, items, { label: "More actions" }),
  }, icon(DOTS, "dots"));
}

// -- choosing one ------------------------------------------------------------------------------------------------

const option = (o) => ({ value: String(o.value), label: words(o.text) });

function offered(element) {
  const { state } = app;
  const kind = element.type.replace("multi_", "");
  if (kind === "users_select") {
    const people = [...state.people].sort((a, b) => a.is_bot - b.is_bot);
    return people.map((p) => ({ value: p.id, label: p.title ? `${p.real_name} – ${p.title}` : p.real_name || p.name }));
  }
  if (kind === "channels_select") return state.channels.filter((c) => c.kind === "public").map((c) => ({ value: c.id, label: `#${c.name}` }));
  if (kind === "conversations_select") return state.channels.map((c) => ({ value: c.id, label: c.kind === "im" ? `@${c.name}` : `#${c.name}` }));
  return (element.options ?? []).map(option);
}

const SINGLE = { users_select: "selected_user", channels_select: "selected_channel", conversations_select: "selected_conversation" };
const SEVERAL = { multi_users_select: "selected_users", multi_channels_select: "selected_channels", multi_conversations_select: "selected_conversations" };

function select(element, spot) {
  const state = held(spot, element);
  const value = String(state[SINGLE[element.type]] ?? state.selected_option?.value ?? "");
  const one = (o) => h("option", { value: o.value }, o.label);
  const groups = (element.option_groups ?? []).map((g) => h("optgroup", { label: words(g.label) }, g.options.map(option).map(one)));
  const changed = async (event) => {
    const control = event.currentTarget;
    const isDone = await use(spot, element, { value: control.value || null }, control);
    if (!isDone) control.value = value;
  };
  return h("select", { id: idOf(spot, element), key: idOf(spot, element), value, onchange: changed, "data-action": element.action_id, ...nameFor(spot, element) },
    h("option", { value: "", disabled: Boolean(value) && !spot.block.optional }, words(element.placeholder) || "Choose …"),
    groups.length ? groups : offered(element).map(one));
}

function externalSelect(element, spot) {
  const state = held(spot, element);
  const chosen = words(state.selected_option?.text) || (state.selected_options ?? []).map((o) => words(o.text)).join(", ");
  const least = element.min_query_length ?? 3;
  const search = async (event) => {
    const field = event.currentTarget;
    if (field.value.length < least) return;
    const body = { ...spot.place, block_id: spot.block.block_id, action_id: element.action_id, query: field.value };
    const { answer = {}, ok, why } = await act(app.state.me.id, "suggest", body);
    if (!ok) return notice(why, { isError: true });
    const options = answer.options ?? (answer.option_groups ?? []).flatMap((g) => g.options);
    if (!options.length) return notice("The app offers nothing for that.");
    const several = element.type.startsWith("multi_") ? (state.selected_options ?? []) : null;
    openMenu(field, options.map((o) => ({
      label: textNodes(o.text),
      pick: () => use(spot, element, several
        ? { value: [...several.map((p) => p.value), o.value], options: [...several, ...options] }
        : { value: o.value, options }),
    })), { label: "Suggestions" });
  };
  return h("input", {
    type: "search", id: idOf(spot, element), key: idOf(spot, element), value: chosen, autocomplete: "off",
    placeholder: words(element.placeholder) || "Type and press Enter to search", ...nameFor(spot, element),
    onchange: search, onkeydown: (event) => event.key === "Enter" && event.preventDefault() === undefined && search(event),
  });
}

function choices(element, spot) {
  const isMany = element.type === "checkboxes";
  const state = held(spot, element);
  const on = new Set(isMany ? (state.selected_options ?? []).map((o) => o.value) : [state.selected_option?.value]);
  const name = idOf(spot, element);
  const changed = (event) => {
    const box = event.currentTarget.closest(".choices");
    const picked = [...box.querySelectorAll("input:checked")].map((i) => i.value);
    use(spot, element, { value: isMany ? picked : picked[0] });
  };
  return h("div.choices", { key: name, role: isMany ? "group" : "radiogroup", ...nameFor(spot, element), "aria-invalid": null },
    (element.options ?? []).map((o) => h("label.choice", null,
      h("input", { type: isMany ? "checkbox" : "radio", name, value: o.value, checked: on.has(o.value), onchange: changed }),
      h("span", null, textNodes(o.text), o.description ? h("span.note", null, textNodes(o.description)) : null))));
}

function several(element, spot) {
  const state = held(spot, element);
  const on = new Set(state[SEVERAL[element.type]] ?? (state.selected_options ?? []).map((o) => o.value));
  const all = [...offered(element), ...(element.option_groups ?? []).flatMap((g) => g.options.map(option))];
  const changed = (event) => {
    const picked = [...event.currentTarget.closest("details").querySelectorAll("input:checked")].map((i) => i.value);
    use(spot, element, { value: picked });
  };
  const chosen = all.filter((o) => on.has(o.value)).map((o) => o.label);
  return h("details.several", { key: idOf(spot, element) },
    h("summary", nameFor(spot, element), chosen.join(", ") || words(element.placeholder) || "Choose …"),
    h("div.choices", { role: "group", ...nameFor(spot, element) }, all.map((o) => h("label.choice", null,
      h("input", { type: "checkbox", value: o.value, checked: on.has(o.value), onchange: changed }), h("span", null, o.label)))));
}

// -- typing ------------------------------------------------------------------------------------------------------

function typed(element, spot) {
  const isLong = Boolean(element.multiline);
  const state = held(spot, element);
  const value = String(state.value ?? richWords(state.rich_text_value));
  const tell = (control, extra = {}) => {
    control.$sent = control.value;
    return use(spot, element, { value: control.value, ...extra });
  };
  const isDispatched = spot.block.type !== "input" || spot.block.dispatch_action;
  const keys = (event) => {
    if (event.key === "Enter" && !isLong && isDispatched) {
      event.preventDefault();
      tell(event.currentTarget, { enter: true });
    }
  };
  const field = h(isLong || element.type === "rich_text_input" ? "textarea" : "input", {
    id: idOf(spot, element), key: idOf(spot, element), value, placeholder: words(element.placeholder) || null, onkeydown: keys,
    onchange: (event) => event.currentTarget.$sent !== event.currentTarget.value && tell(event.currentTarget),
    maxlength: element.max_length, minlength: element.min_length, autocomplete: "off", rows: isLong ? "4" : null,
    inputmode: { number_input: "decimal", email_text_input: "email", url_text_input: "url" }[element.type],
    "data-action": element.action_id, "data-typed": "", "aria-required": spot.block.type === "input" ? String(!spot.block.optional) : null,
    ...(element.focus_on_load ? { autofocus: true } : {}), ...nameFor(spot, element),
  });
  field.$tell = tell;
  return field;
}

const richWords = (value) => (value?.elements ?? []).flatMap((e) => e.elements ?? []).map((p) => p.text ?? "").join("");

/** Tell the workspace about every field that was changed but not left. */
export async function flush(root) {
  for (const field of root.querySelectorAll("[data-typed]")) {
    const before = field.$sent ?? field.$wanted?.value ?? "";
    if (field.value !== before) await field.$tell?.(field);
  }
}

function picker(element, spot) {
  const state = held(spot, element);
  const [type, name] = { datepicker: ["date", "selected_date"], timepicker: ["time", "selected_time"], datetimepicker: ["datetime-local", "selected_date_time"] }[element.type];
  const raw = state[name];
  const value = raw && type === "datetime-local" ? localMinute(raw) : raw ?? "";
  const changed = (event) => {
    const now = event.currentTarget.value;
    use(spot, element, { value: now && type === "datetime-local" ? Math.floor(new Date(now).getTime() / 1000) : now || null });
  };
  return h("input", { type, id: idOf(spot, element), key: idOf(spot, element), value, onchange: changed, ...nameFor(spot, element) });
}

function localMinute(seconds) {
  const date = new Date(seconds * 1000 - new Date(seconds * 1000).getTimezoneOffset() * 60000);
  return date.toISOString().slice(0, 16);
}

function noFiles() {
  return h("p.note", null, "Attaching files by hand is not part of this simulator.");
}

function feedback(element, spot) {
  return h("span.row", null, ["positive_button", "negative_button"].map((name) => {
    const part = element[name];
    return h("button.btn", { type: "button", onclick: () => use(spot, element, { value: part.value }) }, plain(part.text));
  }));
}

const MAKERS = {
  button, overflow, workflow_button: button, radio_buttons: choices, checkboxes: choices,
  static_select: select, users_select: select, channels_select: select, conversations_select: select,
  external_select: externalSelect, multi_external_select: externalSelect,
  multi_static_select: several, multi_users_select: several, multi_channels_select: several, multi_conversations_select: several,
  plain_text_input: typed, email_text_input: typed, url_text_input: typed, number_input: typed, rich_text_input: typed,
  datepicker: picker, timepicker: picker, datetimepicker: picker, file_input: noFiles, feedback_buttons: feedback,
};
