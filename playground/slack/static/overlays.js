/* What lies above the page for a moment: menus, confirm dialogs, the lightbox, notices. Escape closes each of them. */

import { h, icon } from "./dom.js";
import { textNodes, plain } from "./mrkdwn.js";

export const CROSS = "M6 6l12 12M18 6L6 18";

/**
 * A menu at `anchor`. Items: {label, note, mark, isChecked, isDanger, pick}, or {heading}.
 * Arrow keys, Home, End and first letters move; Escape gives the focus back.
 */
export function openMenu(anchor, items, { label = "Menu", role = "menu" } = {}) {
  document.querySelector(".menu")?.hidePopover();
  const hasChoice = items.some((item) => "isChecked" in item);
  const menu = h("div.menu", { popover: "auto", role, "aria-label": label });
  for (const item of items) {
    menu.append(item.heading ? h("div.menu-heading", { role: "presentation" }, item.heading) : entry(item, hasChoice, menu));
  }
  // Inside a dialog everything outside of it is inert, so the menu has to live there too.
  (anchor.closest("dialog") ?? document.body).append(menu);
  menu.addEventListener("keydown", (event) => moveIn(menu, event));
  menu.addEventListener("toggle", (event) => {
    anchor.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState !== "closed") return;
    const hadFocus = menu.contains(document.activeElement) || document.activeElement === document.body;
    menu.remove();
    if (hadFocus && anchor.isConnected) anchor.focus();
  });
  menu.showPopover();
  beside(menu, anchor);
  (menu.querySelector('[aria-checked="true"]') ?? menu.querySelector("button"))?.focus();
  return menu;
}

function entry(item, hasChoice, menu) {
  const choose = () => {
    menu.hidePopover();
    item.pick();
  };
  return h(
    item.isDanger ? "button.menu-item.danger" : "button.menu-item",
    {
      type: "button", tabindex: "-1", onclick: choose,
      role: hasChoice ? "menuitemradio" : "menuitem",
      "aria-checked": hasChoice ? Boolean(item.isChecked) : null,
    },
    item.mark ?? null,
    h("span.menu-words", null, h("span.menu-label", null, item.label), item.note ? h("span.menu-note", null, item.note) : null),
  );
}

function moveIn(menu, event) {
  const all = [...menu.querySelectorAll("button")];
  const at = all.indexOf(document.activeElement);
  const go = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
  if (go !== undefined) all.at(go % all.length)?.focus();
  else if (event.key === "Tab") menu.hidePopover();
  else if (event.key.length === 1 && /\S/.test(event.key)) {
    const later = [...all.slice(at + 1), ...all];
    later.find((b) => b.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
  } else return;
  if (event.key !== "Tab") event.preventDefault();
}

function beside(menu, anchor) {
  const gap = 4;
  const at = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = at.bottom + gap + height <= innerHeight;
  const top = below ? at.bottom + gap : Math.max(gap, at.top - gap - height);
  const left = at.left + width + gap <= innerWidth ? at.left : at.right - width;
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.max(gap, Math.min(left, innerWidth - width - gap))}px`;
}

/** Show a `<dialog>` and remove it when it closes; the focus returns to where it was. */
export function show(dialog, onClose) {
  const before = document.activeElement;
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose?.();
    if (before?.isConnected) before.focus();
  });
  dialog.showModal();
  return dialog;
}

/** Ask a Block Kit confirm dialog; resolves to true or false. */
export function confirm({ title, text, confirm: yes, deny: no, style }) {
  return new Promise((resolve) => {
    let answer = false;
    const say = (value) => () => {
      answer = value;
      dialog.close();
    };
    const dialog = h(
      "dialog.sheet.small", { "aria-labelledby": "confirm-title", "aria-describedby": "confirm-text", role: "alertdialog" },
      h("h2", { id: "confirm-title" }, plain(title)),
      h("div.prose", { id: "confirm-text" }, textNodes(text)),
      h("div.sheet-foot", null,
        h("button.btn", { type: "button", autofocus: style === "danger", onclick: say(false) }, plain(no)),
        h(`button.btn.${style === "danger" ? "danger" : "primary"}`, { type: "button", autofocus: style !== "danger", onclick: say(true) }, plain(yes))),
    );
    show(dialog, () => resolve(answer));
  });
}

/** A picture at full size. */
export function lightbox(url, alt, title) {
  const close = () => dialog.close();
  const dialog = h(
    "dialog.lightbox", { "aria-label": title || alt || "Picture", onclick: (event) => event.target === dialog && close() },
    h("figure", null,
      h("img", { src: url, alt: alt || "" }),
      h("figcaption", null,
        h("span", null, title || alt || ""),
        h("a.btn", { href: url, target: "_blank", rel: "noopener noreferrer" }, "Open in a new tab"),
        h("button.btn", { type: "button", onclick: close, autofocus: true }, "Close"))),
  );
  show(dialog);
}

/** A short notice at the bottom; errors stay until they are closed. */
export function notice(text, { isError = false, action = null } = {}) {
  const host = document.getElementById("notices");
  const gone = () => box.remove();
  const box = h(
    isError ? "div.notice.error" : "div.notice", null,
    h("span", null, text),
    action ? h("button.link", { type: "button", onclick: () => { gone(); action.run(); } }, action.label) : null,
    h("button.quiet", { type: "button", "aria-label": "Dismiss notice", onclick: gone }, icon(CROSS)),
  );
  while (host.children.length > 2) host.firstChild.remove();
  host.append(box);
  if (!isError) setTimeout(gone, 7000);
}
