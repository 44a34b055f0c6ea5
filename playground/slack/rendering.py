"""Turns messages and views into the words a person reads, and into the controls they can use.

The scripted human searches this text and only finds controls listed here, so nothing can be seen or
clicked that the page would not show.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One element a person can use."""

    label: str
    kind: str  # button, overflow, static_select, plain_text_input …
    block_id: str
    action_id: str
    confirm: Json | None
    options: tuple[tuple[str, str], ...]  # (label, value)
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Who is who, for mentions."""

    people: dict[str, str]
    channels: dict[str, str]
    tz: str

    @classmethod
    def of(cls, screen: Json) -> Names:
        """From a /ui/state answer."""
        return cls(
            people={p["id"]: p["name"] for p in screen["people"]},
            channels={c["id"]: c["name"] for c in screen["channels"]},
            tz=screen["me"]["tz"],
        )


def mrkdwn(text: str, names: Names) -> str:
    """The words a reader sees: links by their label, mentions by name, entities decoded."""

    def tag(found: re.Match[str]) -> str:
        inner, _, label = found[1].partition("|")
        if inner.startswith("@"):
            return "@" + (label or names.people.get(inner[1:], inner[1:]))
        if inner.startswith("#"):
            return "#" + (label or names.channels.get(inner[1:], inner[1:]))
        if inner.startswith("!date^"):
            return _date(inner, label, names.tz)
        if inner.startswith("!subteam^"):
            return label or "@group"
        if inner.startswith("!"):
            return "@" + inner[1:]
        return label or inner

    plain = re.sub(r"<([^<>]+)>", tag, text)
    plain = re.sub(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])", r"\1", plain)
    plain = re.sub(r"(?<![\w_])_([^_\n]+)_(?![\w_])", r"\1", plain)
    plain = re.sub(r"(?<![\w~])~([^~\n]+)~(?![\w~])", r"\1", plain)
    return html.unescape(plain.replace("```", "").replace("`", ""))


_DATE_FORMS = {
    "date_num": "%Y-%m-%d", "date": "%B %-d, %Y", "date_short": "%b %-d, %Y",
    "date_long": "%A, %B %-d, %Y", "date_pretty": "%B %-d, %Y", "date_short_pretty": "%b %-d, %Y",
    "date_long_pretty": "%A, %B %-d, %Y", "time": "%H:%M", "time_secs": "%H:%M:%S",
}  # fmt: skip


def _date(inner: str, fallback: str, tz: str) -> str:
    parts = inner.split("^")
    try:
        when = datetime.fromtimestamp(int(parts[1]), UTC).astimezone(ZoneInfo(tz))
    except (ValueError, IndexError, ZoneInfoNotFoundError, OverflowError):
        return fallback
    form = parts[2] if len(parts) > 2 else "{date}"

    def piece(found: re.Match[str]) -> str:
        return when.strftime(_DATE_FORMS[found[1]]) if found[1] in _DATE_FORMS else found[0]

    return re.sub(r"\{(\w+)\}", piece, form)


def text_of(node: Any, names: Names) -> str:
    """A text object's words."""
    if not isinstance(node, dict):
        return ""
    text = str(node.get("text") or "")
    return mrkdwn(text, names) if node.get("type") == "mrkdwn" else text


def block_lines(blocks: list[Json], names: Names) -> Iterator[str]:
    """The lines a reader sees in blocks."""
    for block in blocks:
        yield from _block(block, names)


def _block(block: Json, names: Names) -> Iterator[str]:
    kind = block.get("type")
    if kind == "header":
        yield f"# {text_of(block.get('text'), names)}"
    elif kind in ("section", "alert"):
        yield from _section(block, names)
    elif kind in ("context", "actions", "context_actions"):
        yield "  ".join(_piece(e, names) for e in block.get("elements", []))
    elif kind == "divider":
        yield "----"
    elif kind == "image":
        yield f"[image: {block.get('alt_text', '')}]"
    elif kind == "input":
        optional = " (optional)" if block.get("optional") else ""
        label = text_of(block.get("label"), names)
        yield f"{label}{optional}: {_piece(block.get('element', {}), names)}"
        if block.get("hint"):
            yield text_of(block["hint"], names)
    elif kind == "markdown":
        yield str(block.get("text", ""))
    elif kind == "rich_text":
        yield _rich(block, names)
    else:
        yield from _rare(block, names)


def _section(block: Json, names: Names) -> Iterator[str]:
    if block.get("text"):
        yield text_of(block["text"], names)
    for field in block.get("fields") or []:
        yield text_of(field, names)
    if block.get("accessory"):
        yield _piece(block["accessory"], names)


def _rare(block: Json, names: Names) -> Iterator[str]:
    kind = block.get("type")
    for name in ("title", "subtitle", "body", "subtext", "caption"):
        value = block.get(name)
        if value:
            yield value if isinstance(value, str) else text_of(value, names)
    for row in block.get("rows") or []:
        yield " | ".join(_cell(c, names) for c in row)
    if kind == "data_visualization":
        yield f"[chart: {block.get('chart', {}).get('type')}]"
    for task in block.get("tasks") or []:
        yield f"[{task.get('status', 'pending')}] {task.get('title', '')}"
    if kind == "task_card":
        yield f"[{block.get('status', 'pending')}]"
    for name in ("child_blocks", "elements"):
        if kind in ("container", "carousel"):
            yield from block_lines(block.get(name) or [], names)
    if kind == "card":
        yield "  ".join(_piece(e, names) for e in block.get("actions") or [])


def _cell(cell: Any, names: Names) -> str:
    if isinstance(cell, dict) and cell.get("type") == "rich_text":
        return _rich(cell, names)
    return str(cell.get("text", cell.get("value", ""))) if isinstance(cell, dict) else ""


def _rich(node: Json, names: Names) -> str:
    kind = node.get("type")
    if kind == "text":
        return str(node.get("text", ""))
    if kind == "user":
        return "@" + names.people.get(str(node.get("user_id")), str(node.get("user_id")))
    if kind == "channel":
        return "#" + names.channels.get(str(node.get("channel_id")), "")
    if kind == "link":
        return str(node.get("text") or node.get("url"))
    if kind == "emoji":
        return f":{node.get('name')}:"
    joint = "\n" if kind in ("rich_text", "rich_text_list") else ""
    return joint.join(_rich(part, names) for part in node.get("elements") or [])


def _piece(element: Json, names: Names) -> str:
    kind = element.get("type", "")
    if kind in ("mrkdwn", "plain_text"):
        return text_of(element, names)
    if kind == "image":
        return f"[image: {element.get('alt_text', '')}]"
    if kind in ("button", "workflow_button"):
        return f"[ {text_of(element.get('text'), names)} ]"
    labels = ", ".join(label for label, _ in _options(element, names))
    if kind == "overflow":
        return f"[ … menu: {labels} ]"
    hint = text_of(element.get("placeholder"), names)
    return f"[{kind} {hint}{': ' + labels if labels else ''}]"


def _options(element: Json, names: Names) -> tuple[tuple[str, str], ...]:
    found = list(element.get("options") or [])
    for group in element.get("option_groups") or []:
        found += group.get("options") or []
    return tuple((text_of(o.get("text"), names), str(o.get("value"))) for o in found)


def controls(blocks: list[Json], names: Names) -> list[Control]:
    """Everything a person can use in these blocks."""
    found: list[Control] = []
    for block in blocks:
        kind = block.get("type")
        if kind in ("container", "carousel"):
            for name in ("child_blocks", "elements"):
                found += controls(block.get(name) or [], names)
            continue
        elements = {
            "actions": block.get("elements"), "context_actions": block.get("elements"),
            "card": block.get("actions"), "input": [block.get("element")],
            "section": [block.get("accessory")],
        }.get(str(kind))  # fmt: skip
        label = text_of(block.get("label"), names) if kind == "input" else ""
        for element in elements or []:
            if isinstance(element, dict) and element.get("action_id"):
                found.append(_control(block, element, label, names))
    return found


def _control(block: Json, element: Json, label: str, names: Names) -> Control:
    own = text_of(element.get("text"), names) or text_of(element.get("placeholder"), names)
    return Control(
        label=label or own, kind=element["type"], block_id=block["block_id"],
        action_id=element["action_id"], confirm=element.get("confirm"),
        options=_options(element, names), url=element.get("url"),
    )  # fmt: skip


def message_text(message: Json, names: Names) -> str:
    """All words of one message. With blocks, `text` is only for notifications and is not shown."""
    lines: list[str] = []
    if not message.get("blocks"):
        lines.append(mrkdwn(message.get("text", ""), names))
    lines += block_lines(message.get("blocks") or [], names)
    for attachment in message.get("attachments") or []:
        for name in ("pretext", "title", "text", "footer"):
            if attachment.get(name):
                lines.append(mrkdwn(str(attachment[name]), names))
        lines += block_lines(attachment.get("blocks") or [], names)
    return "\n".join(line for line in lines if line)


def view_text(view: Json, names: Names) -> str:
    """All words of a modal or Home tab."""
    lines = [f"# {text_of(view['title'], names)}"] if view.get("title") else []
    lines += block_lines(view["blocks"], names)
    lines += [f"! {complaint}" for complaint in view.get("errors", {}).values()]
    if view.get("submit"):
        lines.append(f"[ {text_of(view['submit'], names)} ]")
    return "\n".join(lines)
