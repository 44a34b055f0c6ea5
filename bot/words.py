"""Hostile text made safe to show: nothing in it may mention, link, format, reorder or hide.

Facts: Slack parses `&`, `<` and `>` as control characters (mentions, links, dates) and `*_~` and backticks as
formatting; bidirectional and zero-width characters can make text read differently than it is.
"""

from __future__ import annotations

import unicodedata

_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_FORMATTING = str.maketrans({"`": "ˋ", "*": "∗", "~": "∼"})  # look-alikes that Slack does not read as formatting


def visible(text: str) -> str:
    """The text without control, bidirectional and zero-width characters; line breaks stay."""
    kept = (char for char in text if char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn"})
    return "".join(kept)


def cut(text: str, cap: int) -> str:
    """At most `cap` characters; what is cut is said to be cut."""
    return text if len(text) <= cap else f"{text[: max(cap - 5, 0)]}(cut)"


def harmless(text: str, cap: int = 300) -> str:
    """Text of unknown origin on one line of a Slack message: inert, visible, at most `cap` characters."""
    line = " ".join(visible(text[: cap * 4]).split())
    return cut(line, cap).translate(_FORMATTING).translate(_SLACK)
