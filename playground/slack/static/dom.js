/*
 * The only way this page makes elements.
 *
 * `h` builds real nodes; strings become text nodes and nothing is ever parsed as HTML, so a hostile message stays text.
 * `morph` changes an old tree into a new one in place: focus, caret, scroll and half-typed words survive a refresh.
 */

const PROPERTIES = new Set(["value", "checked", "selected", "disabled", "indeterminate", "readOnly"]);
const SVG = "http://www.w3.org/2000/svg";

/** `h("button.small", {onclick, key, "aria-label": …}, children…)`. Null, undefined and false children are left out. */
export function h(spec, props, ...children) {
  const [tag, ...classes] = spec.split(".");
  const el = document.createElement(tag || "div");
  if (classes.length) el.className = classes.join(" ");
  for (const [name, value] of Object.entries(props ?? {})) give(el, name, value);
  append(el, children);
  // An option can only be picked once it is there.
  if (tag === "select" && props?.value != null) el.value = props.value;
  return el;
}

function give(el, name, value) {
  if (value == null || value === false && !PROPERTIES.has(name) && !name.startsWith("aria-")) return;
  if (name.startsWith("on")) listen(el, name.slice(2), value);
  else if (name === "key") el.$key = String(value);
  else if (name === "class") el.classList.add(...String(value).split(" ").filter(Boolean));
  else if (name === "keep") el.$keep = true;
  else if (name === "tone") el.style.setProperty("--tone", value);
  else if (PROPERTIES.has(name)) setProperty(el, name, value);
  else el.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : String(value));
}

function setProperty(el, name, value) {
  el[name] = value;
  (el.$wanted ??= {})[name] = value;
}

function append(el, children) {
  for (const child of children.flat(Infinity)) {
    if (child == null || child === false || child === true) continue;
    el.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

// Handlers live in a slot that morph can exchange, so a refreshed element acts on what it shows now.
function listen(el, type, handler) {
  el.$on ??= {};
  if (!(type in el.$on)) el.addEventListener(type, run);
  el.$on[type] = handler;
}

function run(event) {
  return event.currentTarget.$on?.[event.type]?.(event);
}

/** An icon drawn from one path of a 24-unit square; hidden from assistive technology, the button beside it has the name. */
export function icon(path, className = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon ${className}`.trim());
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** Make `old` look and act like `fresh`; returns the node that is now in the page. */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.$key !== fresh.$key) {
    old.replaceWith(fresh);
    return fresh;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return old;
  }
  if (old.$keep) return old;
  morphAttributes(old, fresh);
  if (old.namespaceURI !== SVG || old.childNodes.length) morphChildren(old, fresh);
  morphProperties(old, fresh);
  for (const [type, handler] of Object.entries(fresh.$on ?? {})) listen(old, type, handler);
  for (const type of Object.keys(old.$on ?? {})) if (!fresh.$on?.[type]) old.$on[type] = null;
  return old;
}

function morphAttributes(old, fresh) {
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) === value) continue;
    // The page's policy forbids style attributes from text, not from the object model.
    if (name === "style") old.style.cssText = value;
    else old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    // A person opened it; a refresh does not close it.
    if (name === "open" || fresh.hasAttribute(name)) continue;
    old.removeAttribute(name);
  }
}

function morphProperties(old, fresh) {
  for (const [name, value] of Object.entries(fresh.$wanted ?? {})) {
    const before = old.$wanted?.[name];
    const isTyping = name === "value" && old === document.activeElement && old.nodeName !== "SELECT";
    if (before !== value && !isTyping) old[name] = value;
    (old.$wanted ??= {})[name] = value;
  }
}

function morphChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.childNodes) if (child.$key) keyed.set(child.$key, child);
  let here = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const match = wanted.$key ? keyed.get(wanted.$key) : here && !here.$key ? here : null;
    if (!match) {
      old.insertBefore(wanted, here);
      continue;
    }
    if (match !== here) old.insertBefore(match, here);
    const kept = morph(match, wanted);
    here = kept.nextSibling;
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

/** Replace the children of `el` by morphing. */
export function fill(el, ...children) {
  const fresh = el.cloneNode(false);
  append(fresh, children);
  morphChildren(el, fresh);
}

/**
 * Keep `list` equal to `items` of {key, sign, build}: an item is built again only when its sign changed.
 * Returns true when anything changed.
 */
export function keepList(list, items) {
  const known = new Map([...list.children].map((el) => [el.$key, el]));
  let here = list.firstElementChild;
  let hasChanged = false;
  for (const { key, sign, build } of items) {
    let el = known.get(key);
    known.delete(key);
    if (!el || el.$sign !== sign) {
      const fresh = build();
      fresh.$key = key;
      const kept = !el ? fresh : el.$keep ? exchange(el, fresh) : morph(el, fresh);
      if (here === el && el) here = kept;
      el = kept;
      el.$sign = sign;
      hasChanged = true;
    }
    if (el === here) here = here.nextElementSibling;
    else list.insertBefore(el, here);
  }
  for (const el of known.values()) el.remove();
  return hasChanged || known.size > 0;
}

// What fills itself when opened is made anew as a whole, and stays open.
function exchange(old, fresh) {
  fresh.open = old.open;
  old.replaceWith(fresh);
  return fresh;
}

/** Tell screen readers, and nobody else. */
export function announce(text) {
  const region = document.getElementById("announcer");
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}
