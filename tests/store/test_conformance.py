"""What the store promises, on both databases: everything that is not delivery, the audit, or a race."""

from __future__ import annotations

import sqlite3
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.effects import MarkBad, OpenDebt, Record, RunDiagnostics, SetTimer, ShowHeadline, StopPaging
from bot.model import Incident, IncidentKind, IncidentState, PlanState, Severity, Subject, TimerKind
from bot.policy.alerts import Verdict
from bot.ports import Move
from bot.store import Conflict, Store, StoreDown
from tests.store.builders import (
    ALICE,
    AUDIT_KEY,
    BOB,
    MALLORY,
    T0,
    alert,
    at,
    claim,
    decision,
    full_incident,
    incident,
    plan,
    save,
)
from tests.store.conftest import Open
from tests.store.postgres_server import Server

HOSTILE = "a\x00b\ud800c \u202e<!channel> {{7*7}} %s '; DROP TABLE incident; -- \U0001f525"


# incidents


def test_an_incident_comes_back_as_it_was_stored(store: Store) -> None:
    whole = full_incident()
    empty = {field.name for field in fields(whole) if getattr(whole, field.name) in (None, (), "", 0)}
    assert empty == {"resolved_at", "resolved_by"}, "the builder must fill every field, or this test proves nothing"

    save(store, whole)

    assert store.incident("INC-1") == whole
    assert store.incident("INC-2") is None


def test_a_microsecond_survives(store: Store) -> None:
    """A due time that is rounded up is a timer that fires too early."""
    odd = T0.replace(microsecond=999_999)
    save(store, incident(opened_at=odd), SetTimer(kind=TimerKind.ESCALATE, due_at=odd, epoch=1, number=1))

    assert store.due_timers(odd - timedelta(microseconds=1)) == []
    [timer] = store.due_timers(odd)
    assert timer.due_at == odd


def test_times_are_moments_whatever_their_zone(store: Store) -> None:
    tokyo = timezone(timedelta(hours=9))
    save(store, incident(), SetTimer(kind=TimerKind.ESCALATE, due_at=at(15).astimezone(tokyo), epoch=1, number=1))

    assert [timer.due_at for timer in store.due_timers(at(15))] == [at(15)]


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    naive = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001 - the point of the test

    with pytest.raises(Exception, match="no time zone"), store.begin() as tx:
        tx.once("key", naive)


def test_hostile_text_is_stored_and_read_again(store: Store) -> None:
    """NUL and half a surrogate pair are what databases refuse; neither may cost an incident."""
    hostile = incident(title=HOSTILE, symptom=HOSTILE, subject=Subject(system="shop", model=HOSTILE), key=HOSTILE)
    record = Record(kind="noted", by=replace(ALICE, name=HOSTILE), text=HOSTILE, data={HOSTILE: HOSTILE})
    save(store, hostile, record)
    with store.begin() as tx:
        tx.merge_alert(alert(labels={HOSTILE: HOSTILE}, fingerprint=HOSTILE, source=HOSTILE), T0)
        tx.attach_alert(alert(fingerprint=HOSTILE, source=HOSTILE), "INC-1")
        tx.quarantine(HOSTILE, HOSTILE, T0)
        tx.lock_key(HOSTILE)
        tx.once(HOSTILE, T0)
        tx.freeze(HOSTILE, at(5), ALICE, HOSTILE)

    shown = HOSTILE.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    found = store.incident("INC-1")
    assert found is not None
    assert found.title == shown
    assert store.timeline("INC-1")[0].text == shown
    assert list(store.alerts("INC-1")[0].labels.values()) == [shown]
    assert store.quarantined()[0].raw == shown
    assert [one.id for one in store.open_incident_about(None, HOSTILE)] == ["INC-1"]


def test_endless_keys_are_bounded_and_stay_apart(store: Store) -> None:
    """PostgreSQL refuses index entries over 2.7 kB; a label may be longer."""
    long = "ü" * 200_000
    save(store, incident("INC-1", key=long + "1"))
    save(store, incident("INC-2", key=long + "2"))
    with store.begin() as tx:
        first = tx.incident_for_key(long + "1", T0, timedelta(0))
        second = tx.incident_for_key(long + "2", T0, timedelta(0))
        fresh = [tx.once(long + "1", T0), tx.once(long + "2", T0), tx.once(long + "1", T0)]
        merged = [tx.merge_alert(alert(fingerprint=long), T0).verdict for _ in range(2)]

    assert (first and first.id, second and second.id) == ("INC-1", "INC-2")
    assert fresh == [True, True, False]
    assert merged == [Verdict.NEW, Verdict.DUPLICATE]


def test_a_field_that_holds_something_else_is_refused_when_it_is_saved(store: Store) -> None:
    """Better no transaction than an incident that nobody can read any more."""
    wrong = incident(title=5)

    with pytest.raises(Exception, match="serializ"):
        save(store, wrong)
    assert store.incident("INC-1") is None


def test_incidents_are_listed_newest_first(store: Store) -> None:
    for number in range(1, 12):
        state = IncidentState.RESOLVED if number % 2 else IncidentState.OPEN
        system = "shop" if number < 6 else "bank"
        save(store, incident(f"INC-{number}", state=state, subject=Subject(system=system), opened_at=at(number // 4)))

    def listed(**choice: object) -> list[str]:
        return [one.id for one in store.incidents(**choice)]  # type: ignore[arg-type]

    assert listed() == [f"INC-{number}" for number in range(11, 0, -1)]
    assert listed(limit=2) == ["INC-11", "INC-10"]
    assert listed(open_only=True, limit=3) == ["INC-10", "INC-8", "INC-6"]
    assert listed(system="shop", open_only=True) == ["INC-4", "INC-2"]


def test_open_incidents_are_found_by_what_they_are_about(store: Store) -> None:
    save(store, incident("INC-1", subject=Subject(system="shop", service="api", model="intent")))
    save(store, incident("INC-2", subject=Subject(system="bank", service="api", model="risk"), opened_at=at(1)))
    save(store, incident("INC-3", subject=Subject(system="shop", model="intent"), state=IncidentState.RESOLVED))

    def about(system: str | None, label: str) -> list[str]:
        return [one.id for one in store.open_incident_about(system, label)]

    assert about(None, "api") == ["INC-2", "INC-1"]
    assert about("shop", "api") == ["INC-1"]
    assert about("shop", "intent") == ["INC-1"]
    assert about(None, "bank") == ["INC-2"]
    assert about("bank", "intent") == []


def test_the_open_incident_of_a_key_is_found_then_the_one_just_resolved(store: Store) -> None:
    save(store, incident("INC-1", key="k", state=IncidentState.RESOLVED, resolved_at=at(0)))
    save(store, incident("INC-2", key="k", state=IncidentState.RESOLVED, resolved_at=at(10)))

    def found(now: datetime, within: timedelta) -> str:
        with store.begin() as tx:
            one = tx.incident_for_key("k", now, within)
        return one.id if one else ""

    assert found(at(39), timedelta(minutes=30)) == "INC-2"
    assert found(at(40), timedelta(minutes=30)) == ""
    assert found(at(10), timedelta(0)) == ""
    save(store, incident("INC-3", key="k"))
    assert found(at(500), timedelta(0)) == "INC-3"


def test_there_is_one_open_incident_per_key(store: Store) -> None:
    save(store, incident("INC-1", key="k"))

    with pytest.raises(Conflict):
        save(store, incident("INC-2", key="k"))
    assert store.incident("INC-2") is None

    save(store, incident("INC-1", key="k", state=IncidentState.RESOLVED))
    save(store, incident("INC-2", key="k"))
    with pytest.raises(Conflict):
        save(store, incident("INC-1", key="k", state=IncidentState.OPEN))


def test_an_incident_that_was_not_read_is_not_overwritten(store: Store) -> None:
    save(store, incident())

    with pytest.raises(Conflict), store.begin() as tx:
        tx.save(decision(incident(title="blind")), T0)


def test_an_incident_that_changed_since_it_was_read_is_not_overwritten(store: Store) -> None:
    """The row lock forbids it; if a lock is ever forgotten, the version still does."""
    save(store, incident())

    with pytest.raises(Conflict, match="changed by somebody else"), store.begin() as tx:  # noqa: PT012 - one transaction
        tx.incident("INC-1")
        tx._connection.execute(sa.text("UPDATE incident SET version = version + 1"))
        tx.save(decision(incident(title="late")), T0)


def test_sqlite_waits_for_the_disk(tmp_path: Path) -> None:
    """What kill -9 cannot show and a power cut would."""
    store = Store(str(tmp_path / "bot.db"), audit_key=AUDIT_KEY)
    names = ("journal_mode", "synchronous", "foreign_keys")
    with store._database.write() as connection:
        found = [connection.execute(sa.text(f"PRAGMA {name}")).scalar() for name in names]
    store.close()

    assert found == ["wal", 2, 1]


def test_an_effect_without_an_incident_is_a_mistake(store: Store) -> None:
    with pytest.raises(ValueError, match="belongs to an incident"), store.begin() as tx:
        tx.save(decision(None, StopPaging()), T0)


def test_ids_count_up_per_kind(store: Store) -> None:
    with store.begin() as tx:
        first = [tx.next_id("INC"), tx.next_id("INC"), tx.next_id("PLN")]
    with pytest.raises(RuntimeError), store.begin() as tx:  # noqa: PT012 - the block is one transaction
        tx.next_id("INC")
        raise RuntimeError
    with store.begin() as tx:
        second = tx.next_id("INC")

    assert first == ["INC-1", "INC-2", "PLN-1"]
    assert second not in first


def test_an_event_is_handled_once(store: Store) -> None:
    with store.begin() as tx:
        assert tx.once("key", T0)
        assert not tx.once("key", T0)
    with store.begin() as tx:
        assert not tx.once("key", at(1))
        assert tx.once("other", at(1))


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    timer = SetTimer(kind=TimerKind.ESCALATE, due_at=T0, epoch=1, number=1)

    with pytest.raises(RuntimeError, match="half way"), store.begin() as tx:  # noqa: PT012 - the block is one transaction
        assert tx.once("key", T0)
        tx.merge_alert(alert(), T0)
        tx.count("alerts_received")
        tx.quarantine("raw", "why", T0)
        tx.save(decision(incident(plans=(plan(),)), Record(kind="opened", by=ALICE, text="t"), timer), T0)
        raise RuntimeError("half way")

    assert store.incidents() == []
    assert store.counters() == {}
    assert store.quarantined() == []
    assert store.due_timers(T0) == []
    assert store.audit_head()[0] == 0
    assert store.incident_of_plan("PLN-1") is None
    with store.begin() as tx:
        assert tx.once("key", T0)
        assert tx.merge_alert(alert(), T0).verdict is Verdict.NEW


# plans and the lock


@pytest.mark.parametrize("state", [PlanState.APPROVED, PlanState.RUNNING, PlanState.WATCHING])
def test_one_plan_holds_a_target(store: Store, state: PlanState) -> None:
    save(store, incident("INC-1", plans=(plan("PLN-1", state=state),)))
    save(store, incident("INC-2", plans=(plan("PLN-2", state=PlanState.PENDING),)))
    with store.begin() as tx:
        assert tx.locked_by("shop/intent", but_not="PLN-2") == "PLN-1"
        assert tx.locked_by("shop/intent", but_not="PLN-1") == ""
        assert tx.locked_by("shop/other", but_not="") == ""

    with pytest.raises(Conflict):
        save(store, incident("INC-2", plans=(plan("PLN-2", state=PlanState.APPROVED),)))
    kept = store.incident("INC-2")
    assert kept is not None
    assert kept.plans[0].state is PlanState.PENDING

    save(store, incident("INC-1", plans=(plan("PLN-1", state=PlanState.VERIFIED),)))
    save(store, incident("INC-2", plans=(plan("PLN-2", state=PlanState.APPROVED),)))
    assert store.incident_of_plan("PLN-2") == "INC-2"


def test_a_target_passes_from_one_plan_to_the_next_in_one_transaction(store: Store) -> None:
    before = (plan("PLN-1", state=PlanState.RUNNING), plan("PLN-2", state=PlanState.PENDING))
    save(store, incident(plans=before))

    save(store, incident(plans=(plan("PLN-2", state=PlanState.APPROVED), plan("PLN-1", state=PlanState.FAILED))))

    with store.begin() as tx:
        assert tx.locked_by("shop/intent", "") == "PLN-2"
        assert tx.incident_of_plan("PLN-1") == "INC-1"


# alerts


def test_an_alert_runs_through_its_verdicts(store: Store) -> None:
    resolved = alert(firing=False, ends_at=at(5))
    with store.begin() as tx:
        assert tx.merge_alert(alert(), at(0)).verdict is Verdict.NEW
        tx.attach_alert(alert(), "INC-1")
        tx.save(decision(incident()), at(0))
        assert tx.count_alerts("INC-1") == (1, 1)
    with store.begin() as tx:
        again = tx.merge_alert(alert(), at(1))
        assert (again.verdict, again.incident_id) == (Verdict.DUPLICATE, "INC-1")
        over = tx.merge_alert(resolved, at(5))
        assert (over.verdict, over.incident_id) == (Verdict.CHANGED, "INC-1")
        assert tx.merge_alert(resolved, at(6)).verdict is Verdict.DUPLICATE
        assert tx.merge_alert(alert(), at(7)).verdict is Verdict.STALE
        assert tx.count_alerts("INC-1") == (0, 1)

    [row] = store.alerts("INC-1", 10)
    assert (row.firing, row.ends_at, row.repeats, row.first_seen_at, row.last_seen_at) == (
        False,
        at(5),
        3,
        at(0),
        at(7),
    )
    assert (row.name, row.labels["model"]) == ("LowAccuracy", "intent")


def test_a_new_episode_closes_the_one_before(store: Store) -> None:
    later = alert(starts_at=at(10))
    with store.begin() as tx:
        tx.merge_alert(alert(), at(0))
        tx.attach_alert(alert(), "INC-1")
        assert tx.merge_alert(later, at(10)).verdict is Verdict.NEW
        tx.attach_alert(later, "INC-1")
        tx.save(decision(incident()), at(10))
        assert tx.count_alerts("INC-1") == (1, 2)
        assert tx.merge_alert(alert(), at(11)).verdict is Verdict.STALE

    assert [row.starts_at for row in store.alerts("INC-1")] == [at(10), at(0)]
    assert [row.starts_at for row in store.alerts("INC-1", 1)] == [at(10)]


def test_an_overtaken_episode_belongs_where_the_later_one_does(store: Store) -> None:
    """Every accepted alert belongs to an incident, whatever order they came in."""
    with store.begin() as tx:
        tx.merge_alert(alert(starts_at=at(10)), at(10))
        tx.attach_alert(alert(starts_at=at(10)), "INC-1")
        tx.save(decision(incident()), at(10))
    with store.begin() as tx:
        late = tx.merge_alert(alert(), at(11))

    assert (late.verdict, late.incident_id) == (Verdict.STALE, "INC-1")
    assert len(store.alerts("INC-1")) == 2


def test_an_alert_cannot_belong_to_an_incident_that_is_not_there(store: Store) -> None:
    with pytest.raises(Conflict), store.begin() as tx:  # noqa: PT012 - the block is one transaction
        tx.merge_alert(alert(), T0)
        tx.attach_alert(alert(), "INC-404")


def test_counters_add_up(store: Store) -> None:
    for _ in range(2):
        with store.begin() as tx:
            tx.count("alerts_received", 3)
            tx.count("alerts_new")
            tx.count("alerts_received")

    assert store.counters() == {"alerts_new": 2, "alerts_received": 8}


def test_bad_alerts_are_kept_capped_and_few(store: Store) -> None:
    with store.begin() as tx:
        for number in range(1_003):
            tx.quarantine(f"{number} " + "x" * 10_000, "no fingerprint", at(number))

    kept = store.quarantined(2_000)
    assert len(kept) == 1_000
    assert kept[0].raw.startswith("1002 x")
    assert len(kept[0].raw) == 4_000
    assert (kept[0].why, kept[0].at) == ("no fingerprint", at(1_002))
    assert len(store.quarantined(5)) == 5


# timers


def _arm(store: Store, incident_id: str = "INC-1", **changes: Any) -> None:
    timer = SetTimer(kind=TimerKind.ESCALATE, due_at=at(15), epoch=1, number=1)
    found = store.incident(incident_id)
    assert found is not None
    save(store, found, replace(timer, **changes))


def test_timers_fall_due_in_order(store: Store) -> None:
    save(store, incident())
    for number, minutes in ((1, 15), (2, 5), (3, 10)):
        _arm(store, number=number, due_at=at(minutes))

    assert [timer.number for timer in store.due_timers(at(10))] == [2, 3]
    assert [timer.number for timer in store.due_timers(at(15))] == [2, 3, 1]
    assert [timer.number for timer in store.due_timers(at(15), limit=1)] == [2]
    [first] = store.due_timers(at(5))
    assert (first.incident_id, first.kind, first.epoch, first.plan_id) == ("INC-1", TimerKind.ESCALATE, 1, "")


def test_setting_a_timer_again_moves_it(store: Store) -> None:
    save(store, incident())
    _arm(store, due_at=at(15))
    _arm(store, due_at=at(30))
    _arm(store, due_at=at(30), plan_id="PLN-1")

    assert store.due_timers(at(29)) == []
    assert len(store.due_timers(at(30))) == 2


def test_a_timer_is_taken_once_and_only_when_due(store: Store) -> None:
    save(store, incident())
    _arm(store)
    [timer] = store.due_timers(at(15))
    with store.begin() as tx:
        assert not tx.take_timer(timer.id, at(14))
        assert tx.take_timer(timer.id, at(15))
        assert not tx.take_timer(timer.id, at(15))
        assert not tx.take_timer(timer.id + 1000, at(15))
    assert store.due_timers(at(60)) == []

    _arm(store, due_at=at(20))  # too early after all: set again in the same or a later transaction
    with store.begin() as tx:
        assert tx.take_timer(timer.id, at(20))


def test_a_taken_timer_is_due_again_when_the_transaction_fails(store: Store) -> None:
    save(store, incident())
    _arm(store)
    [timer] = store.due_timers(at(15))

    with pytest.raises(RuntimeError), store.begin() as tx:  # noqa: PT012 - the block is one transaction
        assert tx.take_timer(timer.id, at(15))
        raise RuntimeError

    assert store.due_timers(at(15)) == [timer]


def test_stopping_the_ladder_cancels_its_older_timers_only(store: Store) -> None:
    save(store, incident())
    kinds = [TimerKind.ESCALATE, TimerKind.REPEAT, TimerKind.UNSNOOZE, TimerKind.QUIET, TimerKind.EXPIRE]
    for kind in kinds:
        _arm(store, kind=kind, epoch=1)
    _arm(store, kind=TimerKind.ESCALATE, epoch=2)
    save(store, incident("INC-2"))
    _arm(store, "INC-2")

    save(store, incident(epoch=2), StopPaging())

    left = {(timer.incident_id, timer.kind, timer.epoch) for timer in store.due_timers(at(60))}
    assert left == {
        ("INC-1", TimerKind.QUIET, 1), ("INC-1", TimerKind.EXPIRE, 1), ("INC-1", TimerKind.ESCALATE, 2),
        ("INC-2", TimerKind.ESCALATE, 1),
    }  # fmt: skip


def test_the_auditor_finds_incidents_that_would_never_page(store: Store) -> None:
    minute = timedelta(minutes=1)
    timers = {
        "INC-1": (incident("INC-1"), TimerKind.ESCALATE, 1, False),
        "INC-2": (incident("INC-2"), TimerKind.REPEAT, 1, False),
        "INC-3": (incident("INC-3"), TimerKind.QUIET, 1, True),  # a quiet period pages nobody
        "INC-4": (incident("INC-4", epoch=2), TimerKind.ESCALATE, 1, True),  # of an epoch that is over
        "INC-5": (incident("INC-5", state=IncidentState.SNOOZED), TimerKind.UNSNOOZE, 1, False),
        "INC-6": (incident("INC-6", state=IncidentState.SNOOZED), TimerKind.ESCALATE, 1, True),
    }
    for whole, kind, epoch, _ in timers.values():
        save(store, whole, SetTimer(kind=kind, due_at=at(15), epoch=epoch, number=1))
    save(store, incident("INC-7"))
    for number, state in ((8, IncidentState.ACKNOWLEDGED), (9, IncidentState.RESOLVED)):
        save(store, incident(f"INC-{number}", state=state))
    save(store, incident("INC-10", kind=IncidentKind.CHANGE))

    found = store.overdue(at(15), minute)
    assert list(found.unattended) == [name for name, case in timers.items() if case[3]] + ["INC-7"]
    assert found.timers == 0
    assert store.overdue(at(16.01), minute).timers == 6


def test_the_next_due_time_is_known(store: Store) -> None:
    assert store.due_in(T0) is None
    save(store, incident())
    _arm(store)

    assert store.due_in(at(14)) == 60.0
    assert store.due_in(at(16)) == 0.0
    assert store.due_in(at(14), "slack") is None


# freezes, debts, bad versions, moves


def test_a_freeze_holds_until_it_ends(store: Store) -> None:
    with store.begin() as tx:
        tx.freeze("shop", at(60), ALICE, "migration")
        assert tx.frozen("shop", at(1)) == "migration (by alice, until 2026-03-02 10:00 UTC)"
        assert tx.frozen("bank", at(1)) == ""
        assert tx.frozen("shop", at(60)) == ""
        tx.freeze("shop", at(90), BOB, "longer")
        assert tx.frozen("shop", at(60)).startswith("longer (by bob")
        tx.unfreeze("shop")
        assert tx.frozen("shop", at(1)) == ""


def test_a_debt_is_reviewed_by_somebody_else(store: Store) -> None:
    save(store, incident(plans=(plan(),)), OpenDebt(plan_id="PLN-1", by=ALICE, reason="nobody was awake"))
    with store.begin() as tx:
        assert (tx.debts(ALICE), tx.debts(BOB), tx.debts(MALLORY)) == (1, 0, 0)
        assert not tx.review_debt("PLN-1", ALICE, at(1))
        assert not tx.review_debt("PLN-2", BOB, at(1))
    [debt] = store.debts_open()
    assert (debt.plan_id, debt.incident_id, debt.by, debt.reason) == ("PLN-1", "INC-1", ALICE, "nobody was awake")
    assert debt.by.name == "alice"

    with store.begin() as tx:
        assert tx.review_debt("PLN-1", MALLORY, at(2))  # another person: the same user id, another workspace
        assert not tx.review_debt("PLN-1", BOB, at(3))
        assert tx.debts(ALICE) == 0
    assert store.debts_open() == []


def test_a_bad_version_is_remembered_with_its_reason(store: Store) -> None:
    other = plan("PLN-2", subject=Subject(system="shop", model="other"))
    first = MarkBad(version="3", why="left by PLN-1", plan_id="PLN-1")
    save(store, incident(plans=(plan(), other)), first, MarkBad(version="9", why="bad", plan_id="PLN-2"))
    save(store, incident(title="t", plans=(plan(), other)), replace(first, why="left again"), now=at(1))

    assert store.bad_versions("shop", "intent") == {"3": "left again"}
    assert store.bad_versions("shop", "other") == {"9": "bad"}
    assert store.bad_versions("bank", "intent") == {}


def test_moves_are_noted_once_newest_first(store: Store) -> None:
    first = Move(
        system="shop", model="intent", what="served", from_="", to="2", earliest_at=at(0), latest_at=at(1), by="alice"
    )
    second = replace(first, from_="2", to="3", earliest_at=at(4), latest_at=at(5), by="")
    with store.begin() as tx:
        assert tx.add_move(first)
        assert not tx.add_move(first)
        assert tx.add_move(second)
        assert tx.add_move(replace(first, model="other"))

    assert store.moves("shop", "intent") == (second, first)
    assert store.moves("shop", "intent", limit=1) == (second,)


# when the database is not there


def test_a_database_that_is_not_there_is_a_store_that_is_down(tmp_path: Path) -> None:
    stores = [
        Store(f"sqlite:///{tmp_path}/no/such/folder/bot.db", audit_key=AUDIT_KEY),
        Store("postgresql://bot:hunter2@127.0.0.1:1/nothing", audit_key=AUDIT_KEY),
    ]
    for store in stores:
        with pytest.raises(StoreDown) as down:
            store.ping()
        with pytest.raises(StoreDown), store.begin():
            pass
        assert "hunter2" not in repr(down.value)
        assert down.value.__cause__ is None
        store.close()


def test_a_locked_sqlite_file_is_a_store_that_is_down(
    tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program holds the file: the wait has an end, and the sentence says what to do."""
    monkeypatch.setattr("bot.store.database._WAIT_S", 0.05)
    path = tmp_path / "bot.db"
    path.write_bytes(migrated_file.read_bytes())
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    store = Store(str(path), audit_key=AUDIT_KEY)
    try:
        with pytest.raises(StoreDown, match="busy"), store.begin() as tx:
            tx.count("never")
        assert store.counters() == {}  # readers are not held up
    finally:
        holder.close()
        store.close()


def test_a_full_disk_is_a_store_that_is_down(
    tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bot.store import database

    path = tmp_path / "bot.db"
    path.write_bytes(migrated_file.read_bytes())
    prepare = database._prepare_sqlite

    def small(connection: sqlite3.Connection, record: object) -> None:
        prepare(connection, record)
        connection.execute(f"PRAGMA max_page_count={path.stat().st_size // 4096 + 1}")

    monkeypatch.setattr(database, "_prepare_sqlite", small)
    store = Store(str(path), audit_key=AUDIT_KEY)
    with pytest.raises(StoreDown, match="Free some space"), store.begin() as tx:  # noqa: PT012 - the block is one transaction
        for number in range(100):
            tx.quarantine("x" * 4_000, "why", at(number))
    assert store.quarantined() == []
    store.close()


def test_a_file_that_is_no_database_is_a_store_that_is_down(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    path.write_text("This is a letter to somebody.\n" * 100)
    store = Store(str(path), audit_key=AUDIT_KEY)

    with pytest.raises(StoreDown, match="not a database"):
        store.ping()
    with pytest.raises(StoreDown, match="not a database"):
        store.migrate()
    store.close()


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bot.db"
    store = Store(str(path), audit_key=AUDIT_KEY)
    store.migrate()
    save(store, incident())

    assert {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()} == {
        "bot.db": 0o600, "bot.db-wal": 0o600, "bot.db-shm": 0o600
    }  # fmt: skip
    store.close()
    (tmp_path / "file").touch()
    with pytest.raises(StoreDown, match="Choose another"):
        Store(str(tmp_path / "file" / "bot.db"), audit_key=AUDIT_KEY).migrate()


def test_connections_that_were_cut_are_replaced(postgres: Server, open_store: Open) -> None:
    """The server restarts, or a firewall forgets us: one transaction fails, in words, and the next one works."""
    url = postgres.new_database("migrated")
    store = open_store(url)
    name = url.rpartition("/")[2]
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"

    with pytest.raises(StoreDown), store.begin() as tx:  # noqa: PT012 - the block is one transaction
        assert tx.once("key", T0)
        assert postgres.run(cut)
        tx.count("never")
    with store.begin() as tx:
        assert tx.once("key", T0)
    assert postgres.run(cut)
    assert store.counters() == {}, "an idle connection that was cut is not even noticed"


def test_a_lock_that_is_held_for_long_ends_the_wait(
    url: str, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.database._WAIT_S", 0.2)
    holder, waiter = open_store(url), open_store(url)
    save(holder, incident())

    with holder.begin() as tx:
        tx.incident("INC-1")
        with pytest.raises(StoreDown, match="busy"), waiter.begin() as other:
            other.incident("INC-1")
    with waiter.begin() as other:
        assert other.incident("INC-1") is not None


def test_what_ended_long_ago_is_removed_and_the_rest_stays(store: Store) -> None:
    early, late = at(0), at(60)
    save(store, incident(), ShowHeadline(), RunDiagnostics(), SetTimer(kind=TimerKind.QUIET, due_at=early, epoch=0))
    save(
        store,
        incident(),
        SetTimer(kind=TimerKind.ESCALATE, due_at=early, epoch=1),
        Record(kind="k", by=ALICE, text="t"),
    )
    [headline] = claim(store)
    [work] = claim(store, "work")
    store.delivered(headline, early, "C1", "1.0")
    store.delivered(work, early)
    quiet = next(timer for timer in store.due_timers(early) if timer.kind is TimerKind.QUIET)
    with store.begin() as tx:
        tx.once("old", early)
        tx.once("new", late)
        tx.take_timer(quiet.id, early)

    assert store.prune(late, timedelta(minutes=61)) == 0
    assert store.prune(late, timedelta(minutes=59)) == 3  # a key, a timer, a piece of work
    assert store.place("INC-1") == ("C1", "1.0")
    assert [timer.kind for timer in store.due_timers(late)] == [TimerKind.ESCALATE]
    with store.begin() as tx:
        assert tx.once("old", late)
        assert not tx.once("new", late)
    assert len(store.timeline("INC-1")) == 1


def test_a_url_that_means_no_database_of_ours_is_refused_without_its_password() -> None:
    for url in ("mysql://bot:hunter2@127.0.0.1/x", "sqlite:///:memory:", "sqlite://", "://hunter2"):
        with pytest.raises(ValueError, match="sqlite:///") as refused:
            Store(url, audit_key=AUDIT_KEY)
        assert "hunter2" not in repr(refused.value)


def test_severity_is_what_it_was(store: Store) -> None:
    for severity in Severity:
        save(
            store,
            Incident(**{field.name: getattr(incident(severity=severity), field.name) for field in fields(Incident)}),
        )
        found = store.incident("INC-1")
        assert found is not None
        assert found.severity is severity
