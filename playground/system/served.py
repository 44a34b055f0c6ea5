"""What the model saw and answered, as rows of a file: the data that drift is told from.

Two CSV files in one folder. `reference.csv` is what the model learned from; `served.csv` is what the server was asked
since, one line for each row, with the answer and the time. The server keeps the newest rows only: the file is cut to
half whenever it is full, by putting a new one in its place, so that who reads it meanwhile reads a whole one.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

REFERENCE, SERVED = "reference.csv", "served.csv"
FEATURES = tuple(f"pixel_{down}_{across}" for down in range(8) for across in range(8))
COLUMNS = ("at", "version", *FEATURES, "prediction")
MOST_ROWS = 20_000


class ServedRows:
    """Appends what was served to a file. Safe to use from several threads. A full disk costs the rows, no answer."""

    def __init__(self, path: Path, *, most: int = MOST_ROWS) -> None:
        self._path = path
        self._most = most
        self._lock = Lock()
        self._count: int | None = None  # lines in the file; None before it was looked at

    def add(self, rows: Sequence[Sequence[float]], labels: Sequence[str], version: str) -> None:
        """Note rows with their answers."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        pairs = zip(rows, labels, strict=True)
        lines = [[at, version, *(f"{value:.5f}" for value in row), label] for row, label in pairs]
        with self._lock, suppress(OSError):
            self._write(lines)

    def _write(self, lines: list[list[Any]]) -> None:
        if self._count is None:
            self._count = len(self._path.read_text().splitlines()) if self._path.exists() else 0
        with self._path.open("a", newline="") as file:
            writer = csv.writer(file)
            if not self._count:
                writer.writerow(COLUMNS)
                self._count = 1
            writer.writerows(lines)
        self._count += len(lines)
        if self._count > self._most:
            self._cut()

    def _cut(self) -> None:
        header, *lines = self._path.read_text().splitlines(keepends=True)
        kept = lines[-self._most // 2 :]
        fresh = self._path.with_suffix(".new")
        fresh.write_text("".join([header, *kept]))
        fresh.replace(self._path)
        self._count = len(kept) + 1
