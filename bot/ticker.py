"""What comes by again and again: APScheduler ticks and remembers nothing.

Its jobs are fixed and in memory; every timer is a row in the store. Two things it cannot do are added. It waits by the
wall clock, so a clock that is set back would stop it for as long: whoever sets the clock makes every job run at once
and count anew. And it polls, so what a commit has made due is begun at once by a listener; the polls are what remains
when a wake-up is missed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor as TickExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from bot.clock import WallWatch
from bot.store import StoreDown

log = logging.getLogger("mlops.ticker")

_WATCH_S = 0.5  # how soon a clock that was set is noticed
_BREATH_S = 0.02  # after a wake-up, so that a hundred commits are one


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """One job."""

    name: str
    seconds: float
    work: Callable[[], object]


class Ticker:
    """Starts and stops the jobs together. What a job raises is logged, and the job comes again."""

    def __init__(
        self, jobs: Sequence[Every], *, woken_by: threading.Event, wake: Callable[[], object],
        watch: WallWatch | None = None,
    ) -> None:  # fmt: skip
        """`wake` is called soon after each time that `woken_by` is set."""
        self._scheduler = BackgroundScheduler(
            jobstores={"default": MemoryJobStore()},
            executors={"default": TickExecutor(max_workers=8)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        for job in jobs:
            self._scheduler.add_job(
                guarded(job.name, job.work), "interval", seconds=job.seconds, id=job.name, next_run_time=_wall_now()
            )
        self._woken_by, self._wake = woken_by, guarded("wake", wake)
        self._stopping = threading.Event()
        self._watch = watch or WallWatch()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("wall-watch", self._watch_clock), ("wake", self._listen))
        ]

    def start(self, *, paused: bool = False) -> None:
        """Begin; the first round of every job is at once. Paused, no job ever runs."""
        self._scheduler.start(paused=paused)
        if paused:
            return
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing any more; what is running ends by itself."""
        self._stopping.set()
        self._woken_by.set()
        self._scheduler.shutdown(wait=False)

    def _watch_clock(self) -> None:
        while not self._stopping.wait(_WATCH_S):
            if self._watch.was_set():
                log.warning("the machine's clock was set; every job begins anew", extra={"action": "clock_set"})
                for job in self._scheduler.get_jobs():
                    job.modify(next_run_time=_wall_now())

    def _listen(self) -> None:
        while not self._stopping.is_set():
            self._woken_by.wait()
            self._woken_by.clear()
            if not self._stopping.is_set():
                self._wake()
            self._stopping.wait(_BREATH_S)


def guarded(name: str, work: Callable[[], object]) -> Callable[[], None]:
    """A job that logs what goes wrong and comes again: the ticker must outlive every error."""

    def run() -> None:
        try:
            work()
        except StoreDown as problem:
            log.warning("%s: %s", name, problem, extra={"action": "store_down"})
        except Exception:
            log.exception("%s failed; it runs again", name, extra={"action": "job_failed"})

    return run


def _wall_now() -> datetime:
    """By the clock that APScheduler goes by."""
    return datetime.now(UTC)
