"""The traffic: `python -m playground.system.traffic --server URL`.

Sends the held-back rows with their true labels, round and round, at a bounded rate. A server that is away or fails
costs that request and nothing else; the generator goes on. Ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from playground.system.data import INTENTS, join_labels, load_split
from playground.system.reference import flickering, write_reference
from playground.system.wire import CallFailed, await_answer, call

ROWS_PER_REQUEST = 4
RATE_CAP_PER_SECOND = 200.0
START_PATIENCE_SECONDS = 300.0
# Long enough for the slow answers that tests switch on, short enough that a dead server is noticed.
ANSWER_TIMEOUT_SECONDS = 15.0


def run(server_url: str, rows_per_second: float) -> None:
    """Send for ever. Falling behind is not made up for: after a slow answer the rate is lower, never a burst."""
    split = load_split()
    labels = join_labels(split.held_back_codes, INTENTS).tolist()
    rounds = 0
    rows = flickering(split.held_back_rows, seed=2).tolist()
    # While the server is starting, its refusals would count as failed predictions.
    await_answer(f"{server_url}/health", timeout_seconds=START_PATIENCE_SECONDS)
    pause_seconds = ROWS_PER_REQUEST / rows_per_second
    at, complained = 0, False
    while True:
        began = time.monotonic()
        picked = [(at + offset) % len(rows) for offset in range(ROWS_PER_REQUEST)]
        body = {"rows": [rows[i] for i in picked], "true_labels": [labels[i] for i in picked]}
        at = (at + ROWS_PER_REQUEST) % len(rows)
        if at < ROWS_PER_REQUEST:
            rounds += 1
            rows = flickering(split.held_back_rows, seed=2 + rounds).tolist()
        try:
            call("POST", f"{server_url}/predict", body=body, timeout_seconds=ANSWER_TIMEOUT_SECONDS)
            complained = False
        except CallFailed as failure:
            if not complained:  # once per stretch of failures; the log is for people
                print(f"traffic: {failure}", flush=True)
            complained = True
        time.sleep(max(0.0, began + pause_seconds - time.monotonic()))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m playground.system.traffic", description="Traffic for the model server."
    )
    parser.add_argument("--server", required=True, metavar="URL")
    parser.add_argument("--rows-per-second", type=float, default=40.0)
    parser.add_argument("--reference", type=Path, metavar="FOLDER", help="write what the model learned from there")
    options = parser.parse_args(arguments)
    if not 0 < options.rows_per_second <= RATE_CAP_PER_SECOND:
        parser.error(f"--rows-per-second must lie between 0 and {RATE_CAP_PER_SECOND:g}")
    if options.reference is not None:
        write_reference(options.reference)
    run(options.server, options.rows_per_second)
    return 0


if __name__ == "__main__":
    sys.exit(main())
