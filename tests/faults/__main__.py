"""`make faults`: play every trial, print a line for each and one table, and fail when a bound was missed."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from tests.faults import databases
from tests.faults.record import Count
from tests.faults.trials import TRIALS, Asked, Trial

BEGIN, END = "<!-- written by make faults: begin -->", "<!-- written by make faults: end -->"


def main() -> int:
    """0 when every bound held and every planted bug was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this trial; may be given again")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the load, for a quick look")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="names of the trials")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the table into FILE, between its two markers")
    given = parser.parse_args()
    if given.list:
        print("\n".join(f"{trial.name:28} {trial.about}" for trial in TRIALS))
        return 0
    unknown = set(given.only) - {trial.name for trial in TRIALS}
    if unknown:
        print(f"There is no trial {', '.join(sorted(unknown))}; see --list.", file=sys.stderr)
        return 2
    # The local Slack would tell of each connection that a killed process leaves behind.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    asked = Asked(scale=given.scale, seed=given.seed)
    began = time.monotonic()
    rows = [play(trial, asked) for trial in TRIALS if not given.only or trial.name in given.only]
    table = written(rows, time.monotonic() - began)
    print(table)
    if given.table:
        _insert(given.table, table)
    return 1 if any(row.is_bad for row in rows) else 0


class Row:
    """A trial with what became of it."""

    def __init__(self, trial: Trial, counted: Count | None, why: str = "", *, skipped: bool = False) -> None:
        self.trial, self.counted, self.why, self.skipped = trial, counted, why, skipped

    @property
    def is_bad(self) -> bool:
        if self.skipped or self.trial.is_reference:
            return False
        if self.counted is None:
            return True
        return bool(self.counted.missed) != self.trial.must_fail

    @property
    def verdict(self) -> str:
        if self.skipped:
            return f"not proven: {self.why}"
        if self.counted is None:
            return f"broken: {self.why}"
        if self.trial.is_reference:
            return "none: to compare with"
        if self.trial.must_fail:
            return "found" if self.counted.missed else "NOT FOUND"
        return "; ".join(self.counted.missed) or "met"


def play(trial: Trial, asked: Asked) -> Row:
    """Play one trial and print its line."""
    try:
        counted = trial.run(asked)
    except databases.NotHere as problem:
        print(f"# {trial.name} is not proven here: {problem}", flush=True)
        return Row(trial, None, str(problem), skipped=True)
    except Exception as problem:  # noqa: BLE001 – the other trials are still worth playing
        traceback.print_exc()
        print(f"# {trial.name} broke: {problem}", flush=True)
        return Row(trial, None, f"{type(problem).__name__}")
    print(counted.line(), flush=True)
    for note in (*counted.notes, *(f"missed: {bound}" for bound in counted.missed)):
        print(f"#   {note}", flush=True)
    return Row(trial, counted)


def written(rows: list[Row], took_s: float) -> str:
    """The table, as it goes into the documentation."""
    lines = [
        f"{_machine()}, {datetime.now(UTC):%Y-%m-%d}, {took_s / 60:.0f} min",
        "",
        "| trial | pages | lost | doubled | crashes | late p50 s | late p99 s | overdue after start s | bounds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        one = row.counted
        if one is None:
            lines.append(f"| {row.trial.name} | – | – | – | – | – | – | – | {row.verdict} |")
            continue
        after = f"{one.after_start_s:.1f}" if one.after_start_s else "–"
        lines.append(
            f"| {one.name} | {one.pages} | {one.lost} | {one.doubled} | {one.crashes} | {one.late_p50_s:.2f} | "
            f"{one.late_p99_s:.2f} | {after} | {row.verdict} |"
        )
    return "\n".join(lines)


def _insert(file: Path, table: str) -> None:
    """Put the table between the markers of a page; a page without them becomes the table."""
    text = file.read_text() if file.exists() else ""
    before, found, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}" if found else table + "\n")


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
