"""Slack's limits, applied to every message: what is too long is cut and says so, nothing is dropped without a word.

Numbers are Slack's published ones, except the sum of all blocks: one report saw `msg_blocks_too_long` near 13,200
characters, so we stay below 13,000.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

Block = dict[str, Any]

CUT = "…(cut)"
MAX_BLOCKS = 50
MAX_CHARS = 12_800  # of all blocks as compact JSON
MAX_TEXT = 3_900  # of the fallback; Slack itself cuts far later, people stop reading far earlier
_SECTION, _FIELD, _HEADER, _SMALL = 3_000, 2_000, 150, 3_000
_BUTTON, _VALUE, _OPTION, _OPTION_VALUE, _ALT = 75, 2_000, 75, 150, 2_000
_CONFIRM = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
_SHRINK_TO = (1_500, 800, 400, 200, 100, 50)  # of each text, until the message as a whole fits
_HALF_TOKEN = re.compile(r"(<[^<>]*|&[a-z]{0,4})$")


def clamp(text: str, blocks: list[Block]) -> tuple[str, tuple[Block, ...]]:
    """The same message within Slack's limits."""
    kept = _folded([fitted(block) for block in blocks])
    for cap in _SHRINK_TO:
        if size(kept) <= MAX_CHARS:
            break
        for holder in (holder for block in kept for holder in _texts(block)):
            holder["text"] = cut(holder["text"], cap)
    return cut(text, MAX_TEXT), tuple(kept)


def size(blocks: list[Block]) -> int:
    """Characters of the blocks as compact JSON."""
    return len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":")))


def cut(text: str, cap: int) -> str:
    """At most `cap` characters, never in the middle of a mention, link, date or escape, and with code closed."""
    if len(text) <= cap:
        return text
    kept = _HALF_TOKEN.sub("", text[: cap - len(CUT) - 4])
    fence = "\n```" if kept.count("```") % 2 else ""
    return f"{kept.rstrip('`') if fence else kept}{fence}{CUT}"


def fitted(block: Block) -> Block:
    """One block within its own limits. Kinds that are not known here pass as they are."""
    match block.get("type"):
        case "header":
            block["text"] = _text(block.get("text"), _HEADER)
        case "section":
            _fit_section(block)
        case "context":
            items = block.get("elements") or []
            block["elements"] = [_text(item, _SMALL) for item in _capped(items, 10)]
        case "actions":
            block["elements"] = [_fit_element(item) for item in (block.get("elements") or [])[:25]]
        case "image":
            block["alt_text"] = cut(str(block.get("alt_text") or "picture"), _ALT)
    return block


def _fit_section(block: Block) -> None:
    if "text" in block:
        block["text"] = _text(block["text"], _SECTION)
    if block.get("fields"):
        block["fields"] = [_text(item, _FIELD) for item in _capped(block["fields"], 10)]
    elif "fields" in block:
        del block["fields"]
        block.setdefault("text", {"type": "plain_text", "text": "-"})


def _fit_element(item: Block) -> Block:
    if "text" in item:
        item["text"] = _text(item["text"], _BUTTON)
    if "value" in item:
        item["value"] = str(item["value"])[:_VALUE]
    for key, cap in _CONFIRM.items():
        if key in item.get("confirm", {}):
            item["confirm"][key] = _text(item["confirm"][key], cap)
    if "options" in item:
        item["options"] = [
            {**option, "text": _text(option["text"], _OPTION), "value": str(option["value"])[:_OPTION_VALUE]}
            for option in item["options"][:5]
        ]
    return item


def _text(item: Any, cap: int) -> Any:
    if isinstance(item, dict) and isinstance(item.get("text"), str):
        item["text"] = cut(item["text"], cap) or "-"  # Slack refuses an empty text, and a gap is better than no message
    return item


def _capped(items: list[Any], cap: int) -> list[Any]:
    """At most `cap` parts; the last one says how many were cut."""
    if len(items) <= cap:
        return items
    return [*items[: cap - 1], {"type": "mrkdwn", "text": f"{CUT} {len(items) - cap + 1} more"}]


def _folded(blocks: list[Block]) -> list[Block]:
    """At most fifty blocks: what is too much becomes one paragraph; buttons always stay."""
    if len(blocks) <= MAX_BLOCKS:
        return blocks
    buttons = [block for block in blocks if block.get("type") == "actions"][: MAX_BLOCKS - 1]
    others = [block for block in blocks if block.get("type") != "actions"]
    room = MAX_BLOCKS - len(buttons) - 1
    rest = "\n".join(holder["text"] for block in others[room:] for holder in _texts(block))
    folded = {"type": "section", "text": {"type": "mrkdwn", "text": cut(rest, _SECTION - 10) or CUT, "verbatim": True}}
    return [*others[:room], folded, *buttons]


def _texts(block: Block) -> Iterator[Block]:
    """Every text object of a block that may be cut."""
    if block.get("type") in {"actions", "header", "image"}:
        return
    for holder in (block.get("text"), *(block.get("fields") or ()), *(block.get("elements") or ())):
        if isinstance(holder, dict) and isinstance(holder.get("text"), str):
            yield holder
