"""The stage: people, rules, one proposal, and the world as a value with what an observer has counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bot.effects import Decision
from bot.events import Event
from bot.model import (
    Draft,
    Incident,
    Level,
    Plan,
    Severity,
    Step,
    Subject,
    TimerKind,
    Who,
)
from bot.policy import ApprovalRule, Hold, Ladder, Person, Policy, SeverityRule, System

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


def minutes(number: float) -> timedelta:
    """A span."""
    return timedelta(minutes=number)


def policy_of(*, without_bob: bool = False, owners_are_asked: bool = False) -> Policy:
    """The rules of the world. Nobody is a manager, so P0's second level reaches nobody.

    `owners_are_asked`: after 20 minutes without progress, with 5 to answer; and P0's senior people hear of it until
    it is resolved.
    """
    levels = {
        Severity.P0: ((5, ("oncall",)), (30, ("role:manager",)), (60, ("role:senior",))),
        Severity.P1: ((15, ("oncall",)), (30, ("role:senior",))),
    }
    ladders = {
        severity: Ladder(
            levels=tuple(
                Level(number=n, after=minutes(at), targets=to, until_resolved=owners_are_asked and at == 60)
                for n, (at, to) in enumerate(rungs, 1)
            ),
            repeat_every=minutes(30),
            ack_timeout=minutes(20) if owners_are_asked else None,
            answer_within=minutes(5),
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
        quiet=minutes(5),
        reopen_within=minutes(30),
    )
    people = (
        Person(key="alice", who=ALICE, roles=frozenset({"oncall", "engineer"})),
        Person(key="bob", who=BOB, roles=frozenset() if without_bob else roles),
        Person(key="carol", who=CAROL, roles=roles),
    )
    return Policy(people=people, systems={"shop": shop})


POLICY = policy_of()
POLICY_WITHOUT_BOB = policy_of(without_bob=True)
POLICY_WITH_QUESTIONS = policy_of(owners_are_asked=True)


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
        watch_for=minutes(10),
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
    kit: frozenset[str] = frozenset()  # what may happen besides: questions, holds, listeners; then nobody plans
    held_until: datetime | None = None  # planned work was announced until then
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
        rules = POLICY_WITHOUT_BOB if self.bob_left else POLICY
        if "questions" in self.kit:
            rules = POLICY_WITH_QUESTIONS
        if self.held_until is None:
            return rules
        return replace(rules, holds=(Hold(system="shop", until=self.held_until, why="patching"),))

    @property
    def is_held(self) -> bool:
        """Whether planned work is under way."""
        return self.held_until is not None and self.now < self.held_until

    @property
    def plan(self) -> Plan | None:
        """The newest plan."""
        return self.incident.plans[-1] if self.incident and self.incident.plans else None


def hold(invariant: str, holds: bool, text: str) -> None:
    """Raise Broken unless it holds."""
    if not holds:
        raise Broken(invariant, text)
