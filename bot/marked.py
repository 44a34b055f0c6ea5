"""YAML whose every value remembers where it stands, so that each complaint names a file and a line.

    read(text, file) -> Marked(value, lines, problems)

Numbers and true/false follow YAML 1.2: `on`, `yes` and `1:30` are text here, because a label value or a time of day is
never meant as a truth value or a number in base sixty. A key that is written twice is a problem, not the last one wins.
Rejected: PyYAML's `safe_load` (no lines, silent duplicates) and ruamel (a second YAML library for one feature).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

At = tuple[str | int, ...]  # where a value stands: ("escalation", "P0", 1, "after")

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_DEEPEST = 40  # no file of ours nests further; a bomb of anchors does


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong at a place in a file, and what to do. A warning does not stop the start."""

    file: str
    line: int
    text: str  # "what is wrong; what to do"
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {'warning: ' if self.warning else ''}{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A parsed document: its value, the line of each place in it, and what was wrong with its form."""

    file: str
    value: Any
    lines: Mapping[At, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def line(self, at: At) -> int:
        """The line of that place, or of the nearest place around it."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)

    def problem(self, at: At, text: str, *, warning: bool = False) -> Problem:
        """A complaint about that place."""
        return Problem(self.file, self.line(at), text, warning)


def read(text: str, file: str, first_line: int = 1) -> Marked:
    """Parse one YAML document. `first_line` is where it begins in the file. Raises nothing for any text."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as problem:
        line = (problem.problem_mark.line if problem.problem_mark else 0) + first_line
        said = problem.problem or problem.context or "not YAML"
        flaw = Problem(file, line, f"this is not YAML: {said}; check indentation, colons and quotes")
        return Marked(file=file, value=None, problems=(flaw,))
    except (yaml.YAMLError, RecursionError):
        flaw = Problem(file, first_line, "this is not YAML text; save it as plain UTF-8 without control characters")
        return Marked(file=file, value=None, problems=(flaw,))
    builder = _Builder(file, first_line)
    value = builder.build(node, (), 0) if node is not None else None
    return Marked(file=file, value=value, lines=builder.lines, problems=tuple(builder.problems))


def nearest(name: str, known: Iterable[str]) -> str:
    """` did you mean "x"?` for a name that is close to a known one, else the list of known ones."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"use one of: {', '.join(names)}" if names else "nothing is known here"


class _Builder:
    """Turns nodes into plain values and notes their lines."""

    def __init__(self, file: str, first_line: int) -> None:
        self.lines: dict[At, int] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._first = first_line

    def build(self, node: yaml.Node, at: At, depth: int) -> Any:
        """The node's value; `at` is its place."""
        self.lines.setdefault(at, node.start_mark.line + self._first)
        if depth > _DEEPEST:
            self._flaw(node, "nested too deeply, or an anchor that contains itself; write it out flat")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*at, number), depth + 1) for number, item in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, at: At, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._flaw(key_node, "a key must be a word; put a text in quotes if it begins with a bracket")
                continue
            key = str(key_node.value)
            if key in found:
                self._flaw(key_node, f'"{key}" is written twice; keep one of them')
                continue
            self.lines[(*at, key)] = key_node.start_mark.line + self._first
            found[key] = self.build(value_node, (*at, key), depth + 1)
        return found

    def _flaw(self, node: yaml.Node, text: str) -> None:
        self.problems.append(Problem(self._file, node.start_mark.line + self._first, text))


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        padded = text.lstrip("+-").startswith("0") and text.lstrip("+-") != "0"
        return text if padded or len(text) > 18 else int(text)  # an id with leading zeros stays what was written
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
