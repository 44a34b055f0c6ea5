"""The process's clock: it never goes back, whatever is done to the machine's, and replicas agree."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.clock import CATCH_UP, Clock, WallWatch
from bot.ticker import Every, Ticker

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Machine:
    """A machine's two clocks."""

    def __init__(self) -> None:
        self.wall, self.steady = NOON.timestamp(), 100.0

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.steady)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_set_back_by_an_hour_it_goes_on_without_the_jump() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wall -= 3600
    machine.passes(60)
    passed = (clock.now() - before).total_seconds()
    assert 60 * (1 - CATCH_UP) <= passed <= 60, "a level that is due in a minute is due in a minute"


def test_what_it_is_ahead_by_is_lost_by_and_by() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.now()
    machine.wall -= 60
    for _ in range(61):
        machine.passes(60)
        clock.now()
    assert abs(clock.now().timestamp() - machine.wall) < 0.001


def test_set_forward_it_follows_at_once() -> None:
    """After a pause of the machine what is overdue is due; nobody waits for a clock that knows better."""
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wall += 3600
    assert clock.now() - before == timedelta(hours=1)


@given(st.lists(st.tuples(st.floats(0, 3600), st.floats(-86_400, 86_400)), max_size=30))
def test_no_reading_is_before_an_earlier_one(steps: list[tuple[float, float]]) -> None:
    machine = Machine()
    clock = machine.clock()
    last = clock.now()
    for passes, jump in steps:
        machine.wall += jump
        machine.passes(passes)
        now = clock.now()
        # A microsecond is the finest that a time is told in.
        assert (now - last).total_seconds() >= passes * (1 - CATCH_UP) - 2e-6
        last = now


def test_replicas_that_follow_one_clock_agree() -> None:
    first, second = Machine(), Machine()
    second.wall += 3600
    clocks = [first.clock(), second.clock()]
    clocks[1].now()  # what its machine said before binds nobody
    for clock in clocks:
        clock.follow(lambda: NOON)
    second.wall -= 7200
    for machine in (first, second):
        machine.passes(30)
    assert [clock.now() for clock in clocks] == [NOON + timedelta(seconds=30)] * 2


def test_a_slow_answer_sets_no_clock() -> None:
    """Nobody knows when within those seconds it was given."""
    machine = Machine()
    clock = machine.clock()
    clock.follow(lambda: NOON)

    def slow() -> datetime:
        machine.passes(4)
        return NOON + timedelta(hours=1)

    clock.follow(slow)
    assert clock.now() == NOON + timedelta(seconds=4)


def test_every_job_begins_anew_when_the_machines_clock_is_set() -> None:
    """APScheduler waits by the wall clock: set back by an hour, it would do nothing for an hour."""
    machine = Machine()
    watch = WallWatch(lambda: machine.wall, lambda: machine.steady)
    machine.passes(10)
    assert not watch.was_set()
    machine.wall -= 3600
    assert watch.was_set()
    assert not watch.was_set(), "it is told once"

    ran = threading.Event()
    ticker = Ticker(
        [Every(name="job", seconds=3600, work=ran.set)], woken_by=threading.Event(), wake=lambda: None, watch=watch
    )
    ticker.start()
    try:
        assert ran.wait(20), "the first round is at once"
        ran.clear()
        machine.wall += 3600
        assert ran.wait(20), "and so is the next one, an hour early by its own count"
    finally:
        ticker.stop()


def test_a_commit_wakes_and_an_error_stops_nothing() -> None:
    commits, calls = threading.Event(), threading.Semaphore(0)

    def wake() -> None:
        calls.release()
        raise ValueError("a fault")

    ticker = Ticker([], woken_by=commits, wake=wake)
    ticker.start()
    try:
        for _ in range(3):
            commits.set()
            assert calls.acquire(timeout=20)
    finally:
        ticker.stop()
