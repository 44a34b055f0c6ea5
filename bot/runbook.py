"""Runbooks: Markdown documents with front matter, written for a tired person and matched to alerts by their labels.

    parse(text, file, system) -> (Runbook | None, problems)
    load(folder, systems, default) -> (runbooks, problems)     every document of the systems, and the default one
    choose(runbooks, system, labels) -> Runbook | None              the most specific match, else the default one
    check(runbooks, today, diagnostics, actions) -> problems        names, ties, age

Front matter holds names only (match, diagnostics, actions, owner, reviewed); there is nothing to execute in a runbook.
Without `match` a runbook is for the alert that is called like its file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from bot.marked import Marked, Problem, nearest, read

SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation")
KEYS = ("match", "diagnostics", "actions", "owner", "reviewed")
STALE_AFTER = timedelta(days=180)  # a page nobody has read for half a year describes another system
DEFAULT = "default"
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?(.+)")
_BIGGEST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """One document."""

    name: str  # "playground/ModelAccuracyLow"; "default" for the one that serves unmatched alerts
    system: str  # "" for the default one
    title: str
    match: Mapping[str, tuple[str, ...]]  # label → values; all labels must fit
    diagnostics: tuple[str, ...] = ()  # asked in this order; none: all
    actions: tuple[str, ...] = ()  # offered in this order, behind approval
    owner: str = ""
    reviewed: date | None = None
    meaning: str = ""
    impact: str = ""
    diagnosis: str = ""
    mitigation: str = ""
    checklist: tuple[str, ...] = ()  # the list items of Mitigation, in order
    file: str = ""
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)  # key of the front matter → line

    def problem(self, key: str, text: str, *, warning: bool = False) -> Problem:
        """A complaint about a key of the front matter."""
        return Problem(self.file, self.lines.get(key, 1), text, warning)

    def fits(self, labels: Mapping[str, str]) -> bool:
        """True when every label of `match` has one of its values."""
        return all(labels.get(label, "") in values for label, values in self.match.items())


def parse(text: str, file: str, system: str = "") -> tuple[Runbook | None, list[Problem]]:
    """Read one document. Returns None when its front matter cannot be used; problems tell why, with file and line."""
    head, body, body_line = _split(text)
    if head is None:
        return None, [Problem(file, 1, 'the front matter is missing; begin the file with "---", keys, "---"')]
    marked = read(head, file, first_line=2)
    problems = list(marked.problems)
    raw = marked.value if isinstance(marked.value, dict) else {}
    if marked.value is not None and not isinstance(marked.value, dict):
        problems.append(marked.problem((), "the front matter must be keys and values"))
    problems += [marked.problem((key,), f'unknown key "{key}"; {nearest(key, KEYS)}') for key in raw if key not in KEYS]
    stem = Path(file).stem
    name = f"{system}/{stem}" if system else DEFAULT
    sections, flaws = _sections(body, file, body_line)
    problems += flaws
    book = Runbook(
        name=name, system=system, title=_title(body) or stem,
        match=_match(marked, raw, stem if system else "", problems),
        diagnostics=_names(marked, raw, "diagnostics", problems), actions=_names(marked, raw, "actions", problems),
        owner=str(raw.get("owner") or ""), reviewed=_reviewed(marked, raw, problems),
        meaning=sections["Meaning"], impact=sections["Impact"], diagnosis=sections["Diagnosis"],
        mitigation=sections["Mitigation"], checklist=_items(sections["Mitigation"]), file=file,
        lines={key: marked.line((key,)) for key in raw},
    )  # fmt: skip
    return book, problems


def load(folder: Path, systems: Iterable[str], default: Path) -> tuple[tuple[Runbook, ...], list[Problem]]:
    """Every runbook of the systems' folders, and the default one (`folder/default.md`, else the given file)."""
    found: list[Runbook] = []
    problems: list[Problem] = []
    own = folder / f"{DEFAULT}.md"
    files = [(own if own.is_file() else default, "")]
    files += [(path, system) for system in systems for path in sorted((folder / system).glob("*.md"))]
    for path, system in files:
        if path.name.lower() == "readme.md":
            continue
        try:
            if path.stat().st_size > _BIGGEST_BYTES:
                problems.append(Problem(str(path), 1, f"larger than {_BIGGEST_BYTES // 1024} KiB; split the runbook"))
                continue
            book, flaws = parse(path.read_text(encoding="utf-8"), str(path), system)
        except (OSError, UnicodeDecodeError) as problem:
            problems.append(Problem(str(path), 1, f"cannot be read ({problem}); make it a readable UTF-8 file"))
            continue
        problems += flaws
        found += [book] if book else []
    return tuple(found), problems


def choose(runbooks: Sequence[Runbook], system: str, labels: Mapping[str, str]) -> Runbook | None:
    """The runbook of the system that fits the most labels, else the default one, else None.

    A tie is an error in `check`; should one get here all the same, the name decides, so that the choice is stable.
    """
    fitting = [book for book in runbooks if book.system and book.system == system and book.fits(labels)]
    if fitting:
        return min(fitting, key=lambda book: (-len(book.match), book.name))
    return next((book for book in runbooks if not book.system), None)


def check(
    runbooks: Sequence[Runbook], today: date, diagnostics: Collection[str] | None, actions: Collection[str] | None
) -> list[Problem]:
    """Unknown names (None: names are not checked), ties, missing owner, and documents nobody has reviewed lately."""
    problems: list[Problem] = []
    for book in runbooks:
        for key, used, known in (("diagnostics", book.diagnostics, diagnostics), ("actions", book.actions, actions)):
            problems += [
                book.problem(key, f'unknown {key[:-1]} "{name}"; {nearest(name, known)}')
                for name in used
                if known is not None and name not in known
            ]
        problems += _age(book, today)
    for index, one in enumerate(runbooks):
        problems += [
            other.problem("match", f"matches as precisely as {one.file}, an alert could fit both; add a label to one")
            for other in runbooks[index + 1 :]
            if _tie(one, other)
        ]
    return problems


def _age(book: Runbook, today: date) -> list[Problem]:
    if book.reviewed is None:
        return [book.problem("reviewed", "no `reviewed` date; read it and add reviewed: YYYY-MM-DD", warning=True)]
    days = (today - book.reviewed).days
    if days > STALE_AFTER.days:
        return [book.problem("reviewed", f"last reviewed {days} days ago; read it and set the date", warning=True)]
    if days < -1:
        return [book.problem("reviewed", f"reviewed on {book.reviewed}, which is in the future; set the real date")]
    return []


def _tie(one: Runbook, other: Runbook) -> bool:
    """True when some alert could fit both equally well."""
    if not one.system or one.system != other.system or len(one.match) != len(other.match):
        return False
    return all(set(one.match[label]) & set(other.match[label]) for label in one.match.keys() & other.match.keys())


def _split(text: str) -> tuple[str | None, str, int]:
    """Front matter, body, and the line the body begins on."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if not lines or lines[0].strip() != "---":
        return None, text, 1
    for number, line in enumerate(lines[1:], 1):
        if line.strip() == "---":
            return "\n".join(lines[1:number]), "\n".join(lines[number + 1 :]), number + 2
    return None, text, 1


def _sections(body: str, file: str, first_line: int) -> tuple[dict[str, str], list[Problem]]:
    found: dict[str, list[str]] = {}
    problems: list[Problem] = []
    current: list[str] | None = None
    for number, line in enumerate(body.split("\n"), first_line):
        if line.startswith("## "):
            heading = line[3:].strip()
            if heading not in SECTIONS:
                problems.append(Problem(file, number, f'unknown section "{heading}"; {nearest(heading, SECTIONS)}'))
            if heading in found:
                problems.append(Problem(file, number, f'section "{heading}" appears twice; join the two'))
            current = found.setdefault(heading, [])
        elif current is not None:
            current.append(line)
    missing = [name for name in SECTIONS if not "".join(found.get(name, [])).strip()]
    if missing:
        text = f"section {', '.join(missing)} is missing or empty; write it as “## {missing[0]}” and a few sentences"
        problems.append(Problem(file, first_line, text))
    return {name: "\n".join(found.get(name, [])).strip() for name in SECTIONS}, problems


def _title(body: str) -> str:
    return next((line[2:].strip() for line in body.split("\n") if line.startswith("# ")), "")


def _items(text: str) -> tuple[str, ...]:
    """List items with their continuation lines; text outside of lists is left to the document."""
    items: list[str] = []
    for line in text.split("\n"):
        item = _ITEM.fullmatch(line)
        if item:
            items.append(item[1].strip())
        elif items and line.startswith("  ") and line.strip():
            items[-1] = f"{items[-1]} {line.strip()}"
    return tuple(items)


def _match(marked: Marked, raw: Mapping[str, object], stem: str, problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    given = raw.get("match")
    if given is None:
        return {"alertname": (stem,)} if stem else {}
    if not stem:
        problems.append(marked.problem(("match",), "the default runbook serves everything unmatched; remove `match`"))
        return {}
    if not isinstance(given, dict) or not given:
        problems.append(marked.problem(("match",), "`match` must name labels and values, like alertname: ModelDown"))
        return {"alertname": (stem,)}
    return {label: _values(marked, label, value, problems) for label, value in given.items()}


def _values(marked: Marked, label: str, value: object, problems: list[Problem]) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or any(item is None or isinstance(item, (dict, list)) for item in values):
        problems.append(marked.problem(("match", label), f'label "{label}" needs a value or a list of values'))
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in values)


def _names(marked: Marked, raw: Mapping[str, object], key: str, problems: list[Problem]) -> tuple[str, ...]:
    given = raw.get(key)
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        problems.append(marked.problem((key,), f"`{key}` must be a list of names, like [{key[:-1]}_name]"))
        return ()
    return tuple(dict.fromkeys(given))


def _reviewed(marked: Marked, raw: Mapping[str, object], problems: list[Problem]) -> date | None:
    given = raw.get("reviewed")
    if given is None:
        return None
    try:
        return date.fromisoformat(str(given))
    except ValueError:
        problems.append(marked.problem(("reviewed",), f'"{str(given)[:40]}" is not a date; write it as YYYY-MM-DD'))
        return None
