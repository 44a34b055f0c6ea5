"""Rows of planned work, of heartbeats and of timers around a ladder, the same on both databases."""

from __future__ import annotations

from datetime import timedelta

from bot.effects import Page, SetTimer, StopPaging, TellSubscriber
from bot.model import TimerKind
from bot.policy import Hold
from bot.store import Store
from tests.store.builders import ALICE, BOB, T0, at, claim, ids, incident, save

MINUTE = timedelta(minutes=1)
WORK = Hold(system="shop", part="api", until=at(60), why="it's \x00 \ud800 patching", by="bob")


def test_planned_work_holds_until_its_end_and_what_is_said_last_counts(store: Store) -> None:
    with store.begin() as tx:
        tx.hold(WORK)
        tx.hold(Hold(system="shop", until=at(30)))
        tx.hold(Hold(system="shop", part="api", until=at(90), why="longer"))
        assert [(one.part, one.until) for one in tx.holds(T0)] == [("", at(30)), ("api", at(90))]

    assert [(one.part, one.why) for one in store.holds(at(30))] == [("api", "longer")]
    assert store.holds(at(90)) == ()


def test_planned_work_is_ended_once(store: Store) -> None:
    with store.begin() as tx:
        tx.hold(WORK)
        assert not tx.end_hold("shop", "", T0)
        assert tx.end_hold("shop", "api", T0)
        assert not tx.end_hold("shop", "api", T0)
        tx.hold(WORK)
        assert not tx.end_hold("shop", "api", at(61)), "it was over by itself"


def test_words_that_a_database_cannot_keep_are_kept_readable(store: Store) -> None:
    with store.begin() as tx:
        tx.hold(WORK)

    assert store.holds(T0)[0].why == "it's \ufffd \ufffd patching"


def test_planned_work_that_is_long_over_is_forgotten(store: Store) -> None:
    with store.begin() as tx:
        tx.hold(WORK)

    assert store.prune(at(60 * 24 * 31), timedelta(days=30)) == 1


def test_a_heartbeat_s_life(store: Store) -> None:
    with store.begin() as tx:
        tx.wait_for_beat("am", at(5))
        tx.wait_for_beat("am", at(50))  # it is waited for already
        assert tx.beats()["am"].due_at == at(5)
        assert not tx.beat_missed("am", at(6)), "it beat in the meantime"
        assert tx.beat_missed("am", at(5))
        assert not tx.beat_missed("am", at(5))
        tx.give_grace({"am": at(99)})
        assert (tx.beats()["am"].due_at, tx.beats()["am"].silent_since) == (at(5), at(5)), "what is silent stays so"
        tx.beat_seen("am", at(7), at(12))
        tx.give_grace({"am": at(10)})
        assert tx.beats()["am"].due_at == at(12), "nothing is due sooner than it was"
        tx.give_grace({"am": at(20)})
        tx.beat_overdue("am", at(8))
    found = store.beats()["am"]

    assert (found.seen_at, found.due_at, found.silent_since) == (at(7), at(8), None)
    with store.begin() as tx:
        tx.forget_beat("am")
    assert store.beats() == {}


def test_what_is_due_while_somebody_has_it_goes_with_the_ladder(store: Store) -> None:
    """The question, its answer's time and what is told for information end with the state they belong to."""
    kinds = (TimerKind.NUDGE, TimerKind.LAPSE, TimerKind.INFORM)
    timers = (SetTimer(kind=kind, due_at=at(5), epoch=1, number=2) for kind in kinds)
    question = Page(
        number=0, target="user:U1", late_by=timedelta(0), reason="still on it?", unique="1.asked", asks="still_on_it"
    )
    listener = SetTimer(kind=TimerKind.UPDATE, due_at=at(5), epoch=0, number=1)
    save(store, incident(), *timers, question, listener)
    assert len(store.due_timers(at(5))) == 4

    save(store, incident(epoch=2), StopPaging())

    assert [timer.kind for timer in store.due_timers(at(5))] == [TimerKind.UPDATE]
    assert claim(store, now=at(6)) == []


def test_only_the_newest_telling_of_a_subscription_goes_out(store: Store) -> None:
    save(store, incident(), TellSubscriber(number=1, to=ALICE), TellSubscriber(number=2, to=BOB))
    save(store, incident(), TellSubscriber(number=1, to=ALICE, is_last=True))

    jobs = claim(store, now=at(1))
    assert [(job.target, job.template, job.payload) for job in jobs] == [
        ("user:UBOB", "update:2", {"is_last": False}), ("user:UALICE", "update:1", {"is_last": True}),
    ]  # fmt: skip
    assert len(set(ids(jobs))) == 2


def test_open_incidents_of_a_system_are_found_in_order(store: Store) -> None:
    for number in (2, 10, 1):
        save(store, incident(f"INC-{number}"))
    with store.begin() as tx:
        assert tx.open_incidents("shop") == ["INC-1", "INC-2", "INC-10"]
        assert tx.open_incidents("bank") == []
