"""Drift on 1,000,000 rows of 20 columns: the screen, the whole report, and Evidently itself on the same files.

The rows are those of a real data set (569 tumours, 30 measurements, of which 20 are taken), repeated with a little
noise so that no two are the same. Each part runs in a process of its own, whose peak memory is its figure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figure import Figure
from bot.drift.asked import DataSource, DriftProfile, SourceKind, request
from bot.drift.runner import DriftRunner, WorkerSettings

ROWS = 1_000_000
COLUMNS = 20
BATCH = 100_000  # rows written at a time, so that making the data needs little memory too
LIMIT_S = 600
MOST_SCREEN_S = 10.0
MOST_SCREEN_MB = 500.0
CSV_ROWS = 300_000


def measure() -> Iterator[Figure]:
    """The figures, the cheapest last since it is told as a ratio to the dearest."""
    with tempfile.TemporaryDirectory(prefix="bench-drift-") as folder:
        pair = [Path(folder) / "reference.parquet", Path(folder) / "current.parquet"]
        for seed, path in enumerate(pair):
            _write(path, ROWS, seed=seed, shift=0.5 * seed)
        screen, evidently = _apart("screen", *pair), _apart("evidently", *pair)
        yield Figure(
            name="drift_screen_1m", value=screen["took_s"], unit="s", at_most=MOST_SCREEN_S,
            ratio=screen["took_s"] / evidently["took_s"], of="drift_evidently_1m",
        )  # fmt: skip
        yield Figure(
            name="drift_screen_rss", value=screen["peak_mb"], unit="MB", at_most=MOST_SCREEN_MB,
            ratio=screen["peak_mb"] / evidently["peak_mb"], of="drift_evidently_rss",
        )  # fmt: skip
        yield Figure(name="drift_evidently_1m", value=evidently["took_s"], unit="s")
        yield Figure(name="drift_evidently_rss", value=evidently["peak_mb"], unit="MB")
        yield from _report(*pair, evidently)
        text = [_as_csv(path, CSV_ROWS) for path in pair]
        yield Figure(name="drift_screen_csv_300k", value=_apart("screen", *text)["took_s"], unit="s")


def _report(reference: Path, current: Path, evidently: dict[str, float]) -> Iterator[Figure]:
    """The whole worker as the bot runs it: screen, picture, and Evidently on its sample."""
    sides = [DataSource(kind=SourceKind.PARQUET, path=str(path)) for path in (reference, current)]
    profile = DriftProfile(system="bench", model="tumours", reference=sides[0], current=sides[1])
    runner = DriftRunner(WorkerSettings(reports=reference.parent / "reports", folders=(reference.parent,)))
    report = runner.run(request(profile, datetime.now(UTC)))
    if report.full_missing or not report.sampled or not report.png_path:
        raise RuntimeError(f"the report is not whole: {report.full_missing or report.notes}")
    yield Figure(
        name="drift_report_1m", value=report.took.total_s, unit="s", at_most=profile.limits.wall.total_seconds(),
        ratio=report.took.total_s / evidently["took_s"], of="drift_evidently_1m",
    )  # fmt: skip
    yield Figure(
        name="drift_report_rss", value=report.took.peak_mb, unit="MB", at_most=profile.limits.memory_mb,
        ratio=report.took.peak_mb / evidently["peak_mb"], of="drift_evidently_rss",
    )  # fmt: skip


def _apart(part: str, reference: Path, current: Path) -> dict[str, float]:
    """Seconds and peak memory of one part in a fresh process."""
    command = [sys.executable, "-m", "bench._drift_parts", part, str(reference), str(current)]
    ended = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=LIMIT_S, cwd=Path(__file__).parents[1]
    )
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _write(path: Path, rows: int, *, seed: int, shift: float) -> None:
    """`rows` rows of Parquet; the first column is moved by `shift` standard deviations."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from sklearn.datasets import load_breast_cancer

    real: Any = load_breast_cancer()
    values, names = real.data[:, :COLUMNS], [str(name) for name in real.feature_names[:COLUMNS]]
    spread = values.std(axis=0)
    chance = np.random.default_rng(seed)
    writer = None
    for start in range(0, rows, BATCH):
        chosen = values[chance.integers(0, len(values), min(BATCH, rows - start))]
        chosen = chosen + chance.normal(0, 0.05, chosen.shape) * spread
        chosen[:, 0] += shift * spread[0]
        table = pa.table(dict(zip(names, chosen.T, strict=True)))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def _as_csv(parquet: Path, rows: int) -> Path:
    """The first rows as CSV."""
    import duckdb

    path = parquet.with_suffix(".csv")
    with duckdb.connect() as connection:
        query = f"COPY (SELECT * FROM read_parquet($source) LIMIT {rows}) TO '{path}' (HEADER)"
        connection.execute(query, {"source": str(parquet)})
    return path
