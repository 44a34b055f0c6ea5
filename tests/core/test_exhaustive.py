"""Every sequence of events up to a stated depth, from nothing and from the middle of things; every promise checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from bot import effects as ef
from bot import events as ev
from bot.decide import decide as real_decide
from bot.effects import Decision
from bot.model import EscalationState, Incident, IncidentKind, PlanState, Severity, TimerKind
from bot.policy import Policy
from tests.core.observer import key
from tests.core.stage import ALICE, CAROL, FACTS, MALLORY, POLICY, SUBJECT, Broken, Decide, Move, World
from tests.core.world import happen, moves, tell

Tell = Callable[[str, object], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What a walk saw."""

    states: int
    transitions: int
    depth: int
    reached: frozenset[str]  # states of incident, ladder and plans
    took_s: float

    def __str__(self) -> str:
        return f"{self.states} states, {self.transitions} transitions, depth {self.depth}, {self.took_s:.1f} s"


class Found(AssertionError):
    """A walk came to a state in which an invariant does not hold; the trail says how."""

    def __init__(self, broken: Broken, trail: list[Move]) -> None:
        told = "\n".join(f"  {number}. {' '.join(move)}" for number, move in enumerate(trail, 1))
        super().__init__(f"{broken}\nafter:\n{told}")
        self.invariant = broken.invariant


def walk(start: World, depth: int, decide: Decide = real_decide) -> Walk:
    """Breadth first over every move; a state that was seen is not walked again. Raises Found."""
    began = time.monotonic()
    seen = {key(start)}
    trails: list[tuple[int, Move]] = [(-1, ())]  # (the trail it continues, the move)
    level = [(0, start)]
    transitions = 0
    reached: set[str] = set()
    for _ in range(depth):
        following: list[tuple[int, World]] = []
        for number, world in level:
            for move in moves(world):
                transitions += 1
                try:
                    after = happen(world, move, decide)
                except Broken as broken:
                    raise Found(broken, [*_trail(trails, number), move]) from broken
                mark = key(after)
                if mark not in seen:
                    seen.add(mark)
                    trails.append((number, move))
                    following.append((len(trails) - 1, after))
                    reached |= _states(after)
        level = following
    took_s = time.monotonic() - began
    return Walk(states=len(seen), transitions=transitions, depth=depth, reached=frozenset(reached), took_s=took_s)


def _states(world: World) -> set[str]:
    incident = world.incident
    if incident is None:
        return set()
    return {incident.state, incident.escalation.state, *(plan.state for plan in incident.plans)}


def _trail(trails: list[tuple[int, Move]], number: int) -> list[Move]:
    found: list[Move] = []
    while number > 0:
        number, move = trails[number]
        found.append(move)
    return found[::-1]


def after_moves(*told: Move, start: World | None = None) -> World:
    """The world after these moves."""
    world = start or World()
    for move in told:
        world = happen(world, move, real_decide)
    return world


def change_asked_for() -> World:
    """A thread for a change that belongs to no incident."""
    declared = ev.Declared(
        incident_id="INC-1", key="change:1", subject=SUBJECT, by=ALICE, title="rollback", severity=Severity.P3,
        kind=IncidentKind.CHANGE,
    )  # fmt: skip
    return replace(tell(World(), declared, real_decide, ("declare",)), incidents=1)


PLANNED = (("fire", "B"), ("request", "alice"), ("draw", "PLN-1", "0", "drawn"))
APPROVED = (*PLANNED, ("approve", "PLN-1", "bob", ""))
RUNNING = (*APPROVED, ("reread", "PLN-1", "0", "same"))
QUESTIONS = World(kit=frozenset({"questions"}))
HOLDS = World(kit=frozenset({"holds"}))
LISTENERS = World(kit=frozenset({"listeners"}))
PAGED = (("fire", "A"), ("clock", "20"), ("timer", "escalate", "1", "1", ""), ("fire", "B"))
WALKS = {
    "from nothing": (World(), 6),
    "from a raised severity": (after_moves(*PAGED), 5),
    "from a shown plan": (after_moves(*PLANNED), 4),
    "from an approved plan": (after_moves(*APPROVED), 4),
    "from a running plan": (after_moves(*RUNNING), 4),
    "from a plan that needs two": (after_moves(*PLANNED, start=World(tier="dangerous")), 4),
    "from a change": (change_asked_for(), 6),
    "with owners who are asked": (after_moves(("fire", "B"), ("ack", "alice", "current"), start=QUESTIONS), 4),
    "with planned work": (after_moves(("fire", "A"), ("silence",), start=HOLDS), 4),
    "with listeners": (after_moves(("fire", "A"), start=LISTENERS), 4),
}
REACHED = {
    "from nothing": {"drawing", "pending", "approved", "refused", "rejected", "expired", "void", "running", "watching"},
    "from a raised severity": {"armed", "repeating", "resting", "stopped"},
    "from a shown plan": {"watching", "failed", "unknown", "void", "rejected", "expired", "refused"},
    "from an approved plan": {"verified", "failed", "unknown", "void", "rejected", "expired"},
    "from a running plan": {"verified", "failed", "unknown", "watching"},
    "from a plan that needs two": {"pending", "approved", "running", "void", "rejected", "expired"},
    "from a change": {"verified", "resolved", "refused", "expired", "rejected", "void", "stopped"},
    "with owners who are asked": {"open", "acknowledged", "snoozed", "resolved", "armed", "repeating", "resting"},
    "with planned work": {"open", "acknowledged", "snoozed", "resolved", "armed", "repeating"},
    "with listeners": {"open", "acknowledged", "snoozed", "resolved", "armed", "repeating"},
}


@pytest.mark.parametrize("name", WALKS)
def test_every_sequence_of_events_keeps_every_promise(name: str, record_property: Tell) -> None:
    start, depth = WALKS[name]

    seen = walk(start, depth)

    record_property("figure", f"core {name}: {seen}")
    assert seen.reached >= REACHED[name]
    assert seen.states > 1000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_step_deeper(record_property: Tell) -> None:
    seen = walk(World(), 7)

    record_property("figure", f"core from nothing, one step deeper: {seen}")
    assert "verified" in seen.reached


@pytest.mark.slow
@pytest.mark.parametrize("name", ["with owners who are asked", "with planned work", "with listeners"])
def test_around_the_ladder_one_step_deeper(name: str, record_property: Tell) -> None:
    start, depth = WALKS[name]

    seen = walk(start, depth + 1)

    record_property("figure", f"core {name}, one step deeper: {seen}")
    assert seen.reached >= REACHED[name]


# ----------------------------------------------------------------------------------------------------------------------
# the walk can fail: a core with one fault is found out


def ack_keeps_paging(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    if isinstance(event, ev.Acknowledged):
        return without(decision, ef.StopPaging)
    return decision


def resolve_keeps_paging(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    return without(decision, ef.StopPaging) if isinstance(event, ev.Resolved) else decision


def timers_ignore_the_ack(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    if isinstance(event, ev.TimerDue) and event.kind is TimerKind.ESCALATE and incident is not None:
        event = replace(event, epoch=incident.epoch)
        armed = replace(incident.escalation, state=EscalationState.ARMED)
        return real_decide(replace(incident, escalation=armed), event, now, policy)
    return real_decide(incident, event, now, policy)


def timer_is_forgotten(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    return without(decision, ef.SetTimer) if isinstance(event, ev.Unacknowledged) else decision


def snooze_never_ends(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    return without(decision, ef.SetTimer) if isinstance(event, ev.Snoozed) else decision


def due_times_slide(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    if isinstance(event, ev.TimerDue) and decision.why.code == "level_paged" and decision.incident:
        slid = replace(decision.incident, escalation=replace(decision.incident.escalation, base_at=now))
        return replace(decision, incident=slid)
    return decision


def one_level_per_timer(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    """After an outage only the next level is paged, as if it had become due just now."""
    if isinstance(event, ev.TimerDue) and event.kind is TimerKind.ESCALATE and incident is not None:
        escalation = incident.escalation
        if event.number == escalation.next_number and escalation.next_due_at and now > escalation.next_due_at:
            now = escalation.next_due_at
    return real_decide(incident, event, now, policy)


def level_is_paged_again(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    if isinstance(event, ev.TimerDue) and decision.why.code == "level_paged" and incident is not None:
        soon = now + timedelta(minutes=5)
        slipped = replace(incident, escalation=replace(incident.escalation, next_due_at=soon))
        again = ef.SetTimer(kind=event.kind, due_at=soon, epoch=event.epoch, number=event.number)
        return replace(decision, incident=slipped, effects=(*decision.effects, again))
    return decision


def anybody_approves(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    if isinstance(event, ev.ApproveClicked) and event.by == MALLORY:
        event = replace(event, by=CAROL)
    return real_decide(incident, event, now, policy)


def requester_approves(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    if not isinstance(event, ev.ApproveClicked) or incident is None:
        return real_decide(incident, event, now, policy)
    blind = replace(incident, plans=tuple(replace(plan, requested_by=MALLORY) for plan in incident.plans))
    decision = real_decide(blind, event, now, policy)
    plans = decision.incident.plans if decision.incident else ()
    asked = tuple(replace(plan, requested_by=ALICE) for plan in plans)
    return replace(decision, incident=replace(decision.incident or incident, plans=asked))


def old_cards_count(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    plan = incident.plan(event.plan_id) if isinstance(event, ev.ApproveClicked) and incident else None
    if isinstance(event, ev.ApproveClicked) and plan is not None:
        event = replace(event, digest=plan.digest)
    return real_decide(incident, event, now, policy)


def time_stands_still_for_approvals(
    incident: Incident | None, event: ev.Event, now: datetime, policy: Policy
) -> Decision:
    if isinstance(event, ev.ApproveClicked):
        now -= timedelta(hours=3)
    return real_decide(incident, event, now, policy)


def target_is_not_read_again(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    if isinstance(event, ev.TargetReread):
        event = replace(event, fingerprint=FACTS)
    return real_decide(incident, event, now, policy)


def freeze_is_ignored(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    if isinstance(event, ev.TargetReread):
        event = replace(event, frozen="")
    return real_decide(incident, event, now, policy)


def approver_who_left_counts(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    return real_decide(incident, event, now, POLICY)


def steps_are_repeated_blindly(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    plan = incident.plan(event.plan_id) if isinstance(event, ev.StepBegun) and incident else None
    if isinstance(event, ev.StepBegun) and plan is not None:
        event = replace(event, after_attempt=plan.steps[event.index].attempts)
    return real_decide(incident, event, now, policy)


def done_before_the_proof(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    if isinstance(event, ev.StepObserved) and decision.incident and decision.incident.plans[-1].state == "watching":
        plan = replace(decision.incident.plans[-1], state=PlanState.VERIFIED)
        return replace(decision, incident=replace(decision.incident, plans=(plan,)))
    return decision


def broken_glass_is_silent(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    return without(decision, ef.Page) if isinstance(event, ev.ApproveClicked) else decision


def start_twice(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    """The plan stays approved after its start, so that a second reading starts it again."""
    decision = real_decide(incident, event, now, policy)
    if decision.why.code == "started" and decision.incident and incident:
        return replace(decision, incident=incident)
    return decision


def nobody_is_ever_asked(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    return without_timer(decision, TimerKind.NUDGE) if isinstance(event, ev.Acknowledged) else decision


def no_answer_pages_nobody(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    is_lapse = isinstance(event, ev.TimerDue) and event.kind is TimerKind.LAPSE
    return without(decision, ef.Page) if is_lapse else decision


def managers_never_hear(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    return without_timer(decision, TimerKind.INFORM) if isinstance(event, ev.Acknowledged) else decision


def managers_hear_twice(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    if decision.why.code != "informed" or decision.incident is None:
        return decision
    forgetful = replace(decision.incident, escalation=replace(decision.incident.escalation, informed=0))
    again = ef.SetTimer(kind=TimerKind.INFORM, due_at=now, epoch=forgetful.epoch, number=3)
    return replace(decision, incident=forgetful, effects=(*decision.effects, again))


def planned_work_is_ignored(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    return real_decide(incident, event, now, replace(policy, holds=()))


def planned_work_swallows_the_page(
    incident: Incident | None, event: ev.Event, now: datetime, policy: Policy
) -> Decision:
    decision = real_decide(incident, event, now, policy)
    return without(decision, ef.SetTimer) if decision.why.code == "held" else decision


def the_end_of_work_is_not_noticed(
    incident: Incident | None, event: ev.Event, now: datetime, policy: Policy
) -> Decision:
    if isinstance(event, ev.HoldsChanged) and not policy.holds and incident is not None:
        return Decision(incident=incident, effects=(), why=ef.Why(code="late", text=""))
    return real_decide(incident, event, now, policy)


def listeners_are_told_once(incident: Incident | None, event: ev.Event, now: datetime, policy: Policy) -> Decision:
    decision = real_decide(incident, event, now, policy)
    return without_timer(decision, TimerKind.UPDATE) if isinstance(event, ev.TimerDue) else decision


def without_timer(decision: Decision, kind: TimerKind) -> Decision:
    kept = tuple(one for one in decision.effects if not (isinstance(one, ef.SetTimer) and one.kind is kind))
    return replace(decision, effects=kept)


def without(decision: Decision, unwanted: type[ef.Effect]) -> Decision:
    return replace(decision, effects=tuple(one for one in decision.effects if not isinstance(one, unwanted)))


OPEN = (("fire", "A"),)
OVERDUE = (("fire", "B"), ("clock", "120"))
LEFT = (*APPROVED, ("bob leaves",))


@pytest.mark.parametrize(("fault", "invariant", "start", "depth"), [
    (ack_keeps_paging, "E4", (*OPEN, ("clock", "20")), 2),
    (resolve_keeps_paging, "E4", (*OPEN, ("clock", "20")), 2),
    (timers_ignore_the_ack, "E4", (*OPEN, ("clock", "20")), 2),
    (timer_is_forgotten, "E1", OPEN, 2),
    (snooze_never_ends, "E1", OPEN, 1),
    (due_times_slide, "E3", OPEN, 2),
    (one_level_per_timer, "E3", OVERDUE, 1),
    (level_is_paged_again, "A2", (*OPEN, ("clock", "20")), 1),
    (anybody_approves, "G1", PLANNED, 1),
    (requester_approves, "G3", PLANNED, 1),
    (old_cards_count, "G1", PLANNED, 1),
    (time_stands_still_for_approvals, "G1", PLANNED, 2),
    (target_is_not_read_again, "G1", APPROVED, 1),
    (freeze_is_ignored, "G1", APPROVED, 1),
    (approver_who_left_counts, "G1", LEFT, 1),
    (start_twice, "G1", APPROVED, 1),
    (steps_are_repeated_blindly, "G2", RUNNING, 2),
    (done_before_the_proof, "G5", RUNNING, 1),
    (broken_glass_is_silent, "G6", PLANNED, 1),
], ids=lambda value: value.__name__ if callable(value) else "")  # fmt: skip
def test_the_walk_finds(fault: Decide, invariant: str, start: tuple[Move, ...], depth: int) -> None:
    finds(fault, invariant, after_moves(*start), depth)


ACKED = (("fire", "B"), ("ack", "alice", "current"))


@pytest.mark.parametrize(("fault", "invariant", "kit", "start", "depth"), [
    (nobody_is_ever_asked, "E1", QUESTIONS, (("fire", "B"),), 1),
    (no_answer_pages_nobody, "E1", QUESTIONS, (*ACKED, ("clock", "20"), ("timer", "nudge", "2", "0", "")), 2),
    (managers_never_hear, "E1", QUESTIONS, (("fire", "B"),), 1),
    (managers_hear_twice, "A2", QUESTIONS, (*ACKED, ("clock", "120")), 2),
    (planned_work_is_ignored, "H1", HOLDS, (("fire", "B"),), 3),
    (planned_work_swallows_the_page, "E1", HOLDS, (("fire", "B"),), 1),
    (the_end_of_work_is_not_noticed, "H2", HOLDS, (("fire", "B"), ("silence",)), 1),
    (listeners_are_told_once, "E1", LISTENERS, (("fire", "B"), ("subscribe", "alice"), ("clock", "20")), 1),
], ids=lambda value: value.__name__ if callable(value) else "")  # fmt: skip
def test_the_walk_around_the_ladder_finds(
    fault: Decide, invariant: str, kit: World, start: tuple[Move, ...], depth: int
) -> None:
    finds(fault, invariant, after_moves(*start, start=kit), depth)


def finds(fault: Decide, invariant: str, begin: World, depth: int) -> None:
    """The real core is not to blame, and the faulty one is found out by the right promise."""
    walk(begin, depth)

    with pytest.raises(Found) as found:
        walk(begin, depth, fault)

    assert found.value.invariant == invariant, str(found.value)


def test_a_find_tells_the_way_to_it() -> None:
    with pytest.raises(Found, match="E4: a page of an older state goes out") as found:
        walk(after_moves(*OPEN), 3, ack_keeps_paging)

    assert str(found.value).endswith("after:\n  1. escalate bob current\n  2. ack alice current")
