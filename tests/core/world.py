"""A small world around the core: what the store, workers and people do, and an observer who counts for himself.

The world is a value. `moves` lists everything that may happen next, `happen` applies one of it through a given `decide`
and checks the invariants. The observer never asks the policy whether something was allowed; he has his own idea of it.
`Broken` names the invariant of the design that did not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bot import effects as ef
from bot import events as ev
from bot.effects import Decision
from bot.events import Event
from bot.model import (
    ENDED_PLAN_STATES,
    Alert,
    Draft,
    EscalationState,
    Incident,
    IncidentKind,
    IncidentState,
    Level,
    Outcome,
    Plan,
    PlanState,
    Severity,
    Step,
    StepState,
    Subject,
    TimerKind,
    Who,
    digest_of,
)
from bot.policy import ApprovalRule, Ladder, Person, Policy, SeverityRule, System
from bot.states import ESCALATION, INCIDENT, PLAN

Decide = Callable[[Incident | None, Event, datetime, Policy], Decision]
Move = tuple[str, ...]

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ALICE = Who(team_id="T1", user_id="UALICE", name="alice")  # on call; asks for the change
BOB = Who(team_id="T1", user_id="UBOB", name="bob")  # may approve, until his role is taken from him
CAROL = Who(team_id="T1", user_id="UCAROL", name="carol")  # may approve
MALLORY = Who(team_id="T2", user_id="UBOB", name="bob")  # bob's user id and name, in another workspace
PEOPLE = {"alice": ALICE, "bob": BOB, "carol": CAROL, "mallory": MALLORY}
SUBJECT = Subject(system="shop", service="api", model="intent")
FACTS = {"alias": "3", "served": "3"}
RULES_AT_START = "why the world stops: the rules of G1 did not hold"


def _minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def policy_of(*, without_bob: bool = False) -> Policy:
    """The rules of the world. Nobody is a manager, so P0's second level reaches nobody."""
    levels = {
        Severity.P0: ((5, ("oncall",)), (30, ("role:manager",)), (60, ("role:senior",))),
        Severity.P1: ((15, ("oncall",)), (30, ("role:senior",))),
    }
    ladders = {
        severity: Ladder(
            levels=tuple(Level(number=n, after=_minutes(at), targets=to) for n, (at, to) in enumerate(rungs, 1)),
            repeat_every=_minutes(30),
        )
        for severity, rungs in levels.items()
    }
    roles = frozenset({"senior"})
    shop = System(
        name="shop",
        channel="C1",
        catch_all=("channel:CALL",),
        oncall=("alice",),
        ladders=ladders,
        approvals={
            "change": ApprovalRule(tier="change", needed=1, roles=roles | {"oncall"}, break_glass=True),
            "dangerous": ApprovalRule(tier="dangerous", needed=2, roles=roles),
        },
        severity_rules=(
            SeverityRule(name="down", severity=Severity.P0, because="nothing is served", match={"alertname": ("B",)}),
            SeverityRule(name="bad", severity=Severity.P1, because="answers are wrong", match={"alertname": ("A",)}),
        ),
        quiet=_minutes(5),
        reopen_within=_minutes(30),
    )
    people = (
        Person(key="alice", who=ALICE, roles=frozenset({"oncall", "engineer"})),
        Person(key="bob", who=BOB, roles=frozenset() if without_bob else roles),
        Person(key="carol", who=CAROL, roles=roles),
    )
    return Policy(people=people, systems={"shop": shop})


POLICY = policy_of()
POLICY_WITHOUT_BOB = policy_of(without_bob=True)


def draft(tier: str = "change") -> Draft:
    """What the action of this world proposes: one change, one proof."""
    return Draft(
        title="Roll back intent from v3 to v2",
        from_="3",
        to="2",
        because="v2 is the last known-good",
        steps=(
            Step(name="move", sentence="point champion at v2"),
            Step(name="proof", sentence="see that v2 is served", proves=True),
        ),
        inverse={"action": "rollback", "to": "3"},
        inverse_text="point champion at v3 again",
        fingerprint=FACTS,
        args={"to": "2"},
        tier=tier,
        watch_for=_minutes(10),
        marks_bad="3",
    )


class Broken(AssertionError):
    """An invariant of the design did not hold."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """An armed timer row."""

    kind: TimerKind
    epoch: int
    number: int
    plan_id: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutPage:
    """A page that is decided and not sent."""

    unique: str
    target: str
    number: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything outside the core, and the incident the store holds."""

    now: datetime = T0
    incident: Incident | None = None
    tier: str = "change"
    firing: frozenset[str] = frozenset()
    attached: frozenset[str] = frozenset()
    timers: frozenset[Timer] = frozenset()
    unsent: frozenset[OutPage] = frozenset()
    jobs: frozenset[tuple[str, str, int]] = frozenset()  # (draw | reread | step, plan, index)
    incidents: int = 0
    plans: int = 0
    bob_left: bool = False
    debts: int = 0
    # what the observer counted
    base_at: datetime = T0  # when the ladder last began
    climbed: int = 0  # the highest level paged since the ladder last began
    decided: frozenset[tuple[str, str]] = frozenset()  # pages of this epoch
    yes: frozenset[tuple[str, Who]] = frozenset()  # (plan, person) whose approval he would have taken
    glass: frozenset[str] = frozenset()
    started: frozenset[str] = frozenset()
    called: frozenset[tuple[str, int]] = frozenset()  # foreign calls that took effect
    seen_done: frozenset[tuple[str, int]] = frozenset()

    @property
    def policy(self) -> Policy:
        """The rules in force now."""
        return POLICY_WITHOUT_BOB if self.bob_left else POLICY

    @property
    def plan(self) -> Plan | None:
        """The newest plan."""
        return self.incident.plans[-1] if self.incident and self.incident.plans else None


# ----------------------------------------------------------------------------------------------------------------------
# what may happen


def moves(world: World) -> Iterator[Move]:
    """Every event of the alphabet that makes sense now; stale, doubled and forbidden ones make sense."""
    for minutes in ("5", "20", "120"):
        yield "clock", minutes
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
    yield from _planning(world)
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


# ----------------------------------------------------------------------------------------------------------------------
# what happens


def happen(world: World, move: Move, decide: Decide) -> World:
    """The world after the move. Raises Broken."""
    match move:
        case ("clock", minutes):
            return replace(world, now=world.now + _minutes(int(minutes)))
        case ("send",):
            _check_sending(world)
            return replace(world, unsent=frozenset())
        case ("bob leaves",):
            return replace(world, bob_left=True)
        case ("fire" | "clear" as what, name):
            return _alert(world, name, decide, is_firing=what == "fire")
        case ("timer", *_):
            return _timer(world, move, decide)
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
        case ("unack", name):
            return ev.Unacknowledged(by=PEOPLE[name])
        case ("snooze", name):
            return ev.Snoozed(by=PEOPLE[name], until=world.now + _minutes(20))
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
                firing=world.firing,
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
        _hold("quiet", after.incident.quiet_until is not None, "the last alert ended, and no quiet period began")
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
        _hold("E3", (escalation.next_due_at or world.now) > world.now, "an overdue level was left for later")
    # A timer may be delivered again after a crash; nobody is paged again.
    again = decide(after.incident, event, after.now, after.policy)
    _hold("A2", not any(isinstance(effect, ef.Page) for effect in again.effects), "a timer delivered twice paged twice")
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
    _hold(rule, was_taken == is_good, f"an approval by {name} ({how}) was {'taken' if was_taken else 'not taken'}")
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
    return _check_start(world, after, plan, how)


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
        _hold(
            "G2", not (was_taken and step.attempts and not step.proves), "a begun step was begun again without a look"
        )
        return world if step.attempts == 0 else after
    known = (plan.id, index) in world.called
    if step.state is StepState.STARTED and not step.proves and known:
        return _observed(world, job, plan, "done", decide)
    if step.state is StepState.PENDING or not step.proves:
        begun = ev.StepBegun(plan_id=plan.id, index=index, after_attempt=step.attempts)
        world = tell(world, begun, decide, ("begin",))
        _hold("G2", _attempts(world, plan.id, index) == step.attempts + 1, "an intent was not stored")
    if how == "crash before":
        return world
    if not step.proves and how != "failed":
        _hold("G1", plan.id in world.started, RULES_AT_START)
        _hold("G2", not known, "a change was made twice")
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


# ----------------------------------------------------------------------------------------------------------------------
# the store


def tell(world: World, event: Event, decide: Decide, move: Move) -> World:
    """Decide one event and store the decision, as one transaction does; then check what must always hold."""
    before = world.incident
    decision = decide(before, event, world.now, world.policy)
    after = decision.incident
    if before is None and after is None:
        return world
    _hold("A2", after is not None, "the incident vanished")
    assert after is not None
    _check_tables(before, after)
    _check_pages(world, before, after, decision, move)
    _check_plans(world, before, after, decision)
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
        _hold("E3", world.base_at <= base <= world.now, "a new severity moved the ladder's beginning back")
        return base
    _hold("E3", base == world.base_at, "due times slide")
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
                unsent.add(OutPage(unique=effect.unique, target=effect.target, number=effect.number, epoch=after.epoch))
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
    paged = max((page.number for page in _ladder_pages(decision)), default=0)
    if not paged and after.escalation.next_number == 1:
        return 0
    return max(paged, min(world.climbed, after.escalation.next_number - 1))


def _ladder_pages(decision: Decision) -> list[ef.Page]:
    return [effect for effect in decision.effects if isinstance(effect, ef.Page) and effect.number > 0]


# ----------------------------------------------------------------------------------------------------------------------
# what must hold


def _hold(invariant: str, holds: bool, text: str) -> None:
    if not holds:
        raise Broken(invariant, text)


_EDGES = {
    machine.name: {(str(state), str(to)) for (state, _), to in machine.moves.items()}
    for machine in (INCIDENT, ESCALATION, PLAN)
}


def _check_tables(before: Incident | None, after: Incident) -> None:
    """Nothing changes its state in a way that the tables do not show."""
    if before is None:
        _hold("tables", after.state is IncidentState.OPEN, f"an incident began as {after.state}")
        return
    changes = [("incident", before.state, after.state), ("escalation", before.escalation.state, after.escalation.state)]
    for plan in before.plans:
        now = after.plan(plan.id)
        _hold("tables", now is not None, f"plan {plan.id} vanished")
        changes.append(("plan", plan.state, now.state if now else plan.state))
    for name, old, new in changes:
        _hold("tables", old == new or (str(old), str(new)) in _EDGES[name], f"{name} went from {old} to {new}")


def _check_pages(world: World, before: Incident | None, after: Incident, decision: Decision, move: Move) -> None:
    pages = _ladder_pages(decision)
    if not pages:
        return
    _hold("E4", before is not None, "a page came with the opening")
    assert before is not None
    asked = move[0] == "escalate"
    _hold("E4", asked or after.state is IncidentState.OPEN, f"the ladder paged while {after.state}")
    same_epoch = before.epoch == after.epoch
    for page in pages:
        is_known = same_epoch and (page.unique, page.target) in world.decided
        _hold("E2", not is_known, f"{page.target} was paged twice for {page.unique}")
    fresh = sorted({page.number for page in pages if "repeat" not in page.reason})
    for number in fresh:
        _hold("E2", number > world.climbed, f"level {number} was paged twice")
    wanted = list(range(world.climbed + 1, world.climbed + 1 + len(fresh)))
    _hold("E1", fresh == wanted, f"levels {fresh} were paged after level {world.climbed}")
    if not asked:
        _check_due(before, pages, fresh, world.now)


def _check_due(before: Incident, pages: list[ef.Page], fresh: list[int], now: datetime) -> None:
    """A level is paged when it is due, or at once when the level before it reached nobody."""
    pulled = False
    for number in fresh:
        due = before.escalation.base_at + before.escalation.levels[number - 1].after
        mine = [page for page in pages if page.number == number]
        _hold("E3", due <= now or pulled, f"level {number} was paged early")
        late = max(now - due, timedelta(0))
        _hold("E3", all(page.late_by == late for page in mine), f"level {number} says a wrong delay")
        pulled = any("reaches nobody" in page.reason for page in mine)


def _check_plans(world: World, before: Incident | None, after: Incident, decision: Decision) -> None:
    for plan in after.plans:
        old = before.plan(plan.id) if before else None
        if old is not None and old.is_ended:
            _hold("G2", old == plan, f"plan {plan.id} changed after its end")
        own = [vote for vote in plan.votes if vote.by == plan.requested_by and not vote.break_glass]
        _hold("G3", not own, "the requester's own approval counted")
        if plan.state is PlanState.VERIFIED:
            every = {(plan.id, index) for index in range(len(plan.steps))}
            _hold("G5", every <= world.seen_done, "verified without every proof")
            _hold("G5", (plan.id, 0) in world.called, "verified although nothing was changed")
        if plan.state in {PlanState.APPROVED, PlanState.RUNNING, PlanState.WATCHING}:
            _hold("G1", _is_quorum(world, plan), f"plan {plan.id} is {plan.state} without enough approvals")
    for effect in decision.effects:
        if isinstance(effect, ef.RunStep):
            now = after.plan(effect.plan_id)
            is_running = now is not None and now.state in {PlanState.RUNNING, PlanState.WATCHING}
            _hold("G1", is_running, "a step was to be run of a plan that does not run")
        if isinstance(effect, ef.MarkBad):
            verified = [plan.id for plan in after.plans if plan.state is PlanState.VERIFIED]
            _hold("G5", effect.plan_id in verified, "a version was marked bad without proof")
    if any(isinstance(effect, ef.OpenDebt) for effect in decision.effects):
        told = [effect for effect in decision.effects if isinstance(effect, ef.Page) and effect.number == 0]
        _hold("G6", bool(told), "the glass was broken and nobody was told")
        _hold("G6", bool(world.glass), "a debt was opened although no glass was broken")


def _is_quorum(world: World, plan: Plan) -> bool:
    people = {who for plan_id, who in world.yes if plan_id == plan.id and who != plan.requested_by}
    needed = 2 if world.tier == "dangerous" else 1
    return plan.id in world.glass or len(people) >= needed


def _check_start(world: World, after: World, plan: Plan, how: str) -> World:
    """The moment between approval and the first change: everything must hold once more, and only once."""
    now = after.incident.plan(plan.id) if after.incident else None
    if now is None or now.state is not PlanState.RUNNING or plan.state is not PlanState.APPROVED:
        return after
    incident = world.incident
    assert incident is not None
    _hold("G1", how == "same", "a plan started although the target moved or changes are frozen")
    _hold("G1", plan.expires_at is not None and world.now < plan.expires_at, "a plan started after its time")
    gone = {BOB} if world.bob_left else set()
    people = {who for plan_id, who in world.yes if plan_id == plan.id} - gone - {plan.requested_by}
    is_p0 = incident.is_open and incident.severity is Severity.P0
    by_glass = plan.id in world.glass and is_p0
    _hold("G1", by_glass or len(people) >= (2 if world.tier == "dangerous" else 1), "a plan started without its people")
    _hold("G2", plan.id not in world.started, "a plan started twice")
    _hold("G1", now.digest == digest_of(now.action, now.subject, draft(world.tier)), "what runs is not what was shown")
    inverse = now.draft.inverse_text if now.draft else ""
    _hold("G4", bool(inverse) and bool(now.draft and now.draft.inverse), "there is no stored way back")
    return replace(after, started=after.started | {plan.id})


def _check_sending(world: World) -> None:
    epoch = world.incident.epoch if world.incident else 0
    for page in world.unsent:
        _hold("E4", page.number == 0 or page.epoch == epoch, f"a page of an older state goes out: {page.unique}")


def check_standing(world: World) -> None:
    """What holds in every state: there is a live next step, and nothing of an older state waits to go out."""
    incident = world.incident
    assert incident is not None
    _check_sending(world)
    alive = {(one.kind, one.epoch, one.number, one.plan_id): one.due_at for one in world.timers}
    escalation = incident.escalation
    if incident.state is IncidentState.OPEN and incident.kind is not IncidentKind.CHANGE:
        if escalation.state is EscalationState.REPEATING:
            due = alive.get((TimerKind.REPEAT, incident.epoch, escalation.repeats + 1, ""))
        else:
            _hold("E1", escalation.state is EscalationState.ARMED, f"open, and the ladder is {escalation.state}")
            due = alive.get((TimerKind.ESCALATE, incident.epoch, escalation.next_number, ""))
        _hold("E1", due is not None and due == escalation.next_due_at, "open, and no timer would page anybody")
    else:
        _hold("E1", escalation.next_due_at is None, f"{incident.state}, and the ladder still climbs")
    if incident.state is IncidentState.SNOOZED:
        due = alive.get((TimerKind.UNSNOOZE, incident.epoch, 0, ""))
        _hold("E1", due is not None and due == incident.snoozed_until, "snoozed, and nothing ends it")
    if incident.is_open and incident.quiet_until is not None:
        _hold("quiet", (TimerKind.QUIET, 0, 0, "") in alive, "every alert is silent, and nothing would resolve it")
    _check_plans_go_on(world, incident, set(alive))


def _check_plans_go_on(world: World, incident: Incident, alive: set[tuple[TimerKind, int, int, str]]) -> None:
    running = 0
    for plan in incident.plans:
        if plan.state in {PlanState.PENDING, PlanState.APPROVED}:
            _hold("expiry", (TimerKind.EXPIRE, 0, 0, plan.id) in alive, f"plan {plan.id} waits for ever")
        running += plan.state in {PlanState.APPROVED, PlanState.RUNNING, PlanState.WATCHING}
        waits = {
            PlanState.DRAWING: "draw",
            PlanState.APPROVED: "reread",
            PlanState.RUNNING: "step",
            PlanState.WATCHING: "step",
        }
        kind = waits.get(plan.state)
        has_work = any(job[0] == kind and job[1] == plan.id for job in world.jobs)
        _hold("G2", kind is None or has_work, f"plan {plan.id} is {plan.state} and nobody works on it")
    _hold("G1", running <= 1, "two plans hold the same target")
    if incident.kind is IncidentKind.CHANGE and incident.plans and all(plan.is_ended for plan in incident.plans):
        _hold("change", not incident.is_open, "a change is over and its thread stays open")


# ----------------------------------------------------------------------------------------------------------------------
# telling worlds apart


def key(world: World) -> tuple[object, ...]:
    """What decides the future. Times count from now, epochs from the present one: a shifted twin is the same world."""
    incident = world.incident
    if incident is None:
        return (world.firing, world.tier, world.bob_left, world.debts)
    now, epoch = world.now, incident.epoch
    timers = frozenset(
        (one.kind, one.epoch and one.epoch - epoch, one.number, one.plan_id, _ahead(one.due_at, now))
        for one in world.timers
    )
    unsent = frozenset((page.number, page.epoch - epoch, page.target) for page in world.unsent)
    escalation = incident.escalation
    last = escalation.paged[-1].at == now if escalation.paged else None
    ladder = (
        escalation.state, len(escalation.levels), escalation.next_number, _ahead(escalation.next_due_at, now), last,
        max((escalation.base_at - now).total_seconds(), -36000.0), escalation.repeats,
    )  # fmt: skip
    plans = tuple(_plan_key(plan, now) for plan in incident.plans)
    resolved = max((incident.resolved_at - now).total_seconds(), -3600.0) if incident.resolved_at else None
    return (
        incident.state, incident.kind, incident.severity, ladder, plans, resolved, incident.quiet_until is None,
        _ahead(incident.quiet_until, now), _ahead(incident.snoozed_until, now), timers, unsent, world.jobs,
        world.firing, world.attached, world.bob_left, world.debts, world.climbed, world.yes, world.glass, world.called,
        world.seen_done, world.tier,
    )  # fmt: skip


def _ahead(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else max((at - now).total_seconds(), 0.0)


def _plan_key(plan: Plan, now: datetime) -> tuple[object, ...]:
    if plan.state in ENDED_PLAN_STATES:
        return (plan.id, plan.state)
    steps = tuple((step.state, step.attempts) for step in plan.steps)
    return (
        plan.id, plan.state, len(plan.votes), steps, _ahead(plan.expires_at, now), _ahead(plan.watch_until, now),
        plan.steps[0].started_at and (plan.steps[0].started_at - now).total_seconds() if plan.steps else None,
    )  # fmt: skip
