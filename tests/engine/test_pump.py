"""The pump: what is in hand, what is taken next, and what becomes of it when the store is down in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from bot.pump import Pump
from bot.store import Job, Store, StoreDown
from tests.store.builders import LEASE, T0, incident, save
from tests.store.test_delivery import LEVEL, states


def until(look: Callable[[], bool], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Queue:
    """Jobs that are claimed in order."""

    def __init__(self, *ids: str) -> None:
        self.waiting, self.held_seen = list(ids), list[frozenset[str]]()

    def claim(self, limit: int, held: Collection[str]) -> list[Job]:
        self.held_seen.append(frozenset(held))
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return [_job(name) for name in taken]


def _job(name: str) -> Job:
    return Job(
        id=name, incident_id="INC-1", lane="slack", kind="page", template="", payload={}, target="", living=False,
        attempt=1, unanswered=0, unsure=False, revision=1, owner="one", fence=1, lease_until=T0, place_channel="",
        place_ts="", created_at=T0, priority=0, error="",
    )  # fmt: skip


def test_a_hand_that_is_done_takes_the_next_at_once() -> None:
    """One round is enough for all of them: nobody waits for the next poll."""
    queue, done = Queue("a", "b", "c", "d", "e"), list[str]()
    pump = Pump("test", 2, queue.claim, lambda job: done.append(job.id), lambda _: None)
    assert pump.round() == 2
    until(lambda: len(done) == 5)
    assert pump.drain(5)


def test_what_is_in_hand_is_named_to_whoever_claims() -> None:
    queue, going, go = Queue("a", "b"), threading.Event(), threading.Event()

    def slow(job: Job) -> None:
        if job.id == "a":
            going.set()
            assert go.wait(20)

    pump = Pump("test", 2, queue.claim, slow, lambda _: None)
    pump.round()
    assert going.wait(20)
    until(lambda: pump.round() == 0 and queue.held_seen[-1] == {"a"})
    go.set()
    assert pump.drain(5)


def test_what_the_store_was_down_for_does_not_wait_for_its_lease(file_store: Store) -> None:
    """Claimed, then the database is away: it goes on as soon as the database is back."""
    save(file_store, incident(), LEVEL)
    is_down = True

    def claim(limit: int, held: Collection[str]) -> list[Job]:
        return file_store.claim("slack", "one", T0, LEASE, limit, held)

    def send(job: Job) -> None:
        if is_down:
            raise StoreDown("away")
        file_store.delivered(job, T0, "D1", "1.0")

    pump = Pump("test", 1, claim, send, lambda job: file_store.give_back(job, T0))
    pump.round()
    until(lambda: len(pump._left) == 1 and not pump._busy)
    assert states(file_store) == {"page": "sending"}
    is_down = False
    pump.round()
    until(lambda: states(file_store) == {"page": "sent"})
    assert pump.drain(5)
