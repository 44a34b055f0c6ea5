"""The whole decision table of approvals: who, which card, when, and what sets the rule of two people aside."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.decide import decide
from bot.events import ApproveClicked
from bot.model import Incident, IncidentKind, IncidentState, Plan, PlanState, Severity, Subject, Vote, Who, digest_of
from bot.policy import ApprovalRule, Person, Policy, System
from bot.policy.approval import (
    expiry,
    is_quorum,
    may_approve,
    may_request,
    may_start,
    may_steer,
    rule_for,
    worst_tier,
)
from bot.policy.escalation import armed
from tests.core.stage import SUBJECT, T0, draft

ONA = Who(team_id="T1", user_id="UONA", name="ona")  # on call, asks
ENG = Who(team_id="T1", user_id="UENG", name="eng")
SEN = Who(team_id="T1", user_id="USEN", name="sen")
SAM = Who(team_id="T1", user_id="USAM", name="sam")
LOOKER = Who(team_id="T1", user_id="ULOOK", name="looker")
STRANGER = Who(team_id="T9", user_id="USEN", name="sen")  # a senior's user id in another workspace
PEOPLE = {"ona": ONA, "eng": ENG, "sen": SEN, "sam": SAM, "looker": LOOKER, "stranger": STRANGER}
SHOP = System(name="shop", channel="C1", oncall=("ona",))
POLICY = Policy(
    people=(
        Person(key="ona", who=ONA, roles=frozenset({"oncall", "senior"})),
        Person(key="eng", who=ENG, roles=frozenset({"engineer"})),
        Person(key="sen", who=SEN, roles=frozenset({"senior"})),
        Person(key="sam", who=SAM, roles=frozenset({"senior"})),
        Person(key="looker", who=LOOKER),
    ),
    systems={"shop": SHOP},
)
LATER = T0 + timedelta(minutes=1)
REASON = "nobody answers and nothing is served"


def plan(tier: str = "change", **changes: object) -> Plan:
    proposal = draft(tier)
    base = Plan(
        id="PLN-1", action="rollback", subject=SUBJECT, request={"model": "intent"}, requested_by=ONA, requested_at=T0,
        state=PlanState.PENDING, draft=proposal, steps=proposal.steps, digest=digest_of("rollback", SUBJECT, proposal),
        needed=rule_for(SHOP, tier).needed, expires_at=T0 + timedelta(minutes=15),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def incident(of: Plan, severity: Severity = Severity.P0, state: IncidentState = IncidentState.OPEN) -> Incident:
    return Incident(
        id="INC-1", key="shop/intent", kind=IncidentKind.ALERT, state=state, epoch=1, severity=severity,
        severity_why="", subject=SUBJECT, title="it", symptom="it", channel="C1", opened_at=T0, started_at=T0,
        escalation=armed(SHOP, severity, T0), plans=(of,),
    )  # fmt: skip


def click(of: Plan, by: Who, **changes: object) -> ApproveClicked:
    return replace(ApproveClicked(plan_id=of.id, digest=of.digest, by=by), **changes)  # type: ignore[arg-type]


def policy(**changes: object) -> Policy:
    return replace(POLICY, systems={"shop": replace(SHOP, **changes)})  # type: ignore[arg-type]


@pytest.mark.parametrize(("tier", "severity", "who", "glass", "debts", "code"), [
    # a second person with a role
    ("light", "P3", "sen", "", 0, "ok"),
    ("change", "P3", "sen", "", 0, "ok"),
    ("change", "P3", "eng", "", 0, "ok"),
    ("dangerous", "P3", "sen", "", 0, "ok"),
    # wrong role, no role, unknown
    ("dangerous", "P0", "eng", "", 0, "not_allowed"),
    ("change", "P0", "looker", "", 0, "not_allowed"),
    ("change", "P0", "stranger", "", 0, "unknown_person"),
    ("change", "P0", "stranger", REASON, 0, "unknown_person"),
    # one's own request: on call, light tier, while it is urgent
    ("light", "P0", "ona", "", 0, "ok"),
    ("light", "P1", "ona", "", 0, "ok"),
    ("light", "P2", "ona", "", 0, "own_request"),
    ("light", "P0", "ona", REASON, 3, "ok"),
    ("change", "P0", "ona", "", 0, "own_request"),
    ("dangerous", "P0", "ona", "", 0, "own_request"),
    # break-glass: P0, on call, a reason, no debts, and never for two people
    ("change", "P0", "ona", REASON, 0, "break_glass"),
    ("change", "P1", "ona", REASON, 0, "no_break_glass"),
    ("change", "P0", "ona", "too short", 0, "no_reason"),
    ("change", "P0", "ona", " \n " * 20, 0, "no_reason"),
    ("change", "P0", "ona", REASON, 1, "unreviewed"),
    ("dangerous", "P0", "ona", REASON, 0, "no_break_glass"),
    # a tier nobody has heard of
    ("look", "P0", "sen", "", 0, "not_allowed"),
    ("", "P0", "sen", REASON, 0, "not_allowed"),
])  # fmt: skip
def test_the_decision_table(tier: str, severity: str, who: str, glass: str, debts: int, code: str) -> None:
    asked = plan(tier)

    verdict = may_approve(
        asked, incident(asked, Severity(severity)), click(asked, PEOPLE[who], break_glass=glass, debts=debts), POLICY,
        LATER,
    )  # fmt: skip

    assert verdict.code == code
    assert verdict.refused == (code not in {"ok", "break_glass"})
    assert not verdict.refused or verdict.text


@pytest.mark.parametrize(
    ("state", "code"), [(IncidentState.ACKNOWLEDGED, "ok"), (IncidentState.RESOLVED, "own_request")]
)
def test_one_s_own_request_counts_only_while_the_incident_is_open(state: IncidentState, code: str) -> None:
    asked = plan("light")

    assert may_approve(asked, incident(asked, Severity.P0, state), click(asked, ONA), POLICY, LATER).code == code


def test_glass_is_broken_on_call_only() -> None:
    asked = plan(requested_by=SEN)

    verdict = may_approve(asked, incident(asked), click(asked, SEN, break_glass=REASON), POLICY, LATER)

    assert verdict.code == "no_break_glass"


def test_an_empty_list_of_roles_lets_nobody_approve() -> None:
    closed = policy(approvals={"change": ApprovalRule(tier="change", needed=1, roles=frozenset(), break_glass=True)})
    asked = plan()

    for who in PEOPLE.values():
        assert may_approve(asked, incident(asked), click(asked, who, break_glass=REASON), closed, LATER).refused


def test_nobody_listed_means_nobody_may() -> None:
    nobody = replace(POLICY, people=())
    asked = plan()

    assert may_approve(asked, incident(asked), click(asked, SEN), nobody, LATER).code == "unknown_person"
    assert may_request(nobody, SHOP, SEN).code == "unknown_person"
    assert may_steer(nobody, SHOP, SEN).code == "unknown_person"


def test_the_refusal_of_one_s_own_request_names_who_can() -> None:
    asked = plan("dangerous")
    alone = replace(POLICY, people=POLICY.people[:2])

    verdict = may_approve(asked, incident(asked), click(asked, ONA), POLICY, LATER)
    lonely = may_approve(asked, incident(asked), click(asked, ONA), alone, LATER)

    assert verdict.text == "You asked for this change, so somebody else must approve it. Ask @sen, @sam."
    assert lonely.text.endswith("Nobody else is set up to approve: add people to the configuration.")


@pytest.mark.parametrize(("changes", "code"), [
    ({"digest": "f" * 64}, "outdated_card"),
    ({"digest": ""}, "outdated_card"),
    ({"locked_by": "PLN-7"}, "locked"),
    ({"frozen": "the sale is on"}, "frozen"),
])  # fmt: skip
def test_the_card_must_be_current_and_the_target_free(changes: dict[str, str], code: str) -> None:
    asked = plan()

    assert may_approve(asked, incident(asked), click(asked, SEN, **changes), POLICY, LATER).code == code


@pytest.mark.parametrize(
    ("after", "code"), [(timedelta(minutes=15) - timedelta(microseconds=1), "ok"), (timedelta(minutes=15), "expired")]
)
def test_approval_time_ends_on_the_dot(after: timedelta, code: str) -> None:
    asked = plan()

    assert may_approve(asked, incident(asked), click(asked, SEN), POLICY, T0 + after).code == code


def test_nobody_votes_twice() -> None:
    asked = plan("dangerous", votes=(Vote(by=SEN, at=T0),))

    assert may_approve(asked, incident(asked), click(asked, SEN), POLICY, LATER).code == "already_voted"
    assert may_approve(asked, incident(asked), click(asked, SAM), POLICY, LATER).code == "ok"


def test_two_people_are_two_people() -> None:
    assert not is_quorum(plan("dangerous"), POLICY)
    assert not is_quorum(plan("dangerous", votes=(Vote(by=SEN, at=T0),)), POLICY)
    assert not is_quorum(plan("dangerous", votes=(Vote(by=SEN, at=T0), Vote(by=SEN, at=LATER))), POLICY)
    assert is_quorum(plan("dangerous", votes=(Vote(by=SEN, at=T0), Vote(by=SAM, at=T0))), POLICY)


def test_the_stricter_of_card_and_rule_counts() -> None:
    one = (Vote(by=SEN, at=T0),)
    stricter = policy(approvals={"change": ApprovalRule(tier="change", needed=2, roles=frozenset({"senior"}))})
    looser = policy(approvals={"dangerous": ApprovalRule(tier="dangerous", needed=1, roles=frozenset({"senior"}))})
    none = policy(approvals={"change": ApprovalRule(tier="change", needed=0, roles=frozenset({"senior"}))})

    assert not is_quorum(plan(votes=one), stricter)
    assert not is_quorum(plan("dangerous", votes=one), looser)
    assert not is_quorum(plan(needed=0), none)


def start(
    asked: Plan, rules: Policy = POLICY, severity: Severity = Severity.P0, *, locked_by: str = "", frozen: str = ""
) -> str:
    return may_start(asked, incident(asked, severity), rules, LATER, locked_by=locked_by, frozen=frozen).code


def without(*names: str) -> Policy:
    return replace(POLICY, people=tuple(person for person in POLICY.people if person.key not in names))


def test_what_was_approved_starts() -> None:
    assert start(plan(votes=(Vote(by=SEN, at=T0),))) == "ok"
    assert start(plan("light", votes=(Vote(by=ONA, at=T0),))) == "ok"
    assert start(plan(votes=(Vote(by=ONA, at=T0, break_glass=REASON),))) == "ok"


def test_who_left_before_the_start_does_not_count() -> None:
    two = (Vote(by=SEN, at=T0), Vote(by=SAM, at=T0))

    assert start(plan("dangerous", votes=two)) == "ok"
    assert start(plan("dangerous", votes=two), without("sam")) == "approver_gone"
    assert start(plan(votes=two), without("sam")) == "ok"
    assert start(plan(votes=two), without("ona")) == "requester_gone"
    assert start(plan()) == "approver_gone"


def test_what_excused_one_s_own_approval_must_still_hold() -> None:
    own = plan("light", votes=(Vote(by=ONA, at=T0),))
    glass = plan(votes=(Vote(by=ONA, at=T0, break_glass=REASON),))
    off_call = policy(oncall=("eng",))

    assert start(own, severity=Severity.P2) == "approver_gone"
    assert start(own, off_call) == "approver_gone"
    assert start(glass, severity=Severity.P1) == "approver_gone"
    assert start(glass, off_call) == "approver_gone"


def test_lock_freeze_and_time_are_checked_once_more() -> None:
    voted = plan(votes=(Vote(by=SEN, at=T0),))

    assert start(voted, locked_by="PLN-2") == "locked"
    assert start(voted, frozen="the sale is on") == "frozen"
    assert start(replace(voted, expires_at=LATER)) == "expired"


@pytest.mark.parametrize(("who", "code"), [
    ("ona", "ok"), ("eng", "ok"), ("sen", "not_allowed"), ("looker", "not_allowed"), ("stranger", "unknown_person"),
])  # fmt: skip
def test_who_may_ask(who: str, code: str) -> None:
    assert may_request(POLICY, SHOP, PEOPLE[who]).code == code


def test_who_may_steer() -> None:
    strict = replace(SHOP, steer_roles=frozenset({"oncall"}))

    assert may_steer(POLICY, SHOP, LOOKER).code == "ok"
    assert may_steer(POLICY, SHOP, STRANGER).code == "unknown_person"
    assert may_steer(POLICY, strict, LOOKER).text == "Steering incidents of shop needs one of: oncall."
    assert may_steer(POLICY, strict, ONA).code == "ok"


@pytest.mark.parametrize(("severity", "minutes"), [("P0", 15), ("P1", 30), ("P2", 60), ("P3", 60)])
def test_a_plan_waits_as_long_as_its_severity_allows(severity: str, minutes: int) -> None:
    assert expiry(SHOP, Severity(severity)) == timedelta(minutes=minutes)
    assert expiry(replace(SHOP, expiry={Severity(severity): timedelta(minutes=3)}), Severity(severity)).seconds == 180


def test_the_strictest_tier_wins_and_an_unknown_one_is_the_strictest() -> None:
    assert worst_tier("light", "dangerous", "change") == "dangerous"
    assert worst_tier("light", "change") == "change"
    assert worst_tier("dangerous", "what?") == "what?"
    assert rule_for(SHOP, "what?").roles == frozenset()


# the same through the core


def test_a_reason_given_without_need_breaks_no_glass() -> None:
    asked = plan("light")

    decision = decide(incident(asked), click(asked, ONA, break_glass=REASON), LATER, POLICY)

    assert decision.why.code == "approved"
    assert decision.incident is not None
    assert decision.incident.plans[0].votes == (Vote(by=ONA, at=LATER),)
    assert not any(type(effect).__name__ in {"OpenDebt", "Page"} for effect in decision.effects)


def test_broken_glass_is_loud() -> None:
    asked = plan()

    decision = decide(incident(asked), click(asked, ONA, break_glass=REASON), LATER, POLICY)

    names = [type(effect).__name__ for effect in decision.effects]
    paged = {getattr(effect, "target", "") for effect in decision.effects} - {""}
    assert decision.why.code == "approved"
    assert names.count("OpenDebt") == 1
    assert paged == {"user:UENG", "user:USEN", "user:USAM"}


def test_a_refused_click_is_written_down() -> None:
    asked = plan()

    decision = decide(incident(asked), click(asked, STRANGER), LATER, POLICY)

    assert decision.incident == incident(asked)
    assert [(record.kind, record.by) for record in decision.effects] == [("refused.unknown_person", STRANGER)]  # type: ignore[union-attr]


def test_a_system_nobody_knows_has_no_approvers_of_its_own() -> None:
    ghost = plan(subject=Subject(system="ghost"))

    verdict = may_approve(ghost, incident(ghost), click(ghost, STRANGER), POLICY, LATER)

    assert verdict.code == "unknown_person"
