"""The process's clock: it may be set forward, and never goes back.

Leases, due times and back-offs are compared with it, so a wall clock that is set back by an hour must not let everybody
wait for an hour, and one that is set forward must not be missed: after a pause of the machine, what is overdue is due.
Set back, this clock goes on at its own pace and loses what it is ahead by and by.

Several replicas must agree on what time it is, or one takes over what another holds. With PostgreSQL they all follow
the database's clock, which each compares with its own steady one now and then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

log = logging.getLogger("mlops.clock")

CATCH_UP = 0.02  # of each second that goes by, while this clock is ahead: an hour is made good within two days
STEP_S = 2.0  # a difference that is told; smaller ones are the daily work of a time service
_TRUSTED_S = 0.5  # an answer that took longer says too little about when it was given
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def steady_s() -> float:
    """Seconds that only ever go forward, and go on while the machine sleeps where the system can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Clock:
    """Tells the time. Safe to use from many threads.

    Promises: no reading is before an earlier one; a span between two readings is at least the true one less a
    fiftieth, whatever is done to the wall clock. Not promised: that the hour is right when nobody sets the machine's.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady_s) -> None:
        self._wall, self._steady = wall, steady
        self._lock = threading.Lock()
        self._followed: tuple[float, float] | None = None  # the database's time, and ours when it was so
        self._last, self._last_steady = self._truth(steady()), steady()
        self._ahead_s = 0.0

    def now(self) -> datetime:
        """The time, aware and in UTC."""
        with self._lock:
            steady = self._steady()
            passed = max(steady - self._last_steady, 0.0)
            truth = self._truth(steady)
            fastest, slowest = self._last + passed, self._last + passed * (1 - CATCH_UP)
            self._last, self._last_steady = max(truth, slowest), steady
            ahead, before = max(self._last - truth, 0.0), self._ahead_s
            self._ahead_s = ahead
            told, jumped = self._last, truth - fastest
        if ahead > before + STEP_S:
            log.warning("the clock was set back by %.0f s; going on without the jump", ahead - before,
                        extra={"action": "clock_set_back"})  # fmt: skip
        elif jumped > STEP_S:
            log.warning("the clock was set forward by %.0f s", jumped, extra={"action": "clock_set_forward"})
        return _EPOCH + timedelta(seconds=told)

    def follow(self, ask: Callable[[], datetime]) -> None:
        """Compare with another clock and go by it from now on. What `ask` raises comes through."""
        before = self._steady()
        told = (ask() - _EPOCH).total_seconds()
        after = self._steady()
        with self._lock:
            is_first = self._followed is None
            if is_first or after - before < _TRUSTED_S:
                self._followed = told, (before + after) / 2
            if is_first:  # what the machine's own clock said until now binds nobody
                self._last, self._last_steady, self._ahead_s = self._truth(after), after, 0.0

    def _truth(self, steady: float) -> float:
        if self._followed is None:
            return self._wall()
        told, then = self._followed
        return told + (steady - then)


class WallWatch:
    """Notices that the wall clock was set, for parts that wait by it and cannot be told otherwise."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady_s) -> None:
        self._wall, self._steady = wall, steady
        self._apart = wall() - steady()

    def was_set(self) -> bool:
        """True once for each time that it was set by more than a second since the last look."""
        apart = self._wall() - self._steady()
        moved = abs(apart - self._apart) > 1.0
        self._apart = apart
        return moved
