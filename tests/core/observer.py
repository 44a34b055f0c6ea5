"""What must hold, counted by somebody who never asks the policy what is allowed; and what tells two worlds apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot import effects as ef
from bot.effects import Decision
from bot.model import (
    ENDED_PLAN_STATES,
    EscalationState,
    Incident,
    IncidentKind,
    IncidentState,
    Plan,
    PlanState,
    Severity,
    TimerKind,
    digest_of,
)
from bot.states import ESCALATION, INCIDENT, PLAN
from tests.core.stage import (
    BOB,
    Move,
    World,
    draft,
    hold,
)

_EDGES = {
    machine.name: {(str(state), str(to)) for (state, _), to in machine.moves.items()}
    for machine in (INCIDENT, ESCALATION, PLAN)
}

# An owner who does not answer: the ladder is armed again and climbed at once, in one decision.
_EDGES["escalation"].add((str(EscalationState.RESTING), str(EscalationState.REPEATING)))


def check_tables(before: Incident | None, after: Incident) -> None:
    """Nothing changes its state in a way that the tables do not show."""
    if before is None:
        hold("tables", after.state is IncidentState.OPEN, f"an incident began as {after.state}")
        return
    changes = [("incident", before.state, after.state), ("escalation", before.escalation.state, after.escalation.state)]
    for plan in before.plans:
        now = after.plan(plan.id)
        hold("tables", now is not None, f"plan {plan.id} vanished")
        changes.append(("plan", plan.state, now.state if now else plan.state))
    for name, old, new in changes:
        hold("tables", old == new or (str(old), str(new)) in _EDGES[name], f"{name} went from {old} to {new}")


def check_pages(world: World, before: Incident | None, after: Incident, decision: Decision, move: Move) -> None:
    _check_informed(world, before, after, decision)
    pages = ladder_pages(decision)
    if not pages:
        return
    hold("H1", move[0] == "escalate" or not world.is_held, "a page went out during planned work")
    hold("E4", before is not None, "a page came with the opening")
    assert before is not None
    asked = move[0] == "escalate" or move[:2] == ("timer", "lapse")
    hold("E4", asked or after.state is IncidentState.OPEN, f"the ladder paged while {after.state}")
    same_epoch = before.epoch == after.epoch
    climbed = world.climbed if same_epoch else 0
    for page in pages:
        is_known = same_epoch and (page.unique, page.target) in world.decided
        hold("E2", not is_known, f"{page.target} was paged twice for {page.unique}")
    fresh = sorted({page.number for page in pages if "repeat" not in page.reason})
    for number in fresh:
        hold("E2", number > climbed, f"level {number} was paged twice")
    wanted = list(range(climbed + 1, climbed + 1 + len(fresh)))
    hold("E1", fresh == wanted, f"levels {fresh} were paged after level {climbed}")
    if not asked:
        _check_due(before, pages, fresh, world.now)


def _check_informed(world: World, before: Incident | None, after: Incident, decision: Decision) -> None:
    """Who hears of it although somebody has it: only levels that are to, in time, once each."""
    told = [effect for effect in decision.effects if isinstance(effect, ef.Page) and effect.asks == "nothing"]
    for page in told:
        hold("E4", before is not None and after.state is IncidentState.ACKNOWLEDGED, f"told while {after.state}")
        assert before is not None
        level = after.escalation.levels[page.number - 1]
        hold("E4", level.until_resolved, f"level {page.number} heard of it although somebody has it")
        hold("E3", before.escalation.base_at + level.after <= world.now, f"level {page.number} was told early")
        is_known = before.epoch == after.epoch and (page.unique, page.target) in world.decided
        hold("E2", not is_known, f"level {page.number} was told twice")


def _check_due(before: Incident, pages: list[ef.Page], fresh: list[int], now: datetime) -> None:
    """A level is paged when it is due, or at once when the level before it reached nobody."""
    pulled = False
    for number in fresh:
        due = before.escalation.base_at + before.escalation.levels[number - 1].after
        mine = [page for page in pages if page.number == number]
        hold("E3", due <= now or pulled, f"level {number} was paged early")
        late = max(now - due, timedelta(0))
        hold("E3", all(page.late_by == late for page in mine), f"level {number} says a wrong delay")
        pulled = any("reaches nobody" in page.reason for page in mine)


def check_plans(world: World, before: Incident | None, after: Incident, decision: Decision) -> None:
    for plan in after.plans:
        old = before.plan(plan.id) if before else None
        if old is not None and old.is_ended:
            hold("G2", old == plan, f"plan {plan.id} changed after its end")
        own = [vote for vote in plan.votes if vote.by == plan.requested_by and not vote.break_glass]
        hold("G3", not own, "the requester's own approval counted")
        if plan.state is PlanState.VERIFIED:
            every = {(plan.id, index) for index in range(len(plan.steps))}
            hold("G5", every <= world.seen_done, "verified without every proof")
            hold("G5", (plan.id, 0) in world.called, "verified although nothing was changed")
        if plan.state in {PlanState.APPROVED, PlanState.RUNNING, PlanState.WATCHING}:
            hold("G1", _is_quorum(world, plan), f"plan {plan.id} is {plan.state} without enough approvals")
    for effect in decision.effects:
        if isinstance(effect, ef.RunStep):
            now = after.plan(effect.plan_id)
            is_running = now is not None and now.state in {PlanState.RUNNING, PlanState.WATCHING}
            hold("G1", is_running, "a step was to be run of a plan that does not run")
        if isinstance(effect, ef.MarkBad):
            verified = [plan.id for plan in after.plans if plan.state is PlanState.VERIFIED]
            hold("G5", effect.plan_id in verified, "a version was marked bad without proof")
    if any(isinstance(effect, ef.OpenDebt) for effect in decision.effects):
        told = [effect for effect in decision.effects if isinstance(effect, ef.Page) and effect.number == 0]
        hold("G6", bool(told), "the glass was broken and nobody was told")
        hold("G6", bool(world.glass), "a debt was opened although no glass was broken")


def _is_quorum(world: World, plan: Plan) -> bool:
    people = {who for plan_id, who in world.yes if plan_id == plan.id and who != plan.requested_by}
    needed = 2 if world.tier == "dangerous" else 1
    return plan.id in world.glass or len(people) >= needed


def check_start(world: World, after: World, plan: Plan, how: str) -> World:
    """The moment between approval and the first change: everything must hold once more, and only once."""
    now = after.incident.plan(plan.id) if after.incident else None
    if now is None or now.state is not PlanState.RUNNING or plan.state is not PlanState.APPROVED:
        return after
    incident = world.incident
    assert incident is not None
    hold("G1", how == "same", "a plan started although the target moved or changes are frozen")
    hold("G1", plan.expires_at is not None and world.now < plan.expires_at, "a plan started after its time")
    gone = {BOB} if world.bob_left else set()
    people = {who for plan_id, who in world.yes if plan_id == plan.id} - gone - {plan.requested_by}
    is_p0 = incident.is_open and incident.severity is Severity.P0
    by_glass = plan.id in world.glass and is_p0
    hold("G1", by_glass or len(people) >= (2 if world.tier == "dangerous" else 1), "a plan started without its people")
    hold("G2", plan.id not in world.started, "a plan started twice")
    hold("G1", now.digest == digest_of(now.action, now.subject, draft(world.tier)), "what runs is not what was shown")
    inverse = now.draft.inverse_text if now.draft else ""
    hold("G4", bool(inverse) and bool(now.draft and now.draft.inverse), "there is no stored way back")
    return replace(after, started=after.started | {plan.id})


def check_sending(world: World) -> None:
    epoch = world.incident.epoch if world.incident else 0
    for page in world.unsent:
        hold("E4", page.number == 0 or page.epoch == epoch, f"a page of an older state goes out: {page.unique}")


def check_standing(world: World) -> None:
    """What holds in every state: there is a live next step, and nothing of an older state waits to go out."""
    incident = world.incident
    assert incident is not None
    check_sending(world)
    alive = {(one.kind, one.epoch, one.number, one.plan_id): one.due_at for one in world.timers}
    escalation = incident.escalation
    if incident.state is IncidentState.OPEN and incident.kind is not IncidentKind.CHANGE:
        if escalation.state is EscalationState.REPEATING:
            due = alive.get((TimerKind.REPEAT, incident.epoch, escalation.repeats + 1, ""))
        else:
            hold("E1", escalation.state is EscalationState.ARMED, f"open, and the ladder is {escalation.state}")
            due = alive.get((TimerKind.ESCALATE, incident.epoch, escalation.next_number, ""))
        hold("E1", due is not None and due == escalation.next_due_at, "open, and no timer would page anybody")
    else:
        hold("E1", escalation.next_due_at is None, f"{incident.state}, and the ladder still climbs")
    if incident.state is IncidentState.SNOOZED:
        due = alive.get((TimerKind.UNSNOOZE, incident.epoch, 0, ""))
        hold("E1", due is not None and due == incident.snoozed_until, "snoozed, and nothing ends it")
    if incident.is_open and incident.quiet_until is not None:
        hold("quiet", (TimerKind.QUIET, 0, 0, "") in alive, "every alert is silent, and nothing would resolve it")
    _check_owner(incident, alive)
    _check_hold(world, incident)
    for one in incident.subscriptions:
        due = alive.get((TimerKind.UPDATE, 0, one.number, ""))
        hold("E1", incident.is_open and due == one.next_at, "somebody listens, and nothing would tell them")
    _check_plans_go_on(world, incident, set(alive))


def _check_owner(incident: Incident, alive: dict[tuple[TimerKind, int, int, str], datetime]) -> None:
    """Somebody has it: they are asked some day, and those who must know of it hear of it."""
    escalation = incident.escalation
    if incident.state is not IncidentState.ACKNOWLEDGED:
        return
    if escalation.ack_timeout is not None:
        kind = TimerKind.NUDGE if incident.asked_at is None else TimerKind.LAPSE
        hold("E1", (kind, incident.epoch, 0, "") in alive, "somebody has it, and nobody would ever ask")
    first = max(escalation.next_number, escalation.informed + 1)
    owed = [level.number for level in escalation.levels if level.until_resolved and level.number >= first]
    if owed:
        waits = (TimerKind.INFORM, incident.epoch, owed[0], "") in alive
        hold("E1", waits, f"level {owed[0]} would not hear of it")


def _check_hold(world: World, incident: Incident) -> None:
    """Planned work moves a due time to its end, and no farther; what was announced and taken back moves nothing."""
    escalation = incident.escalation
    is_climbing = escalation.state is EscalationState.ARMED and escalation.next_due_at is not None
    if not is_climbing or "holds" not in world.kit:
        return
    due = escalation.base_at + escalation.levels[escalation.next_number - 1].after
    latest = max(due, world.held_until) if world.held_until else due
    hold("H2", escalation.next_due_at in {due, latest}, "a page waits for longer than the planned work")


def _check_plans_go_on(world: World, incident: Incident, alive: set[tuple[TimerKind, int, int, str]]) -> None:
    running = 0
    for plan in incident.plans:
        if plan.state in {PlanState.PENDING, PlanState.APPROVED}:
            hold("expiry", (TimerKind.EXPIRE, 0, 0, plan.id) in alive, f"plan {plan.id} waits for ever")
        running += plan.state in {PlanState.APPROVED, PlanState.RUNNING, PlanState.WATCHING}
        waits = {
            PlanState.DRAWING: "draw",
            PlanState.APPROVED: "reread",
            PlanState.RUNNING: "step",
            PlanState.WATCHING: "step",
        }
        kind = waits.get(plan.state)
        has_work = any(job[0] == kind and job[1] == plan.id for job in world.jobs)
        hold("G2", kind is None or has_work, f"plan {plan.id} is {plan.state} and nobody works on it")
    hold("G1", running <= 1, "two plans hold the same target")
    if incident.kind is IncidentKind.CHANGE and incident.plans and all(plan.is_ended for plan in incident.plans):
        hold("change", not incident.is_open, "a change is over and its thread stays open")


def ladder_pages(decision: Decision) -> list[ef.Page]:
    pages = [effect for effect in decision.effects if isinstance(effect, ef.Page) and effect.number > 0]
    return [page for page in pages if page.asks != "nothing"]


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
        _ahead(escalation.planned_at, now), _ahead(escalation.held_until, now), escalation.informed,
    )  # fmt: skip
    timed = escalation.ack_timeout is not None
    owned = (
        incident.owner if timed else None, _behind(incident.progress_at or incident.acked_at, now) if timed else None,
        _behind(incident.asked_at, now), _ahead(world.held_until, now), world.held_until is None,
        tuple((one.by, one.number, _ahead(one.next_at, now)) for one in incident.subscriptions),
    )  # fmt: skip
    plans = tuple(_plan_key(plan, now) for plan in incident.plans)
    resolved = max((incident.resolved_at - now).total_seconds(), -3600.0) if incident.resolved_at else None
    return (
        incident.state, incident.kind, incident.severity, ladder, plans, resolved, incident.quiet_until is None,
        _ahead(incident.quiet_until, now), _ahead(incident.snoozed_until, now), timers, unsent, world.jobs,
        world.firing, world.attached, world.bob_left, world.debts, world.climbed, world.yes, world.glass, world.called,
        world.seen_done, world.tier, owned,
    )  # fmt: skip


def _ahead(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else max((at - now).total_seconds(), 0.0)


def _behind(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else min((now - at).total_seconds(), 7200.0)


def _plan_key(plan: Plan, now: datetime) -> tuple[object, ...]:
    if plan.state in ENDED_PLAN_STATES:
        return (plan.id, plan.state)
    steps = tuple((step.state, step.attempts) for step in plan.steps)
    return (
        plan.id, plan.state, len(plan.votes), steps, _ahead(plan.expires_at, now), _ahead(plan.watch_until, now),
        plan.steps[0].started_at and (plan.steps[0].started_at - now).total_seconds() if plan.steps else None,
    )  # fmt: skip
