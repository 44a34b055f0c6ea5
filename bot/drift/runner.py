"""Starts the drift worker, bounds it, and reads its answer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from bot.drift.asked import DriftRequest
from bot.drift.report import DriftReport
from bot.ports import Foreign


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How the worker is run."""

    python: str = sys.executable  # of an environment that has the extra `drift`
    reports: Path = Path("drift-reports")  # each run gets a folder of its own in it
    kept: int = 200  # runs; older ones are removed
    folders: tuple[Path, ...] = ()  # that files may be read from
    schemes: frozenset[str] = frozenset({"https", "postgresql"})  # of addresses
    environment: tuple[str, ...] = ()  # names of variables handed on to the worker


class DriftRunner:
    """Runs one worker at a time. Safe to use from several threads, which take turns."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings

    def run(self, request: DriftRequest) -> DriftReport:
        """The report, which may lack its full part and then says why. Raises Foreign when there is none at all.

        Reasons: "timeout", "overloaded", "unreachable", "refused", "not_found", "invalid", "broken".
        """
        raise Foreign("broken", f"No drift report for {request.model}: the worker is not there yet.")

    def close(self) -> None:
        """End a worker that runs."""
