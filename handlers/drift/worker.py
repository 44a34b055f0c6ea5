"""The drift worker: one question on standard input, one answer in the run's folder, then the end.

`python -m handlers.drift.worker`, started and bounded by `bot.drift.runner`. The answer is written twice, whole each
time: after the quick screen and the picture, and after the full report. With `--check` it only says whether everything
it needs is there.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bot.drift import wire
from bot.drift.asked import DataSource, DriftRequest, SourceKind, Span
from bot.drift.report import DriftReport, Took
from bot.drift.runner import ANSWER, HTML, PICTURE, SCRATCH, UNFINISHED

if TYPE_CHECKING:
    from handlers.drift.facts import Screen
    from handlers.drift.fetch import Allowed
    from handlers.drift.screen import Pair, Wanted
    from handlers.drift.source import Source

NEEDED = ("duckdb", "evidently", "pandas", "fsspec", "sqlalchemy", "psycopg", "matplotlib")
NICENESS = 10
PR_SET_PDEATHSIG = 1  # of Linux
RESERVED = 2  # times the memory in use that libraries reserve; what is in use is watched by the runner
T = TypeVar("T")


@dataclass(slots=True)
class Run:
    """One run: what is asked, where the answer goes, and what it took so far."""

    request: DriftRequest
    folder: Path
    allowed: Allowed
    took: Took

    @property
    def scratch(self) -> Path:
        """Where data are kept while the run lasts."""
        return self.folder / SCRATCH

    def timed(self, part: str, work: Callable[[], T]) -> T:
        """The work's result; its time is noted."""
        began = time.monotonic()
        try:
            return work()
        finally:
            spent = getattr(self.took, part) + time.monotonic() - began
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
            self.took = replace(self.took, **{part: round(spent, 3)}, peak_mb=round(peak_mb, 1))

    def answer(self, report: DriftReport) -> None:
        """Write the report as it stands; readers never see half of it."""
        _put(self.folder, wire.dumps(replace(report, took=self.took)))


def _put(folder: Path, text: str) -> None:
    half = folder / f"{ANSWER}.half"
    half.write_text(text, encoding="utf-8")
    half.replace(folder / ANSWER)


def run(given: dict[str, Any]) -> None:
    """Answer one question. What cannot be answered at all is answered by a reason and a sentence."""
    from handlers.drift.fetch import Allowed, Missing
    from handlers.drift.source import Unreadable

    request = wire.of_plain(given["request"], DriftRequest)
    folder = Path(given["folder"])
    allowed = Allowed(
        folders=[Path(one) for one in given["folders"]], schemes=frozenset(given["schemes"]), limits=request.limits
    )
    one = Run(request=request, folder=folder, allowed=allowed, took=Took())
    try:
        _run(one)
    except Missing as missing:
        _put(folder, json.dumps({"reason": missing.reason, "sentence": missing.sentence}))
    except Unreadable as unreadable:
        _put(folder, json.dumps({"reason": "invalid", "sentence": str(unreadable)}))
    except MemoryError:
        sentence = f"the data did not fit into {request.limits.memory_mb} MB. Choose fewer rows or columns."
        _put(folder, json.dumps({"reason": "overloaded", "sentence": sentence}))


def _run(one: Run) -> None:
    from handlers.drift.screen import Limits, paired

    request = one.request
    wanted = _wanted(request)
    reference, current = one.timed("fetch_s", lambda: _fetched(one))
    limits = Limits(memory_mb=request.limits.screen_memory_mb)
    began = time.monotonic()
    with paired(reference, current, wanted, limits=limits, scratch=one.scratch) as pair:
        one.took = replace(one.took, screen_s=time.monotonic() - began)
        report, screen = _screened(one, pair, wanted, current)
        one.answer(replace(report, full_missing=UNFINISHED))
        notes = one.timed("full_s", lambda: _pictured(one, pair, screen))
        report = replace(report, notes=(*report.notes, *notes[1]), columns=_marked(report, notes[0]))
        one.answer(replace(report, full_missing=UNFINISHED))
        if request.limits.full:
            report = one.timed("full_s", lambda: _with_full(one, pair, screen, report))
        else:
            report = replace(report, full_missing="the profile does not ask for it (`full: false`).")
    one.answer(report)


def _wanted(request: DriftRequest) -> Wanted:
    from handlers.drift.answer import lines_of
    from handlers.drift.facts import Form
    from handlers.drift.screen import Wanted

    roles = request.roles
    forms = dict.fromkeys(roles.categorical, Form.CATEGORY) | dict.fromkeys(roles.numerical, Form.NUMBER)
    ignore = {name for name in (*roles.ignore, roles.time) if name}
    target = roles.prediction or roles.target
    return Wanted(target=target, ignore=ignore, forms=forms, lines=lines_of(request.thresholds))


def _fetched(one: Run) -> tuple[Source, Source]:
    from handlers.drift.fetch import fetched

    request = one.request
    sides: list[tuple[str, DataSource, Span | None]] = [
        ("reference", request.reference, request.reference_window), ("current", request.current, request.window),
    ]  # fmt: skip
    done = []
    for side, source, span in sides:
        folder = one.scratch / side
        folder.mkdir()
        done.append(fetched(source, span, request.roles.time, side, folder, one.allowed))
    return done[0], done[1]


def _screened(one: Run, pair: Pair, wanted: Wanted, current: Source) -> tuple[DriftReport, Screen]:
    from handlers.drift.answer import answered, context_of, with_began, with_onset
    from handlers.drift.onset import began
    from handlers.drift.screen import compared
    from handlers.drift.source import Unreadable
    from handlers.drift.triage import proposal

    request = one.request
    if request.feature and request.feature not in pair.reference.types:
        from difflib import get_close_matches

        near = get_close_matches(request.feature, list(pair.reference.types), 1, 0.0)
        raise Unreadable(f"The reference has no column {request.feature[:60]!r}. The nearest is {near[0][:60]!r}.")
    screen = one.timed("screen_s", lambda: compared(pair, wanted))
    notes = [
        f"{table.timeless} {side} rows have no readable time and were left out."
        for side, table in (("reference", pair.reference), ("current", pair.current))
        if table.timeless
    ]
    if current.span is None and request.current.kind is not SourceKind.SQL:
        notes.append("No time column is named, so all rows of the current data were taken.")
    known, found = request.known, None
    if request.roles.time and not known.onset:
        found = began(pair, screen.columns, request.roles.time, request.window, wanted.lines)
        known = with_onset(known, found)
    report = answered(request, screen, proposal(screen, context_of(known)), notes)
    return with_began(report, found), screen


def _pictured(one: Run, pair: Pair, screen: Screen) -> tuple[list[str], list[str]]:
    """The names of the columns in the picture, and what to say when there is none."""
    from handlers.drift.answer import DRIFTED
    from handlers.drift.picture import MOST, bars, drawn

    feature = one.request.feature
    order = sorted(screen.columns, key=lambda it: (it.drift.verdict not in DRIFTED, -(it.drift.value or 0.0)))
    chosen = [column for column in order if feature in {"", column.name}][:MOST]
    try:
        drawn(bars(pair, chosen), one.folder / PICTURE)
    except MemoryError:
        return [], ["There is no picture: memory ran out."]
    except Exception as error:  # noqa: BLE001 - a picture is never worth a report
        return [], [f"There is no picture ({type(error).__name__})."]
    return [column.name for column in chosen], []


def _marked(report: DriftReport, names: list[str]) -> tuple[Any, ...]:
    from handlers.drift.answer import NAME_CAP, clean

    shown = {clean(name, NAME_CAP) for name in names}
    return tuple(replace(column, is_pictured=column.name in shown) for column in report.columns)


def _with_full(one: Run, pair: Pair, screen: Screen, report: DriftReport) -> DriftReport:
    """The report with Evidently's part, or why that is missing."""
    try:
        from handlers.drift.answer import with_second
        from handlers.drift.full import written

        half = one.folder / f"{HTML}.half"
        full = written(pair, screen, one.request, half)
        half.replace(one.folder / HTML)
    except MemoryError:
        gc.collect()
        return replace(report, full_missing=f"it needed more than {one.request.limits.memory_mb} MB.")
    except ImportError as error:
        return replace(report, full_missing=f"the worker's Python lacks {error.name or 'a package'}; install it there.")
    except Exception as error:  # noqa: BLE001 - Evidently fails in many ways, and the screen stands
        return replace(report, full_missing=f"Evidently failed ({type(error).__name__}).")
    report = with_second(report, full.second, one.request.thresholds)
    return replace(report, sampled=full.sampled, notes=(*report.notes, *full.notes))


def _bound(memory_mb: int, parent: int) -> None:
    """Give way to others, end with the parent, keep files to ourselves, and never take more memory than allowed."""
    os.umask(0o077)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = memory_mb * 1_000_000 * RESERVED
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we asked
            sys.exit(1)


def check() -> int:
    """Print the version of everything needed; 1 when something is missing."""
    missing = 0
    for name in NEEDED:
        try:
            print(f"{name} {version(name)}")  # noqa: T201
        except PackageNotFoundError:
            missing += 1
            print(f"{name} is missing; install the extras drift and drift-screen into {sys.executable}")  # noqa: T201
    return 1 if missing else 0


def main() -> int:
    """Answer the question on standard input."""
    if sys.argv[1:] == ["--check"]:
        return check()
    given = json.load(sys.stdin)
    _bound(int(given["request"]["limits"]["memory_mb"]), int(given["parent"]))
    run(given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
