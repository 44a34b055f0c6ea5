"""Threads and processes at the same rows, on both databases. Each thread has a store of its own, as a replica has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from bot.effects import Page, Record, SetTimer, ShowHeadline, StopPaging
from bot.model import IncidentState, PlanState, TimerKind
from bot.policy.alerts import Verdict
from bot.store import Conflict, Store, Timer
from tests.store.builders import ALICE, AUDIT_KEY, LEASE, T0, alert, at, claim, decision, incident, plan, save
from tests.store.conftest import Open

WORKERS = 4


def together(count: int, task: Callable[[int], object]) -> list[object]:
    """Run `task(0)` … at the same moment in threads; what each returned or raised."""
    results: list[object] = [None] * count
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        gate.wait()
        try:
            results[number] = task(number)
        except Exception as problem:  # noqa: BLE001 - the test looks at it
            results[number] = problem

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "a transaction waits for ever"
    return results


@pytest.fixture
def replicas(url: str, open_store: Open) -> list[Store]:
    return [open_store(url) for _ in range(WORKERS)]


def test_no_row_is_claimed_twice(replicas: list[Store]) -> None:
    pages = [Page(number=1, target=f"user:U{n}", late_by=timedelta(0), reason="r", unique="1") for n in range(60)]
    save(replicas[0], incident(), *pages)

    def work(number: int) -> list[str]:
        mine: list[str] = []
        while jobs := replicas[number].claim("slack", f"worker {number}", T0, LEASE, 3):
            mine += [job.id for job in jobs]
        return mine

    taken: list[str] = [job for share in together(WORKERS, work) for job in share]  # type: ignore[attr-defined]
    # A claimer may pass over rows that another one is just taking; nobody may get one twice.
    assert max(Counter(taken).values()) == 1
    taken += [job.id for job in claim(replicas[0], limit=60)]
    assert sorted(Counter(taken).values()) == [1] * 60


def test_one_key_opens_one_incident(replicas: list[Store]) -> None:
    """Four replicas get the same alert at the same moment."""

    def take_in(number: int) -> str:
        with replicas[number].begin() as tx:
            tx.lock_key("k")
            verdict = tx.merge_alert(alert(), T0).verdict
            found = tx.incident_for_key("k", T0, timedelta(0))
            if found is None:
                fresh = incident(tx.next_id("INC"), key="k")
                tx.attach_alert(alert(), fresh.id)
                tx.save(decision(fresh, ShowHeadline()), T0)
            tx.count("alerts_received")
            return str(verdict)

    verdicts = together(WORKERS, take_in)

    assert Counter(verdicts) == {Verdict.NEW: 1, Verdict.DUPLICATE: WORKERS - 1}
    assert len(replicas[0].incidents()) == 1
    assert replicas[0].counters() == {"alerts_received": WORKERS}


def test_without_the_lock_the_database_itself_refuses_a_second_open_incident(replicas: list[Store]) -> None:
    def open_one(number: int) -> None:
        with replicas[number].begin() as tx:
            tx.save(decision(incident(f"INC-{number}", key="k")), T0)

    results = together(WORKERS, open_one)

    assert results.count(None) == 1
    assert sum(isinstance(result, Conflict) for result in results) == WORKERS - 1


def test_an_event_delivered_four_times_at_once_is_handled_once(replicas: list[Store]) -> None:
    def handle(number: int) -> bool:
        with replicas[number].begin() as tx:
            return tx.once("click", T0)

    assert Counter(together(WORKERS, handle)) == {True: 1, False: WORKERS - 1}


def test_a_timer_fires_in_one_replica(replicas: list[Store]) -> None:
    save(replicas[0], incident(), SetTimer(kind=TimerKind.ESCALATE, due_at=T0, epoch=1, number=1))
    [timer] = replicas[0].due_timers(T0)

    def fire(number: int) -> bool:
        with replicas[number].begin() as tx:
            return tx.take_timer(timer.id, T0)

    assert Counter(together(WORKERS, fire)) == {True: 1, False: WORKERS - 1}


def test_an_acknowledgement_and_a_due_timer_do_not_wait_for_each_other(replicas: list[Store]) -> None:
    """Both want the incident and its timers. Whoever is first wins, the other one follows; nobody is killed."""
    for number in range(10):
        save(replicas[0], incident(f"INC-{number}"), SetTimer(kind=TimerKind.ESCALATE, due_at=T0, epoch=1, number=1))
        [timer] = replicas[0].due_timers(T0)

        fired, acknowledged = together(2, partial(_fire_or_acknowledge, replicas, timer))

        assert fired in {True, False}
        assert acknowledged is True
        assert replicas[0].due_timers(T0) == []


def _fire_or_acknowledge(replicas: list[Store], timer: Timer, which: int) -> bool:
    with replicas[which].begin() as tx:
        taken = tx.take_timer(timer.id, T0) if which == 0 else False
        found = tx.incident(timer.incident_id)
        assert found is not None
        if which == 1:
            resting = replace(found, epoch=2, state=IncidentState.ACKNOWLEDGED)
            tx.save(decision(resting, StopPaging()), T0)
            return True
        if taken:
            tx.save(decision(replace(found, firing=1), Record(kind="paged", by=ALICE, text="t")), T0)
        return taken


def test_one_of_two_plans_gets_the_target(replicas: list[Store]) -> None:
    for number in range(WORKERS):
        save(replicas[0], incident(f"INC-{number}", plans=(plan(f"PLN-{number}", state=PlanState.PENDING),)))

    def approve(number: int) -> None:
        with replicas[number].begin() as tx:
            found = tx.incident(f"INC-{number}")
            assert found is not None
            running = replace(found.plans[0], state=PlanState.APPROVED)
            tx.save(decision(replace(found, plans=(running,))), T0)

    results = together(WORKERS, approve)

    assert results.count(None) == 1
    assert sum(isinstance(result, Conflict) for result in results) == WORKERS - 1
    approved = [one for one in replicas[0].incidents() if one.plans[0].state is PlanState.APPROVED]
    assert len(approved) == 1


def test_changes_of_one_incident_are_all_kept(replicas: list[Store]) -> None:
    save(replicas[0], incident())

    def change(number: int) -> None:
        for _ in range(10):
            with replicas[number].begin() as tx:
                found = tx.incident("INC-1")
                assert found is not None
                tx.save(decision(replace(found, total=found.total + 1), Record(kind="noted", by=ALICE, text="t")), T0)

    assert together(WORKERS, change) == [None] * WORKERS
    found = replicas[0].incident("INC-1")
    assert found is not None
    assert found.total == WORKERS * 10


def test_nobody_forks_the_audit_chain(replicas: list[Store]) -> None:
    def write(number: int) -> None:
        for line in range(15):
            with replicas[number].begin() as tx:
                tx.record(kind="noted", by=ALICE, text=f"{number}.{line}", now=T0)

    assert together(WORKERS, write) == [None] * WORKERS
    lines = list(replicas[0].audit_lines())
    assert [line.seq for line in lines] == list(range(1, WORKERS * 15 + 1))
    assert [line.prev for line in lines[1:]] == [line.mac for line in lines[:-1]]
    assert replicas[0].audit_head() == (lines[-1].seq, lines[-1].mac)


def test_numbers_are_given_once(replicas: list[Store]) -> None:
    def draw(number: int) -> list[str]:
        drawn = []
        for _ in range(10):
            with replicas[number].begin() as tx:
                drawn.append(tx.next_id("INC"))
        return drawn

    drawn = [one for share in together(WORKERS, draw) for one in share]  # type: ignore[attr-defined]
    assert sorted(drawn, key=lambda one: int(one[4:])) == [f"INC-{number}" for number in range(1, WORKERS * 10 + 1)]


KILLED = """
import os, signal, sys
from bot.effects import Record, SetTimer, ShowHeadline
from bot.model import TimerKind
from bot.store import Store
from tests.store.builders import ALICE, AUDIT_KEY, T0, alert, decision, incident
store = Store(sys.argv[1], audit_key=AUDIT_KEY)
with store.begin() as tx:
    tx.once("committed", T0)
    tx.save(decision(incident("INC-1"), ShowHeadline(), Record(kind="opened", by=ALICE, text="t")), T0)
print("committed", flush=True)
with store.begin() as tx:
    tx.once("lost", T0)
    tx.merge_alert(alert(), T0)
    timer = SetTimer(kind=TimerKind.ESCALATE, due_at=T0, epoch=1, number=1)
    tx.save(decision(incident("INC-2"), timer, ShowHeadline(), Record(kind="opened", by=ALICE, text="t")), T0)
    tx.finish(AUDIT_KEY)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_within_a_transaction_leaves_what_was_committed(url: str, store: Store) -> None:
    """kill -9 between the last statement and the commit: the first transaction is whole, the second left nothing."""
    store.close()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, url], check=False, capture_output=True, text=True, timeout=60, cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout == "committed\n"

    assert [one.id for one in store.incidents()] == ["INC-1"]
    assert store.audit_head()[0] == 1
    assert store.due_timers(at(99)) == []
    with store.begin() as tx:  # nor does it hold a lock
        assert tx.once("lost", T0)
        assert not tx.once("committed", T0)
        assert tx.merge_alert(alert(), T0).verdict is Verdict.NEW
        tx.save(decision(incident("INC-2"), Record(kind="opened", by=ALICE, text="t")), T0)
    assert AUDIT_KEY
    assert [line.seq for line in store.audit_lines()] == [1, 2]
