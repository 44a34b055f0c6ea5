"""A small world around the core: what the store, workers and people do.

`moves` lists everything that may happen next, `happen` applies one of it through a given `decide` and checks the
invariants. `Broken` names the invariant of the design that did not hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from bot import effects as ef
from bot import events as ev
from bot.effects import Decision
from bot.events import Event
from bot.model import (
    Alert,
    EscalationState,
    Incident,
    IncidentKind,
    IncidentState,
    Outcome,
    Plan,
    PlanState,
    Severity,
    StepState,
    TimerKind,
)
from tests.core.observer import (
    check_pages,
    check_plans,
    check_sending,
    check_standing,
    check_start,
    check_tables,
    ladder_pages,
)
from tests.core.stage import (
    ALICE,
    BOB,
    CAROL,
    FACTS,
    PEOPLE,
    POLICY,
    SUBJECT,
    T0,
    Decide,
    Move,
    OutPage,
    Timer,
    World,
    draft,
    hold,
    minutes,
)


def moves(world: World) -> Iterator[Move]:
    """Every event of the alphabet that makes sense now; stale, doubled and forbidden ones make sense."""
    for span in ("5", "20", "120"):
        yield "clock", span
    if world.incident is None or world.incident.kind is IncidentKind.ALERT:  # a change has a key that no alert has
        for name in ("A", "B"):
            yield ("clear" if name in world.firing else "fire"), name
    if world.incident is None:
        return
    if world.unsent:
        yield ("send",)
    for timer in world.timers:
        if timer.due_at <= world.now:
            yield "timer", timer.kind, str(timer.epoch), str(timer.number), timer.plan_id
    yield from _steering(world.incident)
    yield from _around(world)
    yield from () if world.kit else _planning(world)
    for kind, plan_id, index in world.jobs:
        for how in _HOW[kind]:
            yield kind, plan_id, str(index), how


_HOW = {
    "draw": ("drawn", "refused"),
    "reread": ("same", "moved", "frozen"),
    "step": ("done", "failed", "unknown", "not_yet", "crash before", "crash after", "rival"),
}


def _steering(incident: Incident) -> Iterator[Move]:
    yield "ack", "alice", "current"
    yield "ack", "bob", "stale"
    yield "ack", "mallory", "current"
    yield "escalate", "bob", "current"
    yield "escalate", "alice", "stale"
    if incident.state is IncidentState.ACKNOWLEDGED:
        yield "unack", "alice"
    if incident.state is IncidentState.RESOLVED:
        yield "reopen", "bob"
    else:
        yield "snooze", "bob"
        yield "resolve", "alice"
        yield "resolve", "mallory"
    if incident.severity is Severity.P0:
        yield "severity", "P1"


def _around(world: World) -> Iterator[Move]:
    """What happens around an incident: its owner answers, planned work begins and ends, people listen."""
    incident = world.incident
    assert incident is not None
    if "questions" in world.kit:
        yield "still on it", "alice", "current"
        yield "still on it", "bob", "stale"
        yield "still on it", "mallory", "current"
        yield "assign", "bob"
        yield "note", "alice"
    if "holds" in world.kit:
        yield ("unsilence" if world.held_until else "silence",)
    if "listeners" in world.kit:
        yield "subscribe", "alice"
        yield "subscribe", "mallory"
        yield "unsubscribe", "alice"


def _planning(world: World) -> Iterator[Move]:
    plan = world.plan
    if plan is None:
        yield "request", "alice"
        yield "request", "mallory"
        return
    if plan.is_ended and world.plans < 2:
        yield "request", "alice"
    if plan.digest:
        for name in ("bob", "alice", "mallory") if world.tier == "change" else ("bob", "carol", "alice"):
            yield "approve", plan.id, name, ""
        yield "approve", plan.id, "bob", "stale"
        yield "approve", plan.id, "bob", "locked"
        yield "approve", plan.id, "alice", "glass"
        yield "approve", plan.id, "mallory", "glass"
    yield "reject", plan.id, "bob"
    yield "reject", plan.id, "mallory"
    if plan.state is PlanState.APPROVED and not world.bob_left:
        yield ("bob leaves",)


# what happens


def happen(world: World, move: Move, decide: Decide) -> World:
    """The world after the move. Raises Broken."""
    match move:
        case ("clock", span):
            return replace(world, now=world.now + minutes(int(span)))
        case ("send",):
            check_sending(world)
            return replace(world, unsent=frozenset())
        case ("bob leaves",):
            return replace(world, bob_left=True)
        case ("fire" | "clear" as what, name):
            return _alert(world, name, decide, is_firing=what == "fire")
        case ("timer", *_):
            return _timer(world, move, decide)
        case ("silence" | "unsilence" as what,):
            held = replace(world, held_until=world.now + minutes(20) if what == "silence" else None)
            return tell(held, ev.HoldsChanged(), decide, move)
        case ("approve", plan_id, name, how):
            return _approve(world, plan_id, name, how, decide)
        case ("draw" | "reread" | "step", *_):
            return _work(world, move, decide)
        case _:
            after = tell(world, _person(world, move), decide, move)
            return replace(after, plans=len(after.incident.plans) if after.incident else 0)


def _person(world: World, move: Move) -> Event:
    incident = world.incident
    assert incident is not None
    match move:
        case ("ack", name, which):
            return ev.Acknowledged(by=PEOPLE[name], epoch=incident.epoch - (which == "stale"))
        case ("escalate", name, which):
            return ev.EscalateClicked(by=PEOPLE[name], epoch=incident.epoch - (which == "stale"))
        case ("still on it", name, which):
            return ev.StillOnIt(by=PEOPLE[name], epoch=incident.epoch - (which == "stale"))
        case ("assign", name):
            return ev.Assigned(by=PEOPLE[name], to=PEOPLE[name])
        case ("note", name):
            return ev.Noted(by=PEOPLE[name], text="looking")
        case ("subscribe", name):
            return ev.Subscribed(by=PEOPLE[name], every=minutes(20))
        case ("unsubscribe", name):
            return ev.Unsubscribed(by=PEOPLE[name])
        case ("unack", name):
            return ev.Unacknowledged(by=PEOPLE[name])
        case ("snooze", name):
            return ev.Snoozed(by=PEOPLE[name], until=world.now + minutes(20))
        case ("resolve", name):
            return ev.Resolved(by=PEOPLE[name])
        case ("reopen", name):
            return ev.Reopened(by=PEOPLE[name])
        case ("severity", word):
            return ev.SeverityChanged(by=BOB, to=Severity(word), reason="it is not that bad")
        case ("request", name):
            plan_id = f"PLN-{len(incident.plans) + 1}"
            return ev.ActionRequested(
                plan_id=plan_id, action="rollback", subject=SUBJECT, request={"model": "intent"}, by=PEOPLE[name]
            )
        case ("reject", plan_id, name):
            return ev.RejectClicked(plan_id=plan_id, by=PEOPLE[name], reason="not now")
        case _:
            raise AssertionError(move)


def _alert(world: World, name: str, decide: Decide, *, is_firing: bool) -> World:
    """One alert begins or ends; a firing one joins the open or lately resolved incident, or opens the next."""
    incident = world.incident
    if is_firing and incident is not None and incident.state is IncidentState.RESOLVED:
        gone = world.now - (incident.resolved_at or world.now) > POLICY.system("shop").reopen_within
        if gone:
            world = World(
                now=world.now, tier=world.tier, incidents=world.incidents, bob_left=world.bob_left, debts=world.debts,
                firing=world.firing, kit=world.kit, held_until=world.held_until,
            )  # fmt: skip
            incident = None
    firing = world.firing | {name} if is_firing else world.firing - {name}
    attached = world.attached | {name} if is_firing else world.attached
    number = world.incidents + (incident is None)
    alert = Alert(
        source="alertmanager", fingerprint=name, firing=is_firing, starts_at=T0,
        ends_at=None if is_firing else world.now, labels={"alertname": name, "model": "intent"},
        annotations={"summary": f"{name} fires"},
    )  # fmt: skip
    event = ev.AlertsChanged(
        incident_id=f"INC-{number}", key="shop/intent", subject=SUBJECT, changed=(alert,),
        firing=len(firing & attached), total=len(attached),
    )  # fmt: skip
    world = replace(world, firing=firing, attached=attached, incidents=number)
    after = tell(world, event, decide, ("alert",))
    if not is_firing and not event.firing and after.incident is not None and after.incident.is_open:
        hold("quiet", after.incident.quiet_until is not None, "the last alert ended, and no quiet period began")
    return after


def _timer(world: World, move: Move, decide: Decide) -> World:
    _, kind, epoch, number, plan_id = move
    timer = next(
        one for one in world.timers
        if (one.kind, one.epoch, one.number, one.plan_id) == (kind, int(epoch), int(number), plan_id)
    )  # fmt: skip
    event = ev.TimerDue(kind=timer.kind, epoch=timer.epoch, number=timer.number, plan_id=plan_id)
    after = tell(replace(world, timers=world.timers - {timer}), event, decide, move)
    escalation = after.incident.escalation if after.incident else None
    before = world.incident
    is_current = before and timer.epoch == before.epoch and timer.number == before.escalation.next_number
    if escalation and is_current and timer.kind is TimerKind.ESCALATE and escalation.state is EscalationState.ARMED:
        hold("E3", (escalation.next_due_at or world.now) > world.now, "an overdue level was left for later")
    # A timer may be delivered again after a crash; nobody is paged again.
    again = decide(after.incident, event, after.now, after.policy)
    told = (ef.Page, ef.TellSubscriber)
    hold("A2", not any(isinstance(effect, told) for effect in again.effects), "a timer delivered twice paged twice")
    if timer.kind is TimerKind.LAPSE and before and after.incident and before.state is not after.incident.state:
        hold("E1", world.is_held or bool(after.unsent), "an owner did not answer, and nobody else was paged")
    return after


def _approve(world: World, plan_id: str, name: str, how: str, decide: Decide) -> World:
    incident = world.incident
    plan = incident.plan(plan_id) if incident else None
    assert plan is not None
    assert incident is not None
    who = PEOPLE[name]
    event = ev.ApproveClicked(
        plan_id=plan_id, digest="0" * 64 if how == "stale" else plan.digest, by=who,
        break_glass="nobody else is awake" if how == "glass" else "", locked_by="PLN-99" if how == "locked" else "",
        debts=world.debts,
    )  # fmt: skip
    is_on_time = plan.state is PlanState.PENDING and plan.expires_at is not None and world.now < plan.expires_at
    approvers = {BOB, CAROL} - ({BOB} if world.bob_left else set())
    is_new = (plan_id, who) not in world.yes and how not in {"stale", "locked"}
    by_second = who in approvers and who != plan.requested_by
    is_p0 = incident.is_open and incident.severity is Severity.P0
    by_glass = how == "glass" and who == ALICE and is_p0 and not world.debts and world.tier == "change"
    is_good = is_on_time and is_new and (by_second or by_glass)
    if is_good:
        world = replace(world, yes=world.yes | {(plan_id, who)})
        if by_glass:
            world = replace(world, glass=world.glass | {plan_id}, debts=world.debts + 1)
    after = tell(world, event, decide, ("approve", plan_id, name, how))
    stored = after.incident.plan(plan_id) if after.incident else None
    was_taken = stored is not None and len(stored.votes) > len(plan.votes)
    rule = "G3" if who == plan.requested_by else "G1"
    hold(rule, was_taken == is_good, f"an approval by {name} ({how}) was {'taken' if was_taken else 'not taken'}")
    return after


def _work(world: World, move: Move, decide: Decide) -> World:
    kind, plan_id, index, how = move
    job = (kind, plan_id, int(index))
    plan = world.incident.plan(plan_id) if world.incident else None
    assert plan is not None
    if kind == "step":
        return _step(world, job, plan, how, decide)
    world = replace(world, jobs=world.jobs - {job})
    if kind == "draw":
        drawn = ev.PlanDrawn(plan_id=plan_id, draft=draft(world.tier))
        return tell(world, drawn if how == "drawn" else ev.PlanRefused(plan_id=plan_id, why="no"), decide, move)
    facts = {"alias": "4", "served": "3"} if how == "moved" else FACTS
    event = ev.TargetReread(
        plan_id=plan_id, fingerprint=facts, next_plan_id=f"PLN-{world.plans + 1}",
        frozen="the sale is on" if how == "frozen" else "",
    )  # fmt: skip
    after = tell(world, event, decide, move)
    after = replace(after, plans=len(after.incident.plans) if after.incident else 0)
    return check_start(world, after, plan, how)


def _step(world: World, job: tuple[str, str, int], plan: Plan, how: str, decide: Decide) -> World:
    """A worker takes the step's job: store the intent, call, say what came of it. A crash leaves the job."""
    index = job[2]
    step = plan.steps[index]
    if plan.is_ended or plan.next_step() != index:
        late = ev.StepObserved(plan_id=plan.id, index=index, outcome=Outcome.DONE, detail="late")
        return tell(replace(world, jobs=world.jobs - {job}), late, decide, ("late step",))
    if how == "rival":  # read the plan before the present attempt began, and has not looked since
        begun = ev.StepBegun(plan_id=plan.id, index=index, after_attempt=max(step.attempts - 1, 0))
        after = tell(world, begun, decide, ("begin",))
        was_taken = _attempts(after, plan.id, index) > step.attempts
        hold("G2", not (was_taken and step.attempts and not step.proves), "a begun step was begun again without a look")
        return world if step.attempts == 0 else after
    known = (plan.id, index) in world.called
    if step.state is StepState.STARTED and not step.proves and known:
        return _observed(world, job, plan, "done", decide)
    if step.state is StepState.PENDING or not step.proves:
        begun = ev.StepBegun(plan_id=plan.id, index=index, after_attempt=step.attempts)
        world = tell(world, begun, decide, ("begin",))
        hold("G2", _attempts(world, plan.id, index) == step.attempts + 1, "an intent was not stored")
    if how == "crash before":
        return world
    if not step.proves and how != "failed":
        hold("G1", plan.id in world.started, "a change was made before the last look at its target")
        hold("G2", not known, "a change was made twice")
        world = replace(world, called=world.called | {(plan.id, index)})
    return world if how == "crash after" else _observed(world, job, plan, how, decide)


def _attempts(world: World, plan_id: str, index: int) -> int:
    plan = world.incident.plan(plan_id) if world.incident else None
    return plan.steps[index].attempts if plan else 0


def _observed(world: World, job: tuple[str, str, int], plan: Plan, how: str, decide: Decide) -> World:
    outcome = Outcome(how) if how in set(Outcome) else Outcome.DONE
    event = ev.StepObserved(plan_id=plan.id, index=job[2], outcome=outcome, detail=f"{how}")
    world = replace(world, jobs=world.jobs - {job})
    if outcome is Outcome.DONE:
        world = replace(world, seen_done=world.seen_done | {(plan.id, job[2])})
    return tell(world, event, decide, ("observed",))


# the store


def tell(world: World, event: Event, decide: Decide, move: Move) -> World:
    """Decide one event and store the decision, as one transaction does; then check what must always hold."""
    before = world.incident
    decision = decide(before, event, world.now, world.policy)
    after = decision.incident
    if before is None and after is None:
        return world
    hold("A2", after is not None, "the incident vanished")
    assert after is not None
    check_tables(before, after)
    check_pages(world, before, after, decision, move)
    check_plans(world, before, after, decision)
    world = replace(_stored(world, after, decision), base_at=_base(world, before, after))
    check_standing(world)
    return world


def _base(world: World, before: Incident | None, after: Incident) -> datetime:
    """When the ladder began; that may only change when it begins again, or for a severity that is new."""
    climbing = {EscalationState.ARMED, EscalationState.REPEATING}
    if before is None or before.escalation.state not in climbing or before.epoch != after.epoch:
        return world.now
    base = after.escalation.base_at
    if before.severity is not after.severity:
        hold("E3", world.base_at <= base <= world.now, "a new severity moved the ladder's beginning back")
        return base
    hold("E3", base == world.base_at, "due times slide")
    return base


def _stored(world: World, after: Incident, decision: Decision) -> World:
    timers = {(one.kind, one.epoch, one.number, one.plan_id): one for one in world.timers}
    unsent, jobs, decided = set(world.unsent), set(world.jobs), set(world.decided)
    if world.incident is None or world.incident.epoch != after.epoch:
        decided = set()
    for effect in decision.effects:
        match effect:
            case ef.SetTimer():
                # Cancelled timers stay and fire: whatever they find, they must do no harm.
                timers[effect.kind, effect.epoch, effect.number, effect.plan_id] = Timer(
                    kind=effect.kind, epoch=effect.epoch, number=effect.number, plan_id=effect.plan_id,
                    due_at=effect.due_at,
                )  # fmt: skip
            case ef.StopPaging():
                unsent = {page for page in unsent if page.number == 0}
            case ef.Page():
                number = -1 if effect.asks else effect.number  # what asks or informs goes with the ladder
                unsent.add(OutPage(unique=effect.unique, target=effect.target, number=number, epoch=after.epoch))
                decided.add((effect.unique, effect.target))
            case ef.DrawPlan():
                jobs.add(("draw", effect.plan_id, 0))
            case ef.RereadTarget():
                jobs.add(("reread", effect.plan_id, 0))
            case ef.RunStep():
                jobs.add(("step", effect.plan_id, effect.index))
            case _:
                pass
    return replace(
        world, incident=after, timers=frozenset(timers.values()), unsent=frozenset(unsent), jobs=frozenset(jobs),
        decided=frozenset(decided), climbed=_climbed(world, after, decision),
    )  # fmt: skip


def _climbed(world: World, after: Incident, decision: Decision) -> int:
    paged = max((page.number for page in ladder_pages(decision)), default=0)
    if not paged and after.escalation.next_number == 1:
        return 0
    return max(paged, min(world.climbed, after.escalation.next_number - 1))
