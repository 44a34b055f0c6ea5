"""From a template and a context to Slack blocks. The only place that knows Jinja.

Templates are trusted as far as a colleague's edit is; values are not trusted at all. Every printed value is made inert
by `finalize`. Macros of `_blocks.j2` print one line of JSON per block, which is read line by line: nobody writes JSON
by hand, and no value can break it. The environment is sandboxed and an unknown field raises.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from bot.render.contexts import Button, Context, Name
from bot.words import escaped, harmless, one_line, spoken, visible

Block = dict[str, Any]

LONGEST = 1_500  # characters of one printed value: hostile text must leave room for ours
_GROUP = re.compile(r"S[A-Z0-9]{2,30}")
_USER = re.compile(r"[UW][A-Z0-9]{1,30}")
_ADDRESS = re.compile(r"https?://[^\s<>|\"'\\^`{}]{1,1000}")
_ROWS_SHOWN = 25
_LINE = 76  # characters of a table's line; longer ones wrap on a laptop and fall apart
_GAP = "  "
_LINES_SHOWN = 12
_LEAST = (24, 14, 14)  # what a column keeps when a hostile neighbour wants the whole line
_RAW = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MARKDOWN = ((re.compile(r"\*\*([^*\n]+)\*\*"), r"*\1*"), (re.compile(r"(?m)^#{1,6} +(.+)$"), r"*\1*"))
_LINK = re.compile(r"\[([^\]\n]{1,200})\]\((https?://[^\s()<>|]{1,1000})\)")


class BadTemplate(Exception):
    """A template is missing, broken, or printed something that is no block; `file` and `line` say where."""

    def __init__(self, reason: str, *, file: str, line: int = 1) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


def environment(folder: Path) -> SandboxedEnvironment:
    """A sandbox over the folder's templates. Files are read again when they change."""
    env = SandboxedEnvironment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=True, finalize=inert, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=False,
    )  # fmt: skip
    env.filters |= {
        "mention": mention, "clock": clock, "when": when, "code": code, "link": link, "table": table, "names": names,
        "tidy": tidy, "plain": plain, "elements": elements, "lines": lines, "markdown": markdown, "span": inert,
        "short": short, "facts": facts, "flat": flat, "spoken": sentence, "listing": listing,
    }  # fmt: skip
    return env


def run(env: SandboxedEnvironment, name: str, context: Context) -> tuple[str, list[Block]]:
    """Text and blocks of a message. Raises BadTemplate."""
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    try:
        printed = env.get_template(f"{name}.j2").render(values)
    except Exception as problem:
        file, line = _where(problem, name)
        raise BadTemplate(f"{type(problem).__name__}: {problem}", file=file, line=line) from problem
    return parse(printed, name)


def parse(printed: str, name: str) -> tuple[str, list[Block]]:
    """Read what a template printed, line by line. Raises BadTemplate."""
    text, file = "", f"{name}.j2"
    blocks: list[Block] = []
    for line in printed.splitlines():
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError:
            raise BadTemplate(f"printed text outside of a block: {line.strip()[:80]!r}", file=file) from None
        if isinstance(found, dict) and "type" in found:
            blocks.append(found)
        elif isinstance(found, dict) and isinstance(found.get("text"), str):
            text = found["text"]
        else:
            raise BadTemplate(f"printed JSON that is no block: {line.strip()[:80]!r}", file=file)
    if not text.strip():
        raise BadTemplate("has no text for notifications; add a `text` block", file=file)
    if not blocks:
        raise BadTemplate("printed no block", file=file)
    return text, blocks


def _where(problem: Exception, name: str) -> tuple[str, int]:
    """File and line of the template that raised, as far as Jinja tells."""
    if isinstance(problem, TemplateSyntaxError):
        return problem.name or f"{name}.j2", problem.lineno
    found = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename.endswith(".j2")]
    return (Path(found[-1].filename).name, found[-1].lineno or 1) if found else (f"{name}.j2", 1)


def inert(value: object) -> Markup:
    """Any value as text that Slack reads as nothing but text. What is marked as safe stays."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return _safe("")
    if isinstance(value, datetime):
        return clock(value)
    if isinstance(value, timedelta):
        return _safe(span(value))
    return _safe(harmless(str(value), LONGEST))


def _safe(text: str) -> Markup:
    """Text that was made inert, or is our own: the one place where this is claimed."""
    return Markup(text)  # noqa: S704 - every caller has just cleaned what it did not write itself


def lines(value: object) -> Markup:
    """Text of unknown origin that may have several lines; each is made inert."""
    kept = [spoken(line, LONGEST) for line in str(value)[: LONGEST * 2].splitlines()[:40]]
    return _safe("\n".join(line for line in kept if line))


def short(value: object, cap: int) -> Markup:
    """Inert text of at most `cap` characters."""
    return _safe(harmless(str(value), cap))


def sentence(value: object, cap: int) -> Markup:
    """A sentence of the bot's own, at most `cap` characters; commands in backticks are shown as code."""
    return _safe(spoken(str(value), cap))


def markdown(text: str) -> Markup:
    """A runbook's Markdown in Slack's dialect: bold, headings and links; the rest stays as written."""
    kept = visible(text).translate(_RAW)
    for pattern, by in _MARKDOWN:
        kept = pattern.sub(by, kept)
    return _safe(_LINK.sub(r"<\2|\1>", kept))


def span(value: timedelta) -> str:
    """A length of time in words: "47 min", "2 h 5 min", "3 d 4 h", "1.5 s"."""
    seconds = max(value.total_seconds(), 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def clock(value: datetime) -> Markup:
    """The time of day in each reader's own zone; UTC where it cannot be shown."""
    return _token(value, "{time_secs}")


def when(value: datetime) -> Markup:
    """Day and time in each reader's own zone."""
    return _token(value, "{date_short_pretty} {time_secs}")


def _token(value: datetime, form: str) -> Markup:
    at = value.astimezone(UTC)
    return _safe(f"<!date^{int(at.timestamp())}^{form}|{at:%Y-%m-%d %H:%M:%S} UTC>")


def mention(value: Name) -> Markup:
    """A person or a user group by mention, so that Slack calls them; by name where there is no id."""
    if _USER.fullmatch(value.user_id):
        return _safe(f"<@{value.user_id}>")
    if _GROUP.fullmatch(value.user_id):
        return _safe(f"<!subteam^{value.user_id}>")
    return inert(value)


def names(values: Sequence[Name]) -> Markup:
    """Names in a row, without calling anybody."""
    return Markup(", ").join(short(value, 60) for value in values[:10]) + (" …" if len(values) > 10 else "")


def code(value: object) -> Markup:
    """Text in code type."""
    text = harmless(str(value), 200)
    return _safe(f"`{text}`") if text else _safe("")


def link(label: str, address: str) -> Markup:
    """A link, only for a plain http(s) address; otherwise the label alone."""
    shown = harmless(label, 60) or "link"
    if not _ADDRESS.fullmatch(address):
        return _safe(shown)
    return _safe(f"<{address.translate(_RAW)}|{shown}>")


def table(rows: Sequence[Sequence[str]]) -> Markup:
    """Rows as aligned columns in code type. Columns are as wide as they need; what is too long ends in “…”."""
    cells = [[one_line(str(cell), _LINE * 2) for cell in row] for row in rows[:_ROWS_SHOWN]]
    needed = [max(len(row[n]) if n < len(row) else 0 for row in cells) for n in range(max(map(len, cells), default=0))]
    widths = _widths([width for width in needed if width])
    shown = []
    for row in cells:
        filled = [cell for cell, width in zip(row, needed, strict=False) if width]
        line = _GAP.join(_fit(cell, width).ljust(width) for cell, width in zip(filled, widths, strict=False))
        shown.append(escaped(line.rstrip()))
    if len(rows) > _ROWS_SHOWN:
        shown.append(f"… and {len(rows) - _ROWS_SHOWN} more rows")
    return _safe("```\n" + "\n".join(shown) + "\n```")


def listing(values: Sequence[str]) -> Markup:
    """Short lines in code type, one below the other; how many are left out is said."""
    shown = [escaped(_fit(one_line(value, _LINE * 2), _LINE)) for value in values[:_LINES_SHOWN]]
    if len(values) > _LINES_SHOWN:
        shown.append(f"… and {len(values) - _LINES_SHOWN} more")
    return _safe("```\n" + "\n".join(shown) + "\n```")


def _widths(needed: Sequence[int]) -> list[int]:
    """The columns' widths on one line: the last one gives way first, then the first, then the others."""
    widths = list(needed)
    room = _LINE - len(_GAP) * (len(widths) - 1)
    for n in (len(widths) - 1, *range(len(widths) - 1)):
        over = sum(widths) - room
        if over > 0:
            widths[n] = max(widths[n] - over, min(widths[n], _LEAST[min(n, len(_LEAST) - 1)]))
    return widths


def _fit(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1].rstrip()}…"


def tidy(text: str) -> str:
    """The body of a block without the template's own indentation and empty lines."""
    kept: list[str] = []
    is_code = False
    for line in str(text).split("\n"):
        shown = line.rstrip() if is_code else line.strip()
        is_code ^= shown.count("```") % 2 == 1
        if shown:
            kept.append(shown)
    # Joining marked and plain text in a template escapes quotes, which Slack would show as written.
    return "\n".join(kept).replace("&#34;", '"').replace("&#39;", "'")


def flat(text: str) -> str:
    """The body of a block on one line."""
    return " ".join(tidy(text).split())


def plain(text: str) -> str:
    """The body of a plain-text block on one line: without our escapes, and with nothing that could be parsed after all.

    That Slack reads no mention in plain text is believed, not promised; angle quotes look the same and cannot be one.
    """
    return flat(text).replace("&lt;", "‹").replace("&gt;", "›").replace("&amp;", "&")


def facts(pairs: Sequence[tuple[str, object]]) -> list[Block]:
    """Labelled facts as Slack's fields; those without a value are left out."""
    return [
        {"type": "mrkdwn", "text": tidy(f"*{label}*\n{inert(value)}"), "verbatim": True}
        for label, value in pairs
        if value not in (None, "", ())
    ]


def elements(buttons: Sequence[Button], menu: Sequence[tuple[str, str]] = ()) -> list[Block]:
    """Buttons, and an overflow menu where there is one, as Slack's elements."""
    found = [_button(button) for button in buttons]
    if menu:
        options = [{"text": _plain_text(label), "value": value} for label, value in menu]
        found.append({"type": "overflow", "action_id": "more", "options": options})
    return found


def _button(button: Button) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "button", "action_id": button.action_id, "text": _plain_text(button.label), "value": button.value,
    }  # fmt: skip
    if button.style:
        made["style"] = button.style
    if button.confirm:
        made["confirm"] = {
            "title": _plain_text(button.confirm.title), "text": _plain_text(button.confirm.text),
            "confirm": _plain_text(button.confirm.yes), "deny": _plain_text(button.confirm.no),
        }  # fmt: skip
    return made


_ANGLES = str.maketrans({"<": "‹", ">": "›"})


def _plain_text(text: str) -> dict[str, Any]:
    return {
        "type": "plain_text",
        "text": " ".join(visible(text[:2_000]).translate(_ANGLES).split()) or "-",
        "emoji": False,
    }
