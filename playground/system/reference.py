"""The rows that drift is told against, and the flicker that keeps rows apart which are sent round and round."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from playground.system.data import INTENTS, Rows, join_labels, load_split
from playground.system.served import FEATURES, REFERENCE

# A scanner's lamp that flickers by half a per cent: without it the rows would be each other's exact copies, which would
# rightly be taken for a batch that was loaded twice.
FLICKER = 0.005


def flickering(rows: Rows, seed: int) -> Rows:
    """The rows, each value darker by up to half a per cent."""
    return np.asarray(rows * np.random.default_rng(seed).uniform(1 - FLICKER, 1.0, rows.shape), dtype=np.float64)


def write_reference(folder: Path) -> Path:
    """What version 2 learned from, with the true intents as the answers."""
    split = load_split()
    path, fresh = folder / REFERENCE, folder / f"{REFERENCE}.new"
    labels = join_labels(split.train_codes, INTENTS)
    with fresh.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*FEATURES, "prediction"])
        for row, label in zip(flickering(split.train_rows, seed=1).tolist(), labels.tolist(), strict=True):
            writer.writerow([*(f"{value:.5f}" for value in row), label])
    fresh.replace(path)  # whoever reads it finds a whole one
    return path
