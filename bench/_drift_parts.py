"""One part of the drift figures, in this process: `python -m bench._drift_parts screen|evidently REFERENCE CURRENT`."""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path


def screen(reference: Path, current: Path) -> None:
    """Our screen. RuntimeError when it does not find the column that was moved."""
    from bot.drift.report import Verdict
    from handlers.drift.screen import screened
    from handlers.drift.source import Kind, Source

    kind = Kind.CSV if reference.suffix == ".csv" else Kind.PARQUET
    found = screened(
        Source(kind=kind, path=str(reference)), Source(kind=kind, path=str(current)), scratch=reference.parent
    )
    moved = [column.name for column in found.columns if column.drift.verdict in {Verdict.MODERATE, Verdict.HIGH}]
    if moved != [found.columns[0].name]:
        raise RuntimeError(f"the screen found drift in {moved}")


def evidently(reference: Path, current: Path) -> None:
    """Evidently's own drift preset over all rows."""
    warnings.simplefilter("ignore")
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    before, now = pd.read_parquet(reference), pd.read_parquet(current)
    meaning = DataDefinition(numerical_columns=list(before.columns), categorical_columns=[])
    sides = [Dataset.from_pandas(side, data_definition=meaning) for side in (now, before)]
    Report([DataDriftPreset(method="psi", threshold=0.1)]).run(*sides).json()


def main() -> None:
    """Run the part and print what it took as JSON."""
    part = {"screen": screen, "evidently": evidently}[sys.argv[1]]
    began = time.perf_counter()
    part(Path(sys.argv[2]), Path(sys.argv[3]))
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"took_s": took, "peak_mb": peak}))


if __name__ == "__main__":
    main()
