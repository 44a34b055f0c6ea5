"""How long the drift screen takes on 1,000,000 rows of 20 columns, and how much memory: `python bench/drift.py`.

The rows are those of a real data set (569 tumours, 30 measurements, of which 20 are taken), repeated with a little
noise so that no two are the same. The screen runs in a process of its own, whose peak memory is the figure.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLUMNS = 20
BATCH = 100_000  # rows written at a time, so that making the data needs little memory too


def write(path: Path, rows: int, *, seed: int, shift: float) -> None:
    """`rows` rows of Parquet; the first column is moved by `shift` standard deviations."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from sklearn.datasets import load_breast_cancer

    real = load_breast_cancer()
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


def screen(reference: Path, current: Path) -> None:
    """Run the screen in this process and print what it took."""
    from bot.drift.report import Verdict
    from handlers.drift.screen import screened
    from handlers.drift.source import Kind, Source

    began = time.perf_counter()
    kind = Kind.CSV if reference.suffix == ".csv" else Kind.PARQUET
    found = screened(
        Source(kind=kind, path=str(reference)), Source(kind=kind, path=str(current)), scratch=reference.parent
    )
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    moved = [column.name for column in found.columns if column.drift.verdict in {Verdict.MODERATE, Verdict.HIGH}]
    print(f"{found.current_rows} rows × {len(found.columns)} columns; drift in: {', '.join(moved) or 'none'}")
    print(f"figure drift_screen_1m {took:.2f} s")
    print(f"figure drift_screen_rss {peak:.0f} MB")


def main() -> None:
    """Make the data, then measure in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--screen", nargs=2, type=Path, metavar=("REFERENCE", "CURRENT"), help="used by the run itself")
    asked = parser.parse_args()
    if asked.screen:
        screen(*asked.screen)
        return
    with tempfile.TemporaryDirectory(prefix="bench-drift-") as folder:
        pair = [Path(folder) / "reference.parquet", Path(folder) / "current.parquet"]
        for seed, path in enumerate(pair):
            write(path, asked.rows, seed=seed, shift=0.5 * seed)
        subprocess.run([sys.executable, __file__, "--screen", *map(str, pair)], check=True)


if __name__ == "__main__":
    main()
