"""A drift worker that misbehaves as it is told: `python -m tests.drift.odd_worker`. The model's name says how."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from bot.drift import wire
from bot.drift.report import Cause, DriftReport, Triage, Verdict
from bot.drift.runner import UNFINISHED
from handlers.drift.worker import _bound


def report(model: str) -> DriftReport:
    """A small answer, as after the first part."""
    return DriftReport(
        system="shop", model=model, sentence="No drift.", verdict=Verdict.STABLE, number="share", value=0.0, bound=0.3,
        drifted=0, judged=1, inputs=1, share=0.0, reference_rows=900, current_rows=900, columns=(), aside=(), gone=(),
        added=(), full_missing="" if model.startswith("whole") else UNFINISHED, html_path="/etc/passwd",
        triage=Triage(cause=Cause.QUIET, sentence="Quiet.", clues=(), retrain_locked="Nothing drifted.", drifted=()),
    )  # fmt: skip


def main() -> None:
    given = json.load(sys.stdin)
    model, folder = given["request"]["model"], Path(given["folder"])
    first, _, then = model.partition("-")
    if first in {"screened", "whole"}:
        (folder / "answer.json").write_text(wire.dumps(report(model)))
        (folder / "picture.png").write_bytes(b"png")
        (folder / "report.html").write_text("half of it")
    else:
        then = model
    act(then, folder, given)


def act(  # noqa: C901 - one case for each way to misbehave
    then: str, folder: Path, given: dict[str, object]
) -> None:
    match then:
        case "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            (folder / "pid").write_text(str(os.getpid()))
            time.sleep(600)
        case "orphan":
            _bound(500, int(str(given["parent"])))
            half = folder / "half"
            half.write_text(str(os.getpid()))
            half.rename(folder / "pid")
            time.sleep(600)
        case "child":
            child = os.fork()
            if child == 0:
                time.sleep(600)
            (folder.parent / "grandchild").write_text(str(child))
            time.sleep(600)
        case "eat":
            eaten = []
            while True:
                eaten.append(bytearray(b"x" * 10_000_000))
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "code":
            sys.exit(3)
        case "garbage":
            (folder / "answer.json").write_text('{"verdict": "all is well"')
        case "stranger":
            (folder / "answer.json").write_text(wire.dumps(report("another")))
        case "huge":
            (folder / "answer.json").write_bytes(b" " * 17_000_000)
        case "link":
            (folder / "answer.json").symlink_to("/etc/hostname")
        case "reason":
            (folder / "answer.json").write_text(
                json.dumps({"reason": "refused", "sentence": "the file is not allowed."})
            )
        case "tell":
            said = {"argv": sys.argv, "env": dict(os.environ), "path": str(given["request"])}
            (folder.parent / "told.json").write_text(json.dumps(said))
            (folder / "scratch" / "data.csv").write_text("x")
            (folder / "answer.json").write_text(wire.dumps(report("tell")))
        case _:
            pass


if __name__ == "__main__":
    main()
