"""What is said when a template fails: the same facts, in plain text, with the buttons. A page must go out (S5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.render.contexts import Context, Name
from bot.render.templating import Block, elements, span
from bot.words import cut, harmless, visible

_UNSAID = frozenset({"lead", "buttons", "menu", "call", "rows"})
_NO_WORDS = "A message without words; look into the incident."
_VALUE, _WHOLE, _PART = 700, 8_400, 2_900


def fallback(context: Context) -> tuple[str, list[Block]]:
    """Text and blocks that need no template."""
    told = list(_facts(context))
    plain = cut("\n".join([visible(context.lead[:2_000]), *told]), _WHOLE)
    parts = [plain[start : start + _PART] for start in range(0, len(plain), _PART)]
    blocks: list[Block] = [
        {"type": "section", "text": {"type": "plain_text", "text": part, "emoji": False}}
        for part in (part if part.strip() else _NO_WORDS for part in parts or [_NO_WORDS])
    ]
    found = elements(getattr(context, "buttons", ()), getattr(context, "menu", ()))
    if found:
        blocks.append({"type": "actions", "elements": found})
    text = " · ".join([harmless(context.lead, 700), *(harmless(line, 200) for line in told[:6])])
    return text if text.strip() else _NO_WORDS, blocks


def _facts(context: Context) -> Iterable[str]:
    for field in fields(context):
        if field.name not in _UNSAID:
            value = _said(getattr(context, field.name))
            if value:
                yield f"{field.name.replace('_', ' ')}: {value}"
    for row in getattr(context, "rows", ())[:40]:
        yield "  ".join(_said(cell) for cell in row)


def _said(value: Any) -> str:
    if value is None or value is False or value == "":
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, timedelta):
        return span(value) if value else ""
    if isinstance(value, Name):
        return cut(" ".join(visible(str(value)[:200]).split()), 80)
    if isinstance(value, (tuple, list)):
        parts = [_said(item) for item in value[:25]]
        return cut("; ".join(part for part in parts if part), _VALUE * 2)
    if is_dataclass(value) and not isinstance(value, type):
        parts = [_said(getattr(value, field.name)) for field in fields(value)]
        return ", ".join(part for part in parts if part)
    return cut(" ".join(visible(str(value)[: _VALUE * 2]).split()), _VALUE)
