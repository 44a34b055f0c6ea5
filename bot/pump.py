"""A bounded number of threads that carry out claimed rows, so that one slow call holds up nothing but itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait

from bot.store import Job, StoreDown

log = logging.getLogger("mlops.pump")


class Pump:
    """Claims as many jobs as it has free hands and gives each to one of them; a hand that is done takes the next."""

    def __init__(
        self, name: str, hands: int, claim: Callable[[int, Collection[str]], list[Job]], do: Callable[[Job], object]
    ) -> None:
        """`claim(limit, held)` takes rows, but none of `held`: those are in hand here, whatever their leases say."""
        self._name = name
        self._hands = hands
        self._claim = claim
        self._do = do
        self._busy: set[Future[None]] = set()
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._pool = ThreadPoolExecutor(max_workers=hands, thread_name_prefix=name)

    def round(self) -> int:
        """Claim and hand out what is due. Returns how many jobs were begun."""
        with self._lock:
            free = self._hands - len(self._busy)
            if free <= 0 or self._closing:
                return 0
            jobs = self._take(free)
            for job in jobs:
                future = self._pool.submit(self._run, job)
                self._busy.add(future)
                future.add_done_callback(self._free)
        return len(jobs)

    def drain(self, timeout_s: float) -> bool:
        """Wait for what is under way; True when nothing is left."""
        with self._lock:
            self._closing = True  # what is claimed from now on could only be dropped
            busy = set(self._busy)
        left = wait(busy, timeout=timeout_s).not_done
        self._pool.shutdown(wait=False, cancel_futures=True)
        return not left

    def _run(self, job: Job) -> None:
        following: Job | None = job
        while following is not None:
            self._carry_out(following)
            following = self._next()

    def _carry_out(self, job: Job) -> None:
        try:
            self._do(job)
        except StoreDown as problem:
            # The lease runs out and the job comes again; an unsure one is looked at before it is repeated.
            log.warning("%s %s: %s", self._name, job.id, problem, extra={"action": "store_down"})
        except Exception:
            log.exception("%s %s failed", self._name, job.id, extra={"action": "job_failed"})
        finally:
            self._held.discard(job.id)

    def _next(self) -> Job | None:
        """One more for a hand that has become free, None when nothing is due or nothing can be had."""
        with self._lock:
            if self._closing:
                return None
            try:
                return next(iter(self._take(1)), None)
            except StoreDown:
                return None  # the next round says so
            except Exception:
                log.exception("%s: nothing could be claimed", self._name, extra={"action": "claim_failed"})
                return None

    def _take(self, limit: int) -> list[Job]:
        jobs = self._claim(limit, frozenset(self._held))
        self._held.update(job.id for job in jobs)
        return jobs

    def _free(self, future: Future[None]) -> None:
        # Taken from a callback that may run inside `round` itself when the job ends at once: no lock, a set's discard
        # is atomic under the interpreter lock.
        self._busy.discard(future)
