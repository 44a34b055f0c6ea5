"""When which level is due, whom it reaches, and what a level that reaches nobody does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.model import Alert, EscalationState, Level, Severity, Who
from bot.policy import Issue, Ladder, Person, Policy, System
from bot.policy.escalation import (
    armed,
    catch_all,
    default_ladder,
    due_at,
    issue_named,
    issue_of,
    ladder_for,
    reached,
    replanned,
    silent,
)

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def person(key: str, *roles: str) -> Person:
    return Person(key=key, who=Who(team_id="T1", user_id=f"U{key.upper()}", name=key), roles=frozenset(roles))


def ladder(*rungs: tuple[int, str]) -> Ladder:
    return Ladder(
        levels=tuple(Level(number=n, after=at * MINUTE, targets=(to,)) for n, (at, to) in enumerate(rungs, 1))
    )


ANN, BEN, CAT = person("ann", "oncall"), person("ben", "senior"), person("cat", "senior", "manager")
SHOP = System(name="shop", channel="C1", catch_all=("channel:CALL",), oncall=("ann", "ben"))
POLICY = Policy(people=(ANN, BEN, CAT), systems={"shop": SHOP})


@pytest.mark.parametrize(("severity", "minutes"), [
    (Severity.P0, (15, 30, 60, 120)),
    (Severity.P1, (60, 120, 240, 480)),
    (Severity.P2, (240, 480, 960, 1920)),
    (Severity.P3, (1440, 2880, 5760, 11520)),
])  # fmt: skip
def test_due_times_count_from_the_beginning(severity: Severity, minutes: tuple[int, ...]) -> None:
    escalation = armed(SHOP, severity, T0)

    assert tuple(due_at(escalation, number) for number in (1, 2, 3, 4)) == tuple(T0 + m * MINUTE for m in minutes)
    assert (escalation.state, escalation.next_number) == (EscalationState.ARMED, 1)
    assert escalation.next_due_at == T0 + minutes[0] * MINUTE


def test_the_default_ladder_climbs_from_on_call_to_director() -> None:
    targets = [level.targets for level in default_ladder(Severity.P0).levels]

    assert targets == [("oncall",), ("role:senior",), ("role:manager",), ("role:director",)]


def test_a_profile_s_ladder_is_taken_unless_it_is_empty() -> None:
    own = ladder((5, "oncall"))
    system = replace(SHOP, ladders={Severity.P0: own, Severity.P1: Ladder(levels=())})

    assert ladder_for(system, Severity.P0) == own
    assert ladder_for(system, Severity.P1) == default_ladder(Severity.P1)


@pytest.mark.parametrize(("targets", "addresses"), [
    (("oncall",), ("user:UANN",)),
    (("role:senior",), ("user:UBEN", "user:UCAT")),
    (("person:cat", "role:senior", "channel:C7"), ("user:UCAT", "user:UBEN", "channel:C7")),
])  # fmt: skip
def test_targets_reach_each_address_once_and_in_order(targets: tuple[str, ...], addresses: tuple[str, ...]) -> None:
    assert reached(POLICY, SHOP, targets, T0) == (addresses, "")


@pytest.mark.parametrize(
    "targets", [(), ("role:director",), ("person:nobody",), ("channel:",), ("role:",), ("wizard",)]
)
def test_a_level_that_reaches_nobody_says_so(targets: tuple[str, ...]) -> None:
    addresses, why = reached(POLICY, SHOP, targets, T0)

    assert addresses == ()
    assert why == f"{', '.join(targets) or 'this level'} reaches nobody now"


def test_the_last_resort_is_always_somewhere() -> None:
    bare = System(name="bare")
    fallback = System(name="unmapped", channel="COPS")

    assert catch_all(POLICY, SHOP, T0) == ("channel:CALL",)
    assert catch_all(POLICY, replace(SHOP, catch_all=("role:director",)), T0) == ("channel:C1",)
    assert catch_all(replace(POLICY, default=fallback), bare, T0) == ("channel:COPS",)
    assert catch_all(POLICY, bare, T0) == ("user:UANN", "user:UBEN", "user:UCAT")


def test_a_change_pages_nobody() -> None:
    assert silent(T0).next_due_at is None
    assert silent(T0).state is EscalationState.STOPPED


# kinds of issue

INFRA = Issue(
    name="infra-structure",
    match={"component": ("node",), "kind": ("infra",)},
    ladders={Severity.P0: ladder((1, "role:sre"))},
)
QUALITY = Issue(name="quality", match={"signal": ("drift",)}, ladders={Severity.P0: Ladder(levels=())})
KINDS = replace(SHOP, issues=(INFRA, QUALITY), ladders={Severity.P0: ladder((5, "oncall"))})


def fired(**labels: str) -> Alert:
    return Alert(
        source="am", fingerprint="f", firing=True, starts_at=T0, ends_at=None, labels=dict(labels), annotations={}
    )


@pytest.mark.parametrize(("alerts", "kind"), [
    ((fired(component="node"),), "infra-structure"),
    ((fired(kind="infra", component="other"),), "infra-structure"),  # one label that fits is enough
    ((fired(component="", signal="drift"),), "quality"),
    ((fired(signal="x"), fired(signal="drift")), "quality"),
    ((fired(signal="drift"), fired(component="node")), "quality"),  # the first alert that is of a kind
    ((fired(signal="x"),), ""),
    ((), ""),
])  # fmt: skip
def test_the_first_alert_of_a_kind_says_it(alerts: tuple[Alert, ...], kind: str) -> None:
    assert issue_of(alerts, KINDS) == kind


@pytest.mark.parametrize(("words", "kind"), [
    ("infra structure: a node is gone", "infra-structure"), ("Infra-Structure", "infra-structure"),
    ("the QUALITY of answers", "quality"), ("inequality everywhere", ""), ("", ""),
])  # fmt: skip
def test_a_person_names_a_kind_in_their_words(words: str, kind: str) -> None:
    assert issue_named(words, KINDS) == kind


@pytest.mark.parametrize(("kind", "severity", "targets"), [
    ("infra-structure", Severity.P0, ("role:sre",)),
    ("infra-structure", Severity.P1, ("oncall",)),  # it says nothing of a P1: the default ladder
    ("quality", Severity.P0, ("oncall",)),  # a ladder without levels counts as none
    ("gone from the files", Severity.P0, ("oncall",)),
])  # fmt: skip
def test_a_kind_s_ladder_is_taken_where_it_has_one(kind: str, severity: Severity, targets: tuple[str, ...]) -> None:
    assert ladder_for(KINDS, severity, kind).levels[0].targets == targets


# a new severity

P1 = ladder((15, "oncall"), (30, "role:senior"))
P0 = ladder((5, "oncall"), (10, "role:manager"), (20, "role:senior"))
CHANNEL_FIRST = ladder((60, "channel:C7"), (120, "oncall"))
SYSTEM = replace(
    SHOP, ladders={Severity.P0: P0, Severity.P1: P1, Severity.P2: CHANNEL_FIRST, Severity.P3: ladder((99, "oncall"))}
)


def test_a_raise_soon_after_the_opening_keeps_the_absolute_times() -> None:
    raised = replanned(armed(SYSTEM, Severity.P1, T0), SYSTEM, Severity.P0, T0 + 2 * MINUTE)

    assert (raised.base_at, raised.next_number, raised.next_due_at) == (T0, 1, T0 + 5 * MINUTE)


def test_a_raise_hours_later_makes_the_next_level_due_now_and_calls_nobody_late() -> None:
    old = armed(SYSTEM, Severity.P2, T0)
    now = T0 + 50 * MINUTE

    raised = replanned(old, SYSTEM, Severity.P0, now)

    assert (raised.next_number, raised.next_due_at) == (1, now)
    assert due_at(raised, 2) == now + 5 * MINUTE


def test_a_raise_while_a_level_is_overdue_leaves_the_overdue_ones_overdue() -> None:
    now = T0 + 40 * MINUTE  # after an outage: the first level's time was at 15

    raised = replanned(armed(SYSTEM, Severity.P1, T0), SYSTEM, Severity.P0, now)

    assert raised.base_at == T0
    assert due_at(raised, 3) < now


def test_the_climb_goes_on_where_both_ladders_paged_the_same_people() -> None:
    climbed = replace(armed(SYSTEM, Severity.P1, T0), next_number=2, next_due_at=T0 + 30 * MINUTE)

    assert replanned(climbed, SYSTEM, Severity.P0, T0 + 16 * MINUTE).next_number == 2


def test_the_climb_begins_anew_where_the_other_ladder_begins_with_others() -> None:
    climbed = replace(armed(SYSTEM, Severity.P2, T0), next_number=2, next_due_at=T0 + 120 * MINUTE)

    raised = replanned(climbed, SYSTEM, Severity.P0, T0 + 61 * MINUTE)

    assert (raised.next_number, raised.next_due_at) == (1, T0 + 61 * MINUTE)  # on call was not paged yet


def test_a_longer_ladder_takes_up_its_climb_again() -> None:
    done = replace(
        armed(SYSTEM, Severity.P1, T0), state=EscalationState.REPEATING, next_number=3, next_due_at=T0 + 60 * MINUTE
    )

    raised = replanned(done, SYSTEM, Severity.P0, T0 + 31 * MINUTE)

    assert (raised.state, raised.next_number) == (EscalationState.ARMED, 2)
    assert raised.next_due_at == T0 + 31 * MINUTE


def test_a_shorter_ladder_repeats() -> None:
    climbed = replace(armed(SYSTEM, Severity.P1, T0), next_number=2, next_due_at=T0 + 30 * MINUTE)

    lowered = replanned(climbed, SYSTEM, Severity.P3, T0 + 20 * MINUTE)

    assert (lowered.state, lowered.next_number) == (EscalationState.REPEATING, 2)
    assert lowered.next_due_at == T0 + 50 * MINUTE


def test_a_lower_severity_waits_for_its_own_time() -> None:
    lowered = replanned(armed(SYSTEM, Severity.P0, T0), SYSTEM, Severity.P1, T0 + 2 * MINUTE)

    assert (lowered.base_at, lowered.next_due_at) == (T0, T0 + 15 * MINUTE)


def test_levels_that_this_severity_paged_before_are_not_paged_again() -> None:
    back = replanned(
        replace(armed(SYSTEM, Severity.P0, T0), next_number=2, next_due_at=T0 + 10 * MINUTE), SYSTEM, Severity.P1,
        T0 + 6 * MINUTE, paged=2,
    )  # fmt: skip

    assert (back.state, back.next_number) == (EscalationState.REPEATING, 3)


@pytest.mark.parametrize("state", [EscalationState.RESTING, EscalationState.STOPPED])
def test_a_ladder_that_rests_is_planned_anew_and_rests_on(state: EscalationState) -> None:
    resting = replace(armed(SYSTEM, Severity.P1, T0), state=state, next_due_at=None)

    raised = replanned(resting, SYSTEM, Severity.P0, T0 + MINUTE)

    assert (raised.state, raised.next_due_at, raised.levels) == (state, None, P0.levels)
