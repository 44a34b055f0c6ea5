"""The ledger tells what was production when, by whom and why – once, whoever looks, and never more than is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.desk.past import told_past
from bot.ledger import Ledger
from bot.past import pointed, served_moves
from bot.policy import ModelProfile, Policy
from bot.ports import (
    BY_US,
    BY_WEBHOOK,
    FIRST_LOOK,
    FROM_METRICS,
    FROM_REGISTRY,
    FROM_TAG,
    LOOKED,
    Foreign,
    ModelVersion,
    Move,
    Series,
)  # fmt: skip
from bot.store import Store
from handlers._history import Span
from tests.engine.office import MODEL, Clock, Lever, Office, at_once, policy, posts

NewOffice = Callable[..., Office]
ALIAS = "alias champion"


@dataclass
class Registry:
    """A registry in memory."""

    at: str = "2"
    made_at: datetime | None = None
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    silent: bool = False

    def alias(self, model: str, alias: str) -> str | None:
        if self.silent:
            raise Foreign("unreachable", "The registry does not answer.", happened=False)
        return self.at or None

    def versions(self, model: str) -> Sequence[ModelVersion]:
        assert self.made_at is not None
        return [
            ModelVersion(version=name, status="READY", created_at=self.made_at, tags=self.tags.get(name, {}))
            for name in ("3", "2", "1")
        ]


@dataclass
class Remembered:
    """A metric's memory: (version, begin, end)."""

    spans: list[tuple[str, datetime, datetime]]
    silent: bool = False

    def over(self, query: str, start: datetime, end: datetime, step: timedelta) -> Sequence[Series]:
        if self.silent:
            raise Foreign("unreachable", "Prometheus does not answer.")
        found: dict[str, list[tuple[datetime, float]]] = {}
        moment = start
        while moment <= end:
            for version, begin, until in self.spans:
                if begin <= moment <= until:
                    found.setdefault(version, []).append((moment, 1.0))
            moment += step
        return [Series(labels={"version": name}, points=tuple(points)) for name, points in found.items()]


@pytest.fixture
def registry(clock: Clock) -> Registry:
    return Registry(made_at=clock() - timedelta(days=2))


def rules(**more: Any) -> Policy:
    plain = policy()
    model = ModelProfile(name=MODEL, service="api", registry="registry", **more)
    return replace(plain, systems={"shop": replace(plain.systems["shop"], models=(model,))})


@pytest.fixture
def one(file_store: Store, new_office: NewOffice) -> Office:
    return new_office(file_store, rules=rules())


def look(office: Office, registry: Registry) -> Ledger:
    ledger = Ledger(office.engine, {"shop": {"registry": registry}})
    ledger.look()
    return ledger


def of(office: Office) -> tuple[Move, ...]:
    return office.store.moves("shop", MODEL, what=ALIAS)


def times(move: Move, clock_zero: datetime) -> tuple[float, float]:
    return (move.earliest_at - clock_zero).total_seconds(), (move.latest_at - clock_zero).total_seconds()


def test_the_first_look_claims_no_more_than_it_knows(one: Office, registry: Registry, clock: Clock) -> None:
    look(one, registry)
    [first] = of(one)
    assert (first.from_, first.to, first.told_by) == ("", "2", FIRST_LOOK)
    assert (first.earliest_at, first.latest_at) == (registry.made_at, clock()), "not before its version was made"
    told = one.say(f"history {MODEL}").text
    assert "champion was set to v2 (who and when is not known)" in told
    assert "between" in told


def test_a_move_by_others_is_between_two_looks(one: Office, registry: Registry, clock: Clock) -> None:
    zero = clock()
    ledger = look(one, registry)
    clock.advance(seconds=40)
    ledger.look()
    clock.advance(seconds=40)
    registry.at = "3"
    ledger.look()
    newest, _ = of(one)
    assert (newest.from_, newest.to, newest.by, newest.told_by) == ("2", "3", "", LOOKED)
    assert times(newest, zero) == (40, 80)
    told = one.say(f"history {MODEL}").text
    assert "champion moved from v2 to v3 (not by this bot)" in told


def test_after_a_restart_the_gap_reaches_back_to_the_last_look(one: Office, registry: Registry, clock: Clock) -> None:
    zero = clock()
    ledger = look(one, registry)
    clock.advance(minutes=10)
    ledger.look()
    clock.advance(hours=3)  # the bot is down
    registry.at = "3"
    look(one, registry)
    assert times(of(one)[0], zero) == (600, 600 + 3 * 3600)


def test_a_restart_adds_nothing(one: Office, registry: Registry, clock: Clock) -> None:
    for _ in range(3):
        look(one, registry)
        clock.advance(minutes=2)
    assert len(of(one)) == 1


def test_two_replicas_write_one_line(
    store: Store, new_office: NewOffice, registry: Registry, clock: Clock
) -> None:  # fmt: skip
    """On SQLite and PostgreSQL: both look at the same instant, at the first time and at a move."""
    offices = [new_office(store, rules=rules(), owner=name) for name in ("one", "two")]
    ledgers = [Ledger(office.engine, {"shop": {"registry": registry}}) for office in offices]
    assert all(isinstance(found, int) for found in at_once(*(ledger.look for ledger in ledgers)))
    assert len(of(offices[0])) == 1
    clock.advance(seconds=10)
    registry.at = "3"
    assert all(isinstance(found, int) for found in at_once(*(ledger.look for ledger in ledgers)))
    assert [move.to for move in of(offices[0])] == ["3", "2"]


def test_an_answer_that_was_overtaken_is_dropped(one: Office, registry: Registry, clock: Clock) -> None:
    """Replica A asks, gets v2 and is slow; B sees v3 meanwhile. A must not write that it went back to v2."""
    ledger = look(one, registry)
    before = clock()
    clock.advance(seconds=5)
    registry.at = "3"
    look(one, registry)
    assert ledger._note(("shop", MODEL, ALIAS), "2", before, clock()) == 0
    assert [move.to for move in of(one)] == ["3", "2"]


def test_silence_is_told_and_writes_nothing(one: Office, registry: Registry, clock: Clock) -> None:
    ledger = look(one, registry)
    registry.silent = True
    clock.advance(minutes=20)
    ledger.look()
    assert len(of(one)) == 1
    assert "For 20 min nobody has answered about “alias champion”" in one.say(f"history {MODEL}").text


# moves of our own


@dataclass
class Mover(Lever):
    """A plan that moves the alias."""

    registry: Registry | None = None

    def draw(self, scene: Any, request: Any) -> Any:
        draft = super().draw(scene, request)
        steps = (replace(draft.steps[0], name="move_alias"), *draft.steps[1:])
        return replace(draft, steps=steps, args={"alias": "champion", "from": "2", "to": "3"})

    def perform(self, scene: Any, plan: Any, step: str) -> Any:
        if step == "move_alias":
            assert self.registry is not None
            self.registry.at = "3"
        return super().perform(scene, plan, "pull" if step == "move_alias" else step)


@pytest.fixture
def moved(file_store: Store, new_office: NewOffice, registry: Registry, clock: Clock) -> Office:
    """Alice asked, Bob agreed, and v3 was made champion."""
    office = new_office(file_store, rules=rules(), lever=Mover(registry=registry))
    look(office, registry)
    clock.advance(seconds=30)
    office.alert()
    office.say(f"flip {MODEL}")
    office.work()
    office.approve(office.plan)
    office.work()
    assert office.plan.state == "verified"
    return office


def test_our_own_move_says_who_why_and_by_which_plan(moved: Office, registry: Registry) -> None:
    look(moved, registry)
    newest, _ = of(moved)
    assert (newest.to, newest.plan_id, newest.by) == ("3", moved.plan.id, "alice, approved by bob")
    assert newest.why == "new is known to be good"
    told = moved.say(f"history {MODEL}").text
    assert f"by alice, approved by bob in {moved.plan.id}: “new is known to be good”" in told
    assert not posts(moved.ws, ok=False)


def test_our_own_move_is_told_though_no_look_saw_it(moved: Office, registry: Registry, clock: Clock) -> None:
    """Somebody moved the alias back before the next look: two looks found the same version."""
    registry.at = "2"
    clock.advance(seconds=5)
    ledger = look(moved, registry)
    ledger.look()
    found = [(move.to, move.plan_id, move.told_by) for move in of(moved)]
    assert found == [("2", "", LOOKED), ("3", moved.plan.id, BY_US), ("2", "", FIRST_LOOK)]


# what the registry tells at once


def hear(ledger: Ledger, office: Office, version: str, at: datetime) -> str:
    return ledger.hear("shop", office.engine.policy.systems["shop"].models[0], version, at)


def test_a_webhook_sharpens_the_time(one: Office, registry: Registry, clock: Clock) -> None:
    ledger = look(one, registry)
    clock.advance(seconds=4)
    registry.at = "3"
    assert hear(ledger, one, "3", clock()) == "noted"
    at = clock()
    clock.advance(seconds=6)
    ledger.look()
    newest, _ = of(one)
    assert (newest.from_, newest.to, newest.told_by) == ("2", "3", BY_WEBHOOK)
    assert newest.earliest_at == newest.latest_at == at


def test_a_webhook_after_the_look_adds_nothing(one: Office, registry: Registry, clock: Clock) -> None:
    ledger = look(one, registry)
    clock.advance(seconds=4)
    at = clock()
    registry.at = "3"
    clock.advance(seconds=6)
    ledger.look()
    for _ in range(2):
        assert hear(ledger, one, "3", at) == "known already"
    assert [move.to for move in of(one)] == ["3", "2"]


def test_webhooks_out_of_order_are_put_in_order(one: Office, registry: Registry, clock: Clock) -> None:
    ledger = look(one, registry)
    clock.advance(seconds=2)
    early = clock()
    clock.advance(seconds=2)
    registry.at = "1"
    hear(ledger, one, "1", clock())
    assert hear(ledger, one, "3", early) == "noted"
    ledger.look()
    assert [(move.from_, move.to) for move in of(one)] == [("2", "1"), ("2", "3"), ("", "2")]


def test_a_move_there_and_back_between_two_looks_is_kept(one: Office, registry: Registry, clock: Clock) -> None:
    ledger = look(one, registry)
    clock.advance(seconds=30)
    at = clock()
    clock.advance(seconds=60)
    ledger.look()  # v2 again
    hear(ledger, one, "3", at)
    newest, middle, _ = of(one)
    assert (middle.from_, middle.to, middle.latest_at) == ("2", "3", at)
    assert (newest.from_, newest.to, newest.earliest_at, newest.latest_at) == ("3", "2", at, clock())


def test_an_alias_that_is_taken_away(one: Office, registry: Registry, clock: Clock) -> None:
    ledger = look(one, registry)
    clock.advance(seconds=3)
    registry.at = ""
    assert hear(ledger, one, "", clock()) == "noted"
    assert hear(ledger, one, "", clock()) == "known already"
    assert "champion was taken away from v2" in one.say(f"history {MODEL}").text


# before we watched


def test_the_metrics_memory_is_read_once(
    file_store: Store, new_office: NewOffice, registry: Registry, clock: Clock
) -> None:  # fmt: skip
    zero = clock()
    hours = [zero - timedelta(hours=n) for n in (40, 30, 20, 10, 0)]
    memory = Remembered([("1", hours[0], hours[1]), ("2", hours[2], hours[3]), ("3", hours[3], zero)], silent=True)
    office = new_office(file_store, rules=rules(metrics="metrics", served_query="model_info"))
    backends = {"shop": {"registry": registry, "metrics": memory}}
    Ledger(office.engine, backends).look()
    assert office.store.moves("shop", MODEL, what="served") == (), "silent: nothing is claimed"
    memory.silent = False
    for _ in range(2):  # a restart reads nothing twice
        ledger = Ledger(office.engine, backends)
        ledger.look()
        ledger.look()
    found = office.store.moves("shop", MODEL, what="served")
    assert [(move.from_, move.to) for move in found] == [("2", "3"), ("", "2"), ("1", ""), ("", "1")]
    assert {move.told_by for move in found} == {FROM_METRICS}
    assert abs(found[1].latest_at - hours[2]) < timedelta(minutes=20)
    told = office.say(f"history {MODEL}").text
    assert "it is not known what was served after v1" in told


def test_side_by_side_is_a_time_between() -> None:
    zero = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    minute = timedelta(minutes=1)
    spans = [Span(version="1", start=zero, end=zero + 10 * minute, told_by="metrics"),
             Span(version="2", start=zero + 12 * minute, end=zero + 20 * minute, told_by="metrics")]  # fmt: skip
    _, second = served_moves("shop", MODEL, [(span, minute) for span in spans])
    assert (second.from_, second.to) == ("1", "2")
    assert (second.earliest_at, second.latest_at) == (zero + 10 * minute, zero + 12 * minute)


def test_marks_and_stages_of_the_registry_are_read(clock: Clock) -> None:
    zero = clock()
    made, marked = zero - timedelta(days=3), zero - timedelta(days=1)
    tags = {"ops.prod_from": marked.isoformat(), "ops.replaced": "1"}
    versions = [ModelVersion(version="2", status="READY", created_at=made, tags=tags)]
    [one] = pointed("shop", MODEL, "champion", versions, "2", zero)
    assert (one.from_, one.to, one.latest_at, one.told_by) == ("1", "2", marked, FROM_TAG)
    staged = ModelVersion(version="2", status="READY", created_at=made, stage="Production", changed_at=marked)
    [one] = pointed("shop", MODEL, "Production", [staged], "2", zero)
    assert (one.earliest_at, one.latest_at, one.told_by) == (made, marked, FROM_REGISTRY)


@pytest.mark.parametrize("tag", ["", "yesterday", "9999-01-01T00:00:00+00:00"])
def test_a_mark_that_is_no_time_or_not_yet_is_not_believed(clock: Clock, tag: str) -> None:
    made = clock() - timedelta(days=3)
    versions = [ModelVersion(version="2", status="READY", created_at=made, tags={"ops.prod_from": tag})]
    [one] = pointed("shop", MODEL, "champion", versions, "2", clock())
    assert one.told_by == FIRST_LOOK


def test_a_past_that_nobody_knows_is_said_so(clock: Clock) -> None:
    assert "have not seen anything" in told_past("intent of shop", (), {}, clock())


def test_what_the_ledger_and_open_plans_name_is_in_use(moved: Office, registry: Registry, clock: Clock) -> None:
    """Also of another system with a model of that name: the two may share a registry."""
    look(moved, registry)
    moved.engine.policy = replace(
        moved.engine.policy,
        systems={**moved.engine.policy.systems,
                 "twin": replace(moved.engine.policy.systems["shop"], name="twin")},
    )  # fmt: skip
    about = {"model": MODEL, "what": "served", "from_": "", "earliest_at": clock(), "latest_at": clock()}
    with moved.store.begin() as tx:
        tx.add_move(Move(system="twin", to="8", **about))  # type: ignore[arg-type]
    scene = moved.worker.look(moved.incident.subject, moved.incident)
    assert scene.used is not None
    assert scene.used().keys() == {"2", "3", "8"}
    assert "alias champion" in scene.used()["3"]
    moved.say(f"flip {MODEL}")
    moved.work()
    assert moved.plan.state == "pending"
    assert f"the open plan {moved.plan.id} names it" == scene.used()["3"]
