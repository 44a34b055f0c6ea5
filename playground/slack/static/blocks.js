/* Block Kit to nodes. `scene` is {place, values, errors}: where the blocks stand and what this person entered there. */

import { dateText } from "./dates.js";
import { h } from "./dom.js";
import { interactive } from "./elements.js";
import { channel, glyph, link, mrkdwn, person, plain, textNodes, words } from "./mrkdwn.js";
import { lightbox } from "./overlays.js";
import { app } from "./store.js";

/** All blocks of a message or view. */
export function blocks(list, scene) {
  return (list ?? []).map((block, index) => {
    const node = (MAKERS[block.type] ?? unknown)(block, scene);
    node.$key = block.block_id ?? `block-${index}`;
    return node;
  });
}

const unknown = (block) => h("div.unknown", null, `[this page cannot show a block of type ${block.type}]`);
const spotIn = (block, scene, more = {}) => ({ ...scene, block, ...more });

function section(block, scene) {
  const accessory = block.accessory;
  return h("div.b-section", null,
    h("div.b-words", null,
      block.text ? h("div.prose", null, textNodes(block.text)) : null,
      block.fields ? h("div.b-fields", null, block.fields.map((f) => h("div.prose", null, textNodes(f)))) : null),
    accessory ? h("div.b-accessory", null, accessory.type === "image" ? picture(accessory, "thumb") : interactive(accessory, spotIn(block, scene))) : null);
}

const header = (block) => h("h3.b-header", null, plain(block.text));
const divider = () => h("hr.b-divider");

function context(block) {
  return h("div.b-context", null, block.elements.map((e) => (e.type === "image" ? picture(e, "tiny") : h("div.prose", null, textNodes(e)))));
}

function actions(block, scene) {
  return h("div.b-actions", null, block.elements.map((e) => interactive(e, spotIn(block, scene))));
}

function image(block) {
  return h("figure.b-image", null, block.title ? h("figcaption", null, plain(block.title)) : null, picture(block, "full", words(block.title)));
}

// Addresses outside this machine are not fetched: nothing leaves it. Our files are found by the id in their address.
function source(element) {
  const { id, url } = element.slack_file ?? {};
  const key = id ?? /\/files-pri\/[^/]*?-(F\w+)/.exec(url ?? element.image_url ?? "")?.[1];
  if (key) return { url: app.state.files[key]?.url, missing: "This picture is not shared with you." };
  let address;
  try {
    address = new URL(element.image_url);
  } catch {
    return { missing: "This picture has no valid address." };
  }
  const isHere = ["127.0.0.1", "localhost", "[::1]"].includes(address.hostname) && /^https?:$/.test(address.protocol);
  return isHere ? { url: address.href } : { missing: "Picture from another machine, not fetched here: ", link: address.href };
}

export function picture(element, size, title = "") {
  const found = source(element);
  if (!found.url) {
    return h(`span.no-picture.${size}`, { title: element.alt_text }, size === "full" ? found.missing : "", size === "full" && found.link ? link(found.link) : null,
      h("span.note", null, element.alt_text));
  }
  const img = h("img", { src: found.url, alt: element.alt_text ?? "", loading: size === "tiny" ? null : "eager" });
  if (size === "tiny") return h("span.picture.tiny", null, img);
  return h(`button.picture.${size}`, { type: "button", "aria-label": `Enlarge: ${element.alt_text || title || "picture"}`, onclick: () => lightbox(found.url, element.alt_text, title) }, img);
}

function input(block, scene) {
  const base = `${Object.values(scene.place).join("-")}-${block.block_id}`.replace(/[^\w-]/g, "_");
  const complaint = scene.errors?.[block.block_id];
  const spot = spotIn(block, scene, { labelId: `l-${base}`, errorId: complaint ? `e-${base}` : null });
  return h(complaint ? "div.b-input.wrong" : "div.b-input", null,
    h("div.b-label", { id: `l-${base}` }, plain(block.label), block.optional ? h("span.note", null, " (optional)") : null),
    interactive(block.element, spot),
    complaint ? h("p.complaint", { id: `e-${base}` }, complaint) : null,
    block.hint ? h("p.note", null, plain(block.hint)) : null);
}

// -- rich text -----------------------------------------------------------------------------------------------------

const richText = (block) => h("div.prose", null, (block.elements ?? []).map(richPart));

function richPart(part) {
  const inside = () => (part.elements ?? []).map(richLeaf);
  switch (part.type) {
    case "rich_text_preformatted": return h("pre", { tabindex: "0" }, h("code", null, inside()));
    case "rich_text_quote": return h("blockquote", null, inside());
    case "rich_text_list":
      return h(part.style === "ordered" ? "ol.rich" : "ul.rich", { class: `indent-${Math.min(part.indent ?? 0, 4)}`, start: part.style === "ordered" && part.offset ? part.offset + 1 : null },
        part.elements.map((item) => h("li", null, (item.elements ?? []).map(richLeaf))));
    default: return h("p", null, inside());
  }
}

function richLeaf(leaf) {
  const node = richWord(leaf);
  const { bold, italic, strike, code } = leaf.style ?? {};
  return [[code, "code"], [strike, "s"], [italic, "em"], [bold, "strong"]].reduce((inner, [isOn, tag]) => (isOn ? h(tag, null, inner) : inner), node);
}

function richWord(leaf) {
  switch (leaf.type) {
    case "text": return lineBreaks(leaf.text);
    case "link": return link(String(leaf.url), ...(leaf.text ? [leaf.text] : []));
    case "emoji": return glyph(String(leaf.name)) ?? fromCode(leaf);
    case "user": return person(leaf.user_id);
    case "channel": return channel(leaf.channel_id);
    case "usergroup": return h("span.mention", null, `@${app.state.usergroups.find((g) => g.id === leaf.usergroup_id)?.handle ?? "group"}`);
    case "broadcast": return h("span.mention.here", null, `@${leaf.range}`);
    case "date": return dateText(Number(leaf.timestamp), String(leaf.format ?? "{date}"));
    default: return String(leaf.text ?? "");
  }
}

const lineBreaks = (text) => h("span", null, String(text ?? "").split("\n").flatMap((row, index) => (index ? [h("br"), row] : [row])));

function fromCode(leaf) {
  try {
    return String.fromCodePoint(...leaf.unicode.split("-").map((c) => parseInt(c, 16)));
  } catch {
    return `:${leaf.name}:`;
  }
}

// -- tables and the newer blocks -------------------------------------------------------------------------------------

function table(block) {
  const [head, ...rows] = block.rows ?? [];
  const align = (index) => `to-${block.column_settings?.[index]?.align ?? "left"}`;
  return h("div.b-table", { tabindex: "0", role: "region", "aria-label": block.caption || "Table" },
    h("table", null,
      block.caption ? h("caption", null, block.caption) : null,
      h("thead", null, h("tr", null, (head ?? []).map((c, i) => h("th", { scope: "col", class: align(i) }, cell(c))))),
      h("tbody", null, rows.map((row) => h("tr", null, row.map((c, i) => h("td", { class: c?.type === "raw_number" ? "to-right" : align(i) }, cell(c))))))));
}

function cell(value) {
  if (value?.type === "rich_text") return richText(value);
  return String(value?.text ?? value?.value ?? "");
}

function chart(block) {
  const { type, series = [], categories = [], slices = [] } = block.chart ?? {};
  const rows = slices.length
    ? slices.map((s) => [s.label ?? s.name, s.value])
    : series.flatMap((s) => (s.data ?? s.values ?? []).map((p, i) => [`${s.name ?? ""} ${p.label ?? categories[i] ?? i + 1}`.trim(), p.value ?? p]));
  return h("figure.b-image", null,
    h("figcaption", null, `${block.title ?? "Chart"}${type ? ` (${type} chart, shown as numbers)` : ""}`),
    h("div.b-table", { tabindex: "0", role: "region", "aria-label": String(block.title ?? "Chart") },
      h("table", null, h("tbody", null, rows.map(([name, value]) => h("tr", null, h("th", { scope: "row" }, String(name ?? "")), h("td.to-right", null, String(value ?? ""))))))));
}

const textOf = (value) => (typeof value === "string" ? mrkdwn(value) : textNodes(value));

function card(block, scene) {
  return h("div.b-card", null,
    block.hero_image ? picture(block.hero_image, "full") : null,
    ["title", "subtitle", "body", "subtext"].filter((n) => block[n]).map((n) => h(`div.prose.card-${n}`, null, textOf(block[n]))),
    block.actions ? actions({ ...block, elements: block.actions }, scene) : null);
}

const alert = (block, scene) => h(`div.b-alert.${/^\w+$/.test(block.level ?? "") ? block.level : "info"}`, { role: "note" }, section(block, scene));
const container = (block, scene) => h("div.b-card", null, block.title ? h("div.prose.card-title", null, textOf(block.title)) : null, blocks(block.child_blocks ?? block.elements, scene));

const TASK_MARKS = { pending: "○", in_progress: "◐", complete: "✓", error: "✕" };

function task(block) {
  const status = TASK_MARKS[block.status] ? block.status : "pending";
  return h(`div.b-task.${status}`, null, h("span.task-mark", { role: "img", "aria-label": status.replace("_", " ") }, TASK_MARKS[status]), h("span", null, String(block.title ?? "")));
}

const plan = (block) => h("div.b-card", null, h("div.prose.card-title", null, textOf(block.title)), (block.tasks ?? []).map(task));
const markdown = (block) => h("div.prose", null, mrkdwn(String(block.text ?? ""), { isMarkdown: true }));
const video = (block) => h("div.b-card", null, h("div.prose.card-title", null, textOf(block.title)), link(String(block.title_url ?? block.video_url ?? ""), "Open the video"));

const MAKERS = {
  section, header, divider, context, actions, image, input, rich_text: richText, table, data_table: table, markdown, context_actions: actions,
  data_visualization: chart, card, alert, container, carousel: container, task_card: task, plan, video, file: () => h("div.note", null, "[remote file]"),
};
