"""Strangers' text, made safe to store and to show: no control characters, no direction tricks, no endless values."""

from __future__ import annotations

import re

CAP = 2_000  # characters; more than anybody reads, less than a template chokes on
# Control characters except tab and newline, soft hyphen, Arabic letter mark, zero-width and direction characters, the
# byte-order mark, halves of surrogate pairs, interlinear marks, characters that Unicode says are none, and invisible
# tags.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_BREAKS = str.maketrans("\t\n", "  ")


def clean(value: object, cap: int = CAP, *, one_line: bool = True) -> str:
    """`value` as text without characters that hide or reorder others, at most `cap` long (“…” at the end when cut).

    None and whatever is not text, a number or a truth value give "". `one_line` turns breaks and tabs into spaces.
    """
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, (int, float)):
        text = str(value)
    else:
        return ""
    if len(text) > cap * 4:  # a megabyte needs no cleaning to be cut
        text = text[: cap * 4]
    if not (text.isascii() and text.isprintable()):
        text = _UNSEEN.sub("", text)
        text = text.translate(_BREAKS) if one_line else text
    return text if len(text) <= cap else text[: cap - 1] + "…"
