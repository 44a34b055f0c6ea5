"""A bounded number of threads that carry out claimed rows, so that one slow call holds up nothing but itself."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait

from bot.store import Job, StoreDown

log = logging.getLogger("mlops.pump")


class Pump:
    """Claims as many jobs as it has free hands and gives each to one of them; a hand that is done takes the next."""

    def __init__(
        self, name: str, hands: int, claim: Callable[[int, Collection[str]], list[Job]], do: Callable[[Job], object],
        give_back: Callable[[Job], object],
    ) -> None:  # fmt: skip
        """`claim(limit, held)` takes rows, but none of `held`: those are in hand here, whatever their leases say.

        `give_back` ends a claim that was left lying because the store was down.
        """
        self._name = name
        self._hands = hands
        self._claim = claim
        self._do = do
        self._give_back = give_back
        self._left: deque[Job] = deque()  # claimed, and then the store was down
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
            following = self._next() if self._carry_out(following) else None

    def _carry_out(self, job: Job) -> bool:
        """False when the store was down: then nothing more is taken before the next round."""
        try:
            self._do(job)
        except StoreDown as problem:
            # It is given back as soon as the store is there; an unsure one is looked at before it is repeated.
            self._left.append(job)
            log.warning("%s %s: %s", self._name, job.id, problem, extra={"action": "store_down"})
            return False
        except Exception:
            log.exception("%s %s failed", self._name, job.id, extra={"action": "job_failed"})
        finally:
            self._held.discard(job.id)
        return True

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
        while self._left:
            self._give_back(self._left[0])  # raises when the store is still down, and the job stays here
            self._left.popleft()
        jobs = self._claim(limit, frozenset(self._held))
        self._held.update(job.id for job in jobs)
        return jobs

    def _free(self, future: Future[None]) -> None:
        # Taken from a callback that may run inside `round` itself when the job ends at once: no lock, a set's discard
        # is atomic under the interpreter lock.
        self._busy.discard(future)
