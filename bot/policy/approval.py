"""Who may ask, who may approve, and whether a plan may start. One function per question, for every way in.

Everything fails closed: an unknown person, an empty list of approvers, an unknown tier refuse.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot.effects import Why
from bot.events import ApproveClicked
from bot.model import Incident, Plan, Severity, Vote, Who
from bot.policy import CLOSED, TIERS, ApprovalRule, Policy, System
from bot.words import cut, visible

_URGENT = frozenset({Severity.P0, Severity.P1})
_DEFAULT_RULES = {
    "light": ApprovalRule(
        tier="light", needed=1, roles=frozenset({"oncall", "engineer", "senior", "manager"}), self_by_oncall=True,
        break_glass=True,
    ),
    "change": ApprovalRule(
        tier="change", needed=1, roles=frozenset({"oncall", "engineer", "senior", "manager"}), break_glass=True
    ),
    "dangerous": ApprovalRule(tier="dangerous", needed=2, roles=frozenset({"senior", "manager", "director"})),
}  # fmt: skip
_EXPIRY = {
    Severity.P0: timedelta(minutes=15),
    Severity.P1: timedelta(minutes=30),
    Severity.P2: timedelta(minutes=60),
    Severity.P3: timedelta(minutes=60),
}
OK = Why(code="ok", text="")
BROKEN_GLASS = Why(code="break_glass", text="")


def refuse(code: str, text: str) -> Why:
    """A refusal with its rule in words."""
    return Why(code=code, text=text, refused=True)


def rule_for(system: System, tier: str) -> ApprovalRule:
    """The system's rule for the tier, the default one where it sets none; an unknown tier allows nobody."""
    return system.approvals.get(tier) or _DEFAULT_RULES.get(tier, CLOSED)


def expiry(system: System, severity: Severity) -> timedelta:
    """How long a plan waits for approval."""
    return system.expiry.get(severity, _EXPIRY[severity])


def worst_tier(*tiers: str) -> str:
    """The strictest of the tiers; an unknown name counts as the strictest."""
    return max(tiers, key=lambda tier: TIERS.index(tier) if tier in TIERS else len(TIERS))


def may_request(policy: Policy, system: System, who: Who) -> Why:
    """Whether the person may ask for a guarded action on the system."""
    person = policy.person(who)
    if person is None:
        return refuse(
            "unknown_person",
            "I don't know you, so I can't let you change anything. Ask an admin to add you to `people`.",
        )
    if not person.roles & system.request_roles:
        return refuse(
            "not_allowed", f"Asking for changes to {system.name} needs one of: {names(system.request_roles)}."
        )
    return OK


def may_steer(policy: Policy, system: System, who: Who) -> Why:
    """Whether the person may acknowledge, assign, resolve and the like."""
    person = policy.person(who)
    if person is None:
        return refuse(
            "unknown_person", "I don't know you, so this is not yours to do. Ask an admin to add you to `people`."
        )
    if system.steer_roles and not person.roles & system.steer_roles:
        return refuse("not_allowed", f"Steering incidents of {system.name} needs one of: {names(system.steer_roles)}.")
    return OK


def may_approve(plan: Plan, incident: Incident, click: ApproveClicked, policy: Policy, now: datetime) -> Why:
    """Whether this click counts as an approval; a refusal names the rule and who can.

    The code "break_glass" means: it counts because the person set the two-person rule aside.
    """
    system = policy.system(plan.subject.system)
    rule = rule_for(system, plan.draft.tier if plan.draft else "")
    verdict = _card_is_current(plan, click, now)
    if not verdict.refused:
        verdict = _person_may(rule, policy, click.by)
    if not verdict.refused:
        verdict = _is_second_person(plan, incident, click, rule, policy, now)
    free = target_is_free(click.locked_by, click.frozen)
    return free if free.refused and not verdict.refused else verdict


def is_quorum(plan: Plan, policy: Policy) -> bool:
    """Whether the votes are enough: as many different people as the card said and as the rule says now."""
    rule = rule_for(policy.system(plan.subject.system), plan.draft.tier if plan.draft else "")
    return len({vote.by for vote in plan.votes}) >= max(plan.needed, rule.needed, 1) or any(
        vote.break_glass for vote in plan.votes
    )


def may_start(
    plan: Plan, incident: Incident, policy: Policy, now: datetime, *, locked_by: str, frozen: str
) -> Why:  # fmt: skip
    """Whether an approved plan may still start: people may have left, time may have passed, a freeze may have begun."""
    system = policy.system(plan.subject.system)
    rule = rule_for(system, plan.draft.tier if plan.draft else "")
    if plan.expires_at is not None and now >= plan.expires_at:
        return refuse("expired", "the approval time was over before the plan could start")
    asked = may_request(policy, system, plan.requested_by)
    if asked.refused:
        return refuse("requester_gone", "the person who asked may no longer ask for changes")
    valid = tuple(vote for vote in plan.votes if _still_counts(vote, plan, incident, rule, policy, now))
    if not is_quorum(replace(plan, votes=valid), policy):
        return refuse("approver_gone", "an approval no longer counts; ask again for a fresh plan")
    return target_is_free(locked_by, frozen)


def _card_is_current(plan: Plan, click: ApproveClicked, now: datetime) -> Why:
    if click.digest != plan.digest:
        return refuse(
            "outdated_card", "This card is outdated: the plan changed since it was drawn. Look at the current card."
        )
    if plan.expires_at is not None and now >= plan.expires_at:
        return refuse("expired", "Approval time is over. Ask again for a fresh plan.")
    if any(vote.by == click.by for vote in plan.votes):
        return refuse("already_voted", "You have already approved this plan; it needs a different person.")
    return OK


def _person_may(rule: ApprovalRule, policy: Policy, who: Who) -> Why:
    person = policy.person(who)
    if person is None:
        return refuse("unknown_person", f"I don't know you, so you can't approve. Approvers: {names(rule.roles)}.")
    if not person.roles & rule.roles:
        return refuse("not_allowed", f"Approving a {rule.tier} action needs one of: {names(rule.roles)}.")
    return OK


def _is_second_person(
    plan: Plan, incident: Incident, click: ApproveClicked, rule: ApprovalRule, policy: Policy, now: datetime
) -> Why:
    if click.by != plan.requested_by or _may_approve_own(plan, incident, rule, policy, now):
        return OK
    if click.break_glass:
        on_call = policy.is_on_call(click.by, plan.subject.system, now)
        return _may_break_glass(incident, click, rule, on_call=on_call)
    others = approvers(policy, rule, plan.requested_by)
    who_can = f" Ask {others}." if others else " Nobody else is set up to approve: add people to the configuration."
    return refuse("own_request", f"You asked for this change, so somebody else must approve it.{who_can}")


def _may_approve_own(plan: Plan, incident: Incident, rule: ApprovalRule, policy: Policy, now: datetime) -> bool:
    """True where the rule lets the person on call approve their own request while it is urgent."""
    on_call = policy.is_on_call(plan.requested_by, plan.subject.system, now)
    urgent = incident.is_open and incident.severity in _URGENT
    return rule.self_by_oncall and on_call and urgent and max(plan.needed, rule.needed) == 1


def _still_counts(
    vote: Vote, plan: Plan, incident: Incident, rule: ApprovalRule, policy: Policy, now: datetime
) -> bool:  # fmt: skip
    """Whether a vote would be taken now: its person may have lost the role, or the urgency that excused it is over."""
    if _person_may(rule, policy, vote.by).refused:
        return False
    if vote.by != plan.requested_by or _may_approve_own(plan, incident, rule, policy, now):
        return True
    is_p0 = incident.is_open and incident.severity is Severity.P0
    return (
        bool(vote.break_glass) and rule.break_glass and is_p0 and policy.is_on_call(vote.by, plan.subject.system, now)
    )


def _may_break_glass(incident: Incident, click: ApproveClicked, rule: ApprovalRule, *, on_call: bool) -> Why:
    if not rule.break_glass or incident.severity is not Severity.P0 or not incident.is_open or not on_call:
        return refuse("no_break_glass", "Breaking the glass is for the person on call during an open P0 only.")
    if len(click.break_glass.strip()) < 10:
        return refuse("no_reason", "Breaking the glass needs a reason of at least ten characters.")
    if click.debts:
        return refuse(
            "unreviewed", "Your last break-glass approval has not been reviewed yet; ask a second person to review it."
        )
    return BROKEN_GLASS


def target_is_free(locked_by: str, frozen: str) -> Why:
    """Whether anything else stands in the way: another plan on the same target, or a freeze with its reason."""
    if locked_by:
        return refuse("locked", f"Plan {locked_by} is changing the same target. Wait for its result, then ask again.")
    if frozen:
        return refuse("frozen", f"Changes are frozen: {cut(visible(frozen[:1000]), 300)}.")
    return OK


def approvers(policy: Policy, rule: ApprovalRule, requester: Who) -> str:
    """Mentions of up to five people who could approve, "" when there are none."""
    able = [person for person in policy.people if person.roles & rule.roles and person.who != requester]
    shown = ", ".join(f"@{person.key}" for person in able[:5])
    return f"{shown} and {len(able) - 5} more" if len(able) > 5 else shown


def names(roles: frozenset[str]) -> str:
    """Role names for people; says so when there are none."""
    return ", ".join(sorted(roles)) or "nobody (no role is configured)"
