"""Train `intent_classifier` anew on the rows that are there, and register what comes of it. Nothing is promoted.

    python -m playground.system.retrain [--rows all|N]        (the registry comes as MLFLOW_TRACKING_URI)

It ends like a training pipeline does: exit code 3 for too few labels, 5 when the new model does not pass the gate.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

FEWEST_ROWS = 200
GATE_ACCURACY = 0.90
TOO_FEW_LABELS, GATE = 3, 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, hold the model to the gate, register it."""
    parser = argparse.ArgumentParser(prog="python -m playground.system.retrain", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="all", help="how many of the labelled rows, or all")
    rows = parser.parse_args(arguments).rows
    tell("reading the labelled rows")
    from playground.system.data import INTENTS, join_labels, load_split

    split = load_split()
    count = len(split.train_rows) if rows == "all" else min(int(rows), len(split.train_rows))
    if count < FEWEST_ROWS:
        tell(f"too few labels: {count} of at least {FEWEST_ROWS}")
        return TOO_FEW_LABELS
    tell(f"training on {count} rows")
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    trial = LogisticRegression(C=1.0, max_iter=500).fit(
        split.train_rows[:count], join_labels(split.train_codes, INTENTS)[:count]
    )
    accuracy = float(trial.score(split.validation_rows, join_labels(split.validation_codes, INTENTS)))
    if accuracy < GATE_ACCURACY:
        tell(f"the gate refused it: accuracy {accuracy:.3f}, at least {GATE_ACCURACY} is wanted")
        return GATE
    tell(f"accuracy {accuracy:.3f}, the gate lets it pass; registering")
    tell(f"registered as version {register(count)}")
    return 0


def register(count: int) -> str:
    """Train by the same recipe as the releases before, with a run and a version of its own; the version's number."""
    import mlflow

    from playground.system.data import INTENTS, load_split
    from playground.system.train import EXPERIMENT, Recipe, train_and_register

    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    mlflow.set_experiment(EXPERIMENT)
    recipe = Recipe(
        rows=count, regularisation_c=1.0, intents=INTENTS, label_export="2024-05",
        description=f"Retrained on {count} rows.",
    )  # fmt: skip
    return train_and_register(load_split(), recipe)


def tell(words: str) -> None:
    """One line of progress, at once."""
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(main())
