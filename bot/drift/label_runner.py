"""Asks a process of its own how good the labelled predictions were, and bounds it in time and memory.

`python -m handlers.drift.labelled`: the question goes in by standard input, the answer comes by standard output, and
the process ends. It inherits no environment but what the drift worker is given, too.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from bot.drift import wire
from bot.drift.labelled import Labelled, LabelProfile, request
from bot.drift.runner import REASONS, WorkerSettings
from bot.ports import Foreign

MODULE = "handlers.drift.labelled"
ANSWER_CAP_BYTES = 100_000
TURN_S = 30.0  # others may be asking


class LabelRunner:
    """Runs one process at a time. Safe to use from several threads, which take turns."""

    def __init__(self, settings: WorkerSettings, profiles: Mapping[str, Mapping[str, LabelProfile]]) -> None:
        self._settings = settings
        self._profiles = profiles
        self._turn = threading.Lock()

    def ask(self, system: str, model: str, now: datetime) -> Labelled:
        """The numbers of the profile's window that ends now. Raises Foreign."""
        profile = self._profiles.get(system, {}).get(model)
        if profile is None:
            raise Foreign("invalid", f"The profile of {model} names no rows with labels.", happened=False)
        if not self._turn.acquire(timeout=TURN_S):
            raise Foreign("overloaded", "The labels are being read for others. Ask again in a minute.")
        try:
            return self._run(profile, now)
        finally:
            self._turn.release()

    def _run(self, profile: LabelProfile, now: datetime) -> Labelled:
        lead = f"The quality of {profile.model} is not known:"
        with tempfile.TemporaryDirectory(prefix="mlops-labels-") as folder:
            question = json.dumps({
                "request": json.loads(wire.dumps(request(profile, now))), "folder": folder,
                "folders": [str(one) for one in self._settings.folders], "schemes": sorted(self._settings.schemes),
            }).encode()  # fmt: skip
            try:
                done = subprocess.run(
                    [self._settings.python, "-m", MODULE], input=question, capture_output=True, check=False,
                    timeout=profile.limits.wall.total_seconds(), env=self._environment(folder), cwd=folder,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                took = f"{profile.limits.wall.total_seconds():g} s"
                text = f"{lead} reading took longer than {took}. Choose a shorter window, or raise `time_limit`."
                raise Foreign("timeout", text) from None
            except OSError as error:
                text = f"{lead} the worker's Python does not start ({error.strerror}). Set `drift.python`."
                raise Foreign("broken", text) from None
        return self._answer(done.returncode, done.stdout, profile, lead)

    @staticmethod
    def _answer(code: int, told: bytes, profile: LabelProfile, lead: str) -> Labelled:
        if code or not told:
            why = "it ran out of memory or died" if code < 0 else f"it ended with code {code}"
            raise Foreign("broken", f"{lead} {why}. Try `python -m {MODULE} --check` with the worker's Python.")
        try:
            if len(told) > ANSWER_CAP_BYTES:
                raise ValueError("too large")
            given = json.loads(told)
            if isinstance(given, dict) and set(given) == {"reason", "sentence"}:
                reason = given["reason"] if given["reason"] in REASONS else "broken"
                raise Foreign(reason, f"{lead} {str(given['sentence'])[:500]}")
            found = wire.of_plain(given, Labelled)
            if (found.system, found.model) != (profile.system, profile.model):
                raise ValueError("another model's")
        except (ValueError, RecursionError):
            text = f"{lead} the worker's answer makes no sense. Check that its Python has this release."
            raise Foreign("broken", text) from None
        return found

    def _environment(self, folder: str) -> dict[str, str]:
        code = Path(folder) / "code"
        code.mkdir()
        for package in ("bot", "handlers"):
            (code / package).symlink_to(Path(__file__).resolve().parents[2] / package)
        return dict(self._settings.environment) | {
            "PYTHONPATH": str(code), "HOME": folder, "TMPDIR": folder, "TZ": "UTC", "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1",
        }  # fmt: skip
