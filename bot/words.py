"""Hostile text made safe to show: nothing in it may mention, link, format, reorder or hide.

Facts: Slack parses `&`, `<` and `>` as control characters (mentions, links, dates) and `*_~` and backticks as
formatting; bidirectional and zero-width characters can make text read differently than it is.
"""

from __future__ import annotations

import re
import unicodedata

_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_FORMATTING = str.maketrans({"`": "ˋ", "*": "∗", "~": "∼"})  # look-alikes that Slack does not read as formatting
_DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")
# Between backticks: what a command of ours may look like, and nothing that Slack obeys.
_COMMAND = re.compile(
    r"`([A-Za-z0-9/<](?:(?:[A-Za-z0-9 ._<>|=/\[\]-]|@sha256:|@person\b|(?<=\d):(?=\d)){0,98}[A-Za-z0-9>\]…])?)`"
)


def visible(text: str) -> str:
    """The text without control, bidirectional and zero-width characters; line breaks stay."""
    kept = (char for char in text if char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn"})
    return "".join(kept)


def cut(text: str, cap: int) -> str:
    """At most `cap` characters; what is cut is said to be cut."""
    return text if len(text) <= cap else f"{text[: max(cap - 5, 0)]}(cut)"


def escaped(text: str) -> str:
    """The text with Slack's control characters escaped and its formatting characters replaced by look-alikes."""
    return text.translate(_FORMATTING).translate(_SLACK)


def one_line(text: str, cap: int) -> str:
    """Visible text on one line, at most `cap` characters; not escaped yet."""
    return cut(" ".join(visible(text[: cap * 4]).split()), cap)


def harmless(text: str, cap: int = 300) -> str:
    """Text of unknown origin on one line of a Slack message: inert, visible, at most `cap` characters."""
    return escaped(one_line(text, cap))


def spoken(text: str, cap: int = 300) -> str:
    """One of our own sentences, which may hold strangers' words: inert, but a command in backticks is shown as code.

    Only what could be a command of ours becomes code. What a stranger puts between backticks is as inert there as
    elsewhere: at most, plain words of theirs are set in another type.
    """
    parts = _COMMAND.split(one_line(text, cap))  # every second part was between backticks
    return "".join(f"`{escaped(part)}`" if index % 2 else escaped(part) for index, part in enumerate(parts))


def for_terminal(text: str) -> str:
    """What was written for Slack, as a terminal shows it: dates in UTC, nothing escaped, no control characters."""
    shown = _DATE.sub(r"\1", text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return visible(shown)
