"""Drift reports, their exits, files and recurring turns, promised alike by SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.model import Who
from bot.policy.drift import Choice, Exit, Report, ReportState, Result
from bot.store import Conflict, Store, StoredFile
from tests.store.builders import ALICE, BOB, T0, at

REPORT = Report(
    id="DRF-1", system="shop", model="intent", state=ReportState.ASKED, why="asked", asked_by=ALICE, asked_at=T0,
    target="channel:C1",
)  # fmt: skip
RESULT = Result(sentence="1 of 2 drifted \x00 \ud83d.", verdict="high", cause="data bug", drifted=("age", "income"))


def add(store: Store, report: Report = REPORT) -> None:
    with store.begin() as tx:
        tx.drift.add(report)


def done(store: Store, number: int, *, exit_: Exit | None = None, minutes: float = 0) -> Report:
    report = replace(
        REPORT, id=f"DRF-{number}", state=ReportState.DONE, result=replace(RESULT, sentence=f"number {number}"),
        ended_at=at(minutes or number),
    )  # fmt: skip
    with store.begin() as tx:
        tx.drift.add(report)
        if exit_:
            tx.drift.choose(report.id, Choice(exit=exit_, by=BOB, at=at(number)))
    return report


def test_a_report_comes_back_as_it_was_kept(store: Store) -> None:
    add(store, replace(REPORT, state=ReportState.DONE, result=RESULT, ended_at=at(1), files={"DRF-1-png": "F1"}))
    found = store.drift.report("DRF-1")
    assert found is not None
    assert found.asked_by == ALICE
    assert found.files == {"DRF-1-png": "F1"}
    assert found.result is not None
    assert found.result.sentence == "1 of 2 drifted \ufffd \ufffd."
    assert found.result.drifted == ("age", "income")
    assert store.drift.report("DRF-2") is None
    assert store.drift.report("DRF-1' OR '1'='1") is None


def test_the_same_check_is_never_under_way_twice(store: Store) -> None:
    add(store)
    with pytest.raises(Conflict):
        add(store, replace(REPORT, id="DRF-2"))
    add(store, replace(REPORT, id="DRF-3", days=30))
    add(store, replace(REPORT, id="DRF-4", feature="age"))
    with store.begin() as tx:
        assert getattr(tx.drift.under_way(REPORT), "id", "") == "DRF-1"
        tx.drift.save(replace(REPORT, state=ReportState.FAILED, ended_at=at(1)))
    add(store, replace(REPORT, id="DRF-5"))


def test_the_newest_result_is_by_its_end_and_not_by_its_number(store: Store) -> None:
    """A check that was asked for earlier and took longer knows more."""
    done(store, 1, minutes=9)
    done(store, 2, minutes=5)
    add(store, replace(REPORT, id="DRF-3", model="other"))
    add(store, replace(REPORT, id="DRF-4"))
    assert [one.id for one in store.drift.latest("shop", "intent", done=True)] == ["DRF-1", "DRF-2"]
    assert [one.id for one in store.drift.latest("shop", "intent")] == ["DRF-4", "DRF-2", "DRF-1"]
    assert store.drift.latest("shop", "nosuch") == []


def test_exits_are_appended_and_the_last_one_counts(store: Store) -> None:
    done(store, 1, exit_=Exit.DATA_BUG)
    with store.begin() as tx:
        tx.drift.choose("DRF-1", Choice(exit=Exit.VALID, by=ALICE, at=at(2)))
    assert [(one.exit, one.by) for one in store.drift.choices("DRF-1")] == [(Exit.DATA_BUG, BOB), (Exit.VALID, ALICE)]
    found = store.drift.report("DRF-1")
    assert found is not None
    assert found.choice == Choice(exit=Exit.VALID, by=ALICE, at=at(2))
    with store.begin() as tx:  # saving the report touches no exit
        tx.drift.save(replace(found, progress="x", choice=None))
    assert getattr(store.drift.report("DRF-1"), "choice", None) == found.choice


def test_an_exit_belongs_to_a_report(store: Store) -> None:
    with pytest.raises(Conflict), store.begin() as tx:
        tx.drift.choose("DRF-9", Choice(exit=Exit.VALID, by=Who(team_id="T1", user_id="U1"), at=T0))


def test_accepted_columns_are_those_that_were_called_expected_last(store: Store) -> None:
    assert store.drift.accepted("shop", "intent", T0) == ()
    done(store, 1, exit_=Exit.EXPECTED)
    assert store.drift.accepted("shop", "intent", T0) == ("age", "income")
    assert store.drift.accepted("shop", "intent", at(5)) == ()
    done(store, 2)
    assert store.drift.accepted("shop", "intent", T0) == ("age", "income")
    done(store, 3, exit_=Exit.DATA_BUG)
    assert store.drift.accepted("shop", "intent", T0) == ()


def test_a_turn_is_taken_once_per_due_time_and_the_first_sight_is_none(store: Store) -> None:
    def turn(due: float) -> bool:
        with store.begin() as tx:
            return tx.drift.turn("review", at(due))

    assert [turn(0), turn(0), turn(1), turn(1), turn(0), turn(5), turn(5)] == [
        False, False, True, False, False, True, False,
    ]  # fmt: skip
    gate, won = threading.Barrier(4), []

    def race() -> None:
        gate.wait()
        won.append(turn(9))

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(won) == [False, False, False, True]
    with store.begin() as tx:
        assert tx.drift.first_seen("model", at(1)) == at(1)
        assert tx.drift.first_seen("model", at(7)) == at(1)


def test_files_are_kept_packed_and_go_after_their_time(store: Store) -> None:
    body = b"<html>" + b"a drift report " * 100_000
    one = StoredFile(id="DRF-1-html", name="drift.html", media_type="text/html", body=body, made_at=T0)
    with store.begin() as tx:
        tx.drift.put_files([one])
        tx.drift.put_files([one])
    assert store.drift.file("DRF-1-html") == one
    assert store.drift.file("../drift") is None
    assert store.prune(at(0) + timedelta(days=31), timedelta(days=30)) == 1
    assert store.drift.file("DRF-1-html") is None


def test_a_file_beyond_all_measure_is_refused(store: Store) -> None:
    huge = StoredFile(id="x", name="x", media_type="text/html", body=bytes(40_000_001), made_at=T0)
    with pytest.raises(ValueError, match="at most 40000000 are kept"), store.begin() as tx:
        tx.drift.put_files([huge])
