"""Says exactly what Slack would refuse in blocks, messages and views.

`check_blocks`, `check_message` and `check_view` take raw JSON and return a list of `Flaw`s, each with
a JSON pointer. Nothing raises on hostile shapes. The limits are the published ones; where Slack's
documents are silent the checker is silent too. Element rules live in `elements`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from playground.slack import elements as el
from playground.slack.checking import Check, Flaw

MAX_BLOCKS = {"message": 50, "modal": 100, "home": 100}
MAX_TEXT = 40_000  # Slack cuts longer texts; posting more than this is refused
MAX_BLOCK_CHARS = 13_200  # one field report of msg_blocks_too_long; see msg_blocks_chars
MAX_HOME_BYTES = 250_000

ANYWHERE = ("message", "modal", "home")


def _section(c: Check) -> None:
    if "text" not in c.value and "fields" not in c.value:
        c.flaw("missing_field", "a section needs text or fields", field="text")
    c.text("text", 3000, required=False)
    for item in c.items("fields", 10, required=False):
        el.text_object(item, 2000)
    if "accessory" in c.value:
        el.element(c.child("accessory"), el.ACCESSORIES)


def _header(c: Check) -> None:
    c.text("text", 150, plain=True)


def _divider(c: Check) -> None:
    del c


def _context(c: Check) -> None:
    for item in c.items("elements", 10):
        if item.kind == "image":
            el.image(item)
        else:
            el.text_object(item, 3000)


def _actions(c: Check) -> None:
    for item in c.items("elements", 25):
        el.element(item, el.IN_ACTIONS)


def _context_actions(c: Check) -> None:
    for item in c.items("elements", 5):
        el.element(item, ("feedback_buttons", "icon_button"))


def _image(c: Check) -> None:
    el.image(c)
    c.text("title", 2000, plain=True, required=False)


def _input(c: Check) -> None:
    c.text("label", 2000, plain=True)
    c.text("hint", 2000, plain=True, required=False)
    for flag in ("optional", "dispatch_action"):
        c.boolean(flag)
    if "element" not in c.value:
        c.flaw("missing_field", "an input block needs an element", field="element")
        return
    el.element(c.child("element"), el.IN_INPUT)


def _markdown(c: Check) -> None:
    c.string("text", 12_000)


def _file(c: Check) -> None:
    c.string("external_id", 255)
    c.one_of("source", ("remote",))


def _video(c: Check) -> None:
    c.text("title", 200, plain=True)
    c.string("alt_text", 2000)
    for name in ("video_url", "thumbnail_url"):
        c.string(name, 3000)


def _rich_text(c: Check) -> None:
    kinds = ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote")
    for item in c.items("elements", None):
        if item.kind not in kinds:
            item.flaw("invalid_type", f"unknown rich text element {item.kind!r}", field="type")
        for part in item.items("elements", None, minimum=0):
            if not part.kind:
                part.flaw("missing_field", "a rich text part needs a type", field="type")


def _table(c: Check) -> None:
    rows = c.items("rows", 100)
    c.items("column_settings", 20, required=False, minimum=0)
    for row in rows:
        cells = row.value if isinstance(row.value, list) else None
        if cells is None:
            row.flaw("invalid_type", "a table row is a list of cells")
            continue
        if not 1 <= len(cells) <= 20:
            row.flaw("failed_constraint", f"{len(cells)} columns; 1 to 20 are allowed", limit=20)
        for cell in row.children():
            _cell(cell)


def _cell(c: Check) -> None:
    if c.kind not in ("raw_text", "raw_number", "rich_text"):
        c.flaw("invalid_type", f"unknown cell type {c.kind!r}", field="type")
    elif c.kind == "raw_text":
        c.string("text", None)
    elif c.kind == "raw_number":
        c.number("value")


def _data_table(c: Check) -> None:
    c.string("caption", None)
    rows = c.items("rows", 201, minimum=2)
    c.whole("page_size", 1, 100)
    c.whole("row_header_column_index", 0, 19)
    widths = {len(r.value) for r in rows if isinstance(r.value, list)}
    if len(widths) > 1:
        c.flaw("failed_constraint", "all rows need the same number of cells", field="rows")
    characters = 0
    for row in rows:
        if not isinstance(row.value, list) or not 1 <= len(row.value) <= 20:
            row.flaw("failed_constraint", "a row holds 1 to 20 cells", limit=20)
            continue
        for cell in row.children():
            _cell(cell)
            characters += len(str(cell.get("text", "")))
    if characters > 20_000:
        c.flaw("failed_constraint", f"{characters} characters in cells; at most 20000", limit=20000)


def _data_visualization(c: Check) -> None:
    c.string("title", 50)
    chart = c.child("chart")
    if not isinstance(chart.value, dict):
        chart.flaw("missing_field", "a data_visualization needs a chart", field="chart")
        return
    kind = chart.one_of("type", ("line", "bar", "area", "pie"))
    if kind == "pie":
        for segment in chart.items("segments", 12):
            segment.string("label", 20)
            segment.number("value", above=0)
        return
    for series in chart.items("series", 12):
        series.string("name", 20)
        for point in series.items("data", 20):
            point.string("label", 20)
            point.number("value")
    axis = chart.child("axis_config")
    if isinstance(axis.value, dict):
        for label in axis.items("categories", 20, required=False):
            if not isinstance(label.value, str) or len(label.value) > 20:
                label.flaw("failed_constraint", "a category is a text of at most 20", limit=20)
        for name in ("x_label", "y_label"):
            axis.string(name, 50, required=False)


def _plan(c: Check) -> None:
    c.string("title", None)
    tasks = c.items("tasks", 50, minimum=0)
    for task in tasks:
        _task(task, ("pending", "in_progress", "complete", "error"))
    names = [task.get("task_id") for task in tasks]
    if any(names.count(n) > 1 for n in names):
        c.flaw("failed_constraint", "two tasks have the same task_id", field="tasks")


def _task_card(c: Check) -> None:
    # Only tasks inside a plan can be pending.
    _task(c, ("in_progress", "complete", "error"))


def _task(c: Check, states: tuple[str, ...]) -> None:
    c.string("task_id", None)
    c.string("title", None)
    c.one_of("status", states)


def _alert(c: Check) -> None:
    c.text("text", 200)
    c.one_of("level", ("default", "info", "warning", "error", "success"), required=False)


def _card(c: Check) -> None:
    for name, limit in (("title", 150), ("subtitle", 150), ("body", 200), ("subtext", 200)):
        c.text(name, limit, required=False)
    for item in c.items("actions", 3, required=False):
        el.element(item, ("button",))


def _carousel(c: Check) -> None:
    for item in c.items("elements", 10):
        _one(item, "message", ("card",))


def _container(c: Check) -> None:
    c.text("title", 150, required=False)
    c.text("subtitle", 150, required=False)
    for item in c.items("child_blocks", 10):
        _one(item, "message", tuple(k for k in RULES if k not in ("container", "input")))


Rule = tuple[Callable[[Check], None], tuple[str, ...]]
RULES: dict[str, Rule] = {
    "section": (_section, ANYWHERE),
    "header": (_header, ANYWHERE),
    "divider": (_divider, ANYWHERE),
    "context": (_context, ANYWHERE),
    "actions": (_actions, ANYWHERE),
    "image": (_image, ANYWHERE),
    "input": (_input, ANYWHERE),
    "rich_text": (_rich_text, ANYWHERE),
    "video": (_video, ANYWHERE),
    "markdown": (_markdown, ("message",)),
    "file": (_file, ("message",)),
    "context_actions": (_context_actions, ("message",)),
    "table": (_table, ("message",)),
    "data_table": (_data_table, ("message",)),
    "data_visualization": (_data_visualization, ("message",)),
    "plan": (_plan, ("message",)),
    "task_card": (_task_card, ("message",)),
    "card": (_card, ("message",)),
    "carousel": (_carousel, ("message",)),
    "container": (_container, ("message",)),
    "alert": (_alert, ("modal",)),
}


def _one(c: Check, surface: str, allowed: tuple[str, ...] | None = None) -> None:
    if not isinstance(c.value, dict):
        c.flaw("invalid_type", "a block is an object")
        return
    rule = RULES.get(c.kind)
    if rule is None or (allowed is not None and c.kind not in allowed):
        c.flaw("invalid_type", f"unsupported type: {c.kind or '(none)'}", field="type",
               expected=sorted(allowed or RULES))  # fmt: skip
        return
    if surface not in rule[1]:
        c.flaw("invalid_type", f"{c.kind} blocks are not allowed in a {surface}", field="type")
    c.string("block_id", 255, required=False)
    rule[0](c)


def check_blocks(value: Any, surface: str = "message", at: str = "/blocks") -> list[Flaw]:
    """Flaws of a list of blocks on a "message", "modal" or "home"."""
    top = Check(value, at, [])
    if not isinstance(value, list):
        top.flaw("invalid_type", "blocks must be a list")
        return top.flaws
    if len(value) > MAX_BLOCKS[surface]:
        top.flaw("failed_constraint", f"no more than {MAX_BLOCKS[surface]} items allowed "
                 f"[{len(value)} given]", limit=MAX_BLOCKS[surface])  # fmt: skip
    for block in top.children():
        _one(block, surface)
    _totals(top)
    return top.flaws


def _totals(top: Check) -> None:
    seen: set[str] = set()
    for block in top.children():
        name = block.get("block_id")
        if isinstance(name, str) and name in seen:
            block.flaw("failed_constraint", f"block_id {name[:60]!r} is used twice", field="block_id")
        seen.add(name if isinstance(name, str) else "")
    dicts = [b for b in top.value if isinstance(b, dict)]
    charts = sum(1 for b in dicts if b.get("type") == "data_visualization")
    if charts > 2:
        top.flaw("failed_constraint", f"{charts} charts; at most 2 in a message", limit=2)
    texts = [len(str(b.get("text"))) for b in dicts if b.get("type") == "markdown"]
    markdown = sum(texts)
    if markdown > 12_000 and len(texts) > 1:
        top.flaw("failed_constraint", f"{markdown} characters of markdown; at most 12000 in a "
                 "message", limit=12_000)  # fmt: skip


def check_message(value: Any) -> list[Flaw]:
    """Flaws of a whole message object (`blocks` and `attachments`)."""
    if not isinstance(value, dict):
        return [Flaw(pointer="", code="invalid_type", message="a message is an object")]
    flaws: list[Flaw] = []
    if value.get("blocks") is not None:
        flaws += check_blocks(value["blocks"])
    attachments = value.get("attachments") or []
    top = Check(attachments, "/attachments", flaws)
    if not isinstance(attachments, list):
        top.flaw("invalid_type", "attachments must be a list")
        return flaws
    if len(attachments) > 100:
        top.flaw("failed_constraint", f"{len(attachments)} attachments; at most 100", limit=100)
    for item in top.children():
        if item.get("blocks") is not None:
            flaws += check_blocks(item.get("blocks"), at=f"{item.at}/blocks")
    return flaws


def check_view(value: Any) -> list[Flaw]:
    """Flaws of a modal or Home view."""
    c = Check(value, "", [])
    if not isinstance(value, dict):
        c.flaw("invalid_type", "a view is an object")
        return c.flaws
    kind = c.one_of("type", ("modal", "home"))
    if kind is None:
        return c.flaws
    if "blocks" not in value:
        c.flaw("missing_field", "a view needs blocks", field="blocks")
    else:
        c.flaws += check_blocks(value["blocks"], kind)
        if value["blocks"] == []:
            c.flaw("failed_constraint", "a view needs at least one block", field="blocks", minimum=1)
    c.string("private_metadata", 3000, required=False, minimum=0)
    c.string("callback_id", 255, required=False, minimum=0)
    c.string("external_id", 255, required=False, minimum=0)
    if kind == "modal":
        c.text("title", 24, plain=True)
        c.text("submit", 24, plain=True, required=False)
        c.text("close", 24, plain=True, required=False)
        _modal_submit(c)
    elif len(json.dumps(value).encode()) > MAX_HOME_BYTES:
        c.flaw("failed_constraint", "a Home view may be at most 250 kB", limit=MAX_HOME_BYTES)
    return c.flaws


def _modal_submit(c: Check) -> None:
    blocks = c.value.get("blocks")
    kinds = [b.get("type") for b in blocks if isinstance(b, dict)] if isinstance(blocks, list) else []
    if "input" in kinds and "submit" not in c.value:
        c.flaw("missing_field", "a modal with input blocks needs submit", field="submit")


def block_chars(blocks: list[Any]) -> int:
    """Size of blocks as JSON without spaces, the measure for `msg_blocks_too_long`."""
    return len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":")))
