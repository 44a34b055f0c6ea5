"""The same world, driven at random and deeper than a walk can go. The seed and what was reached are printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from bot import events as ev
from bot.decide import decide
from bot.effects import Decision, SetTimer
from bot.events import Event
from bot.model import Finding, Incident, Severity
from bot.policy import Policy
from tests.core.observer import check_standing
from tests.core.stage import ALICE, BOB, MALLORY, Broken, Move, World
from tests.core.world import happen, moves, tell

EXAMPLES, STEPS = 250, 60
PEOPLE = st.sampled_from([ALICE, BOB, MALLORY])
FORWARD = (  # the most advanced first
    ("step", "1", "done"), ("step", "0", "done"), ("reread", "0", "same"), ("draw", "0", "drawn"),
    ("approve", "bob", ""), ("request",), ("fire",),
)  # fmt: skip


class Life(RuleBasedStateMachine):
    """One world; each rule lets one thing happen in it. The world itself holds every promise."""

    reached: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @staticmethod
    def core(incident: Incident | None, event: Event, now: datetime, policy: Policy) -> Decision:
        """What is tried out."""
        return decide(incident, event, now, policy)

    @rule(data=st.data())
    def anything(self, data: st.DataObject) -> None:
        """One of the moves of the alphabet."""
        self._move(data.draw(st.sampled_from(sorted(moves(self.world)))))

    @rule()
    def progress(self) -> None:
        """What brings a plan on; at random alone it hardly gets anywhere."""
        possible = {move[:1] + move[2:]: move for move in sorted(moves(self.world), reverse=True)}
        forward = next((possible[what] for what in FORWARD if what in possible), None)
        if forward:
            self._move(forward)

    @rule(by=PEOPLE, to=PEOPLE)
    def assign(self, by: object, to: object) -> None:
        """Somebody hands it to somebody."""
        self._tell(ev.Assigned(by=by, to=to))  # type: ignore[arg-type]

    @rule(severity=st.sampled_from(Severity))
    def evidence(self, severity: Severity) -> None:
        """A diagnostic answers."""
        self._tell(ev.FindingReported(finding=Finding(diagnostic="pods", sentence="some answer", severity=severity)))

    @rule(by=PEOPLE, severity=st.sampled_from([Severity.P0, Severity.P1]))
    def severity(self, by: object, severity: Severity) -> None:
        """A person sets the severity."""
        self._tell(ev.SeverityChanged(by=by, to=severity, reason="so it is"))  # type: ignore[arg-type]

    @rule()
    def audit(self) -> None:
        """The auditor asks for a repair that nothing needs."""
        self._tell(ev.Unattended())

    @rule(by=PEOPLE)
    def ask_and_note(self, by: object) -> None:
        """Words only."""
        self._tell(ev.DiagnosticsAsked(by=by, names=()))  # type: ignore[arg-type]
        self._tell(ev.Noted(by=by, text="hm"))  # type: ignore[arg-type]

    @invariant()
    def stands(self) -> None:
        """There is always a live next step."""
        if self.world.incident is not None:
            check_standing(self.world)

    def _move(self, move: Move) -> None:
        self.world = happen(self.world, move, self.core)
        self._note()

    def _tell(self, event: Event) -> None:
        if self.world.incident is not None:
            self.world = tell(self.world, event, self.core, (type(event).__name__,))
            self.world = replace(self.world, plans=len(self.world.incident.plans) if self.world.incident else 0)
            self._note()

    def _note(self) -> None:
        incident = self.world.incident
        if incident is not None:
            self.reached[incident.state] += 1
            self.reached.update(str(plan.state) for plan in incident.plans)


def live(machine: type[Life], examples: int = EXAMPLES, *, shrinks: bool = True) -> None:
    """Play the lives. `--hypothesis-profile search --hypothesis-seed 7` looks for new ones."""
    searching = settings.get_current_profile_name() == "search"
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None, derandomize=not searching, database=None,
            suppress_health_check=list(HealthCheck), print_blob=False,
            phases=[*Phase] if shrinks else [Phase.generate],
        ),
    )  # fmt: skip


def test_a_random_life_keeps_every_promise(record_property: Callable[[str, object], None]) -> None:
    Life.reached.clear()

    live(Life)

    told = ", ".join(f"{state} {count}" for state, count in sorted(Life.reached.items()))
    lives = f"core at random: {EXAMPLES} lives of up to {STEPS} events, seed derived from the test"
    record_property("figure", f"{lives}; reached {told}")
    assert {"acknowledged", "snoozed", "resolved", "running", "watching", "verified"} <= Life.reached.keys()


class LifeAroundTheLadder(Life):
    """With owners who are asked, planned work and listeners all at once, which a walk takes one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(kit=frozenset({"questions", "holds", "listeners"}))


def test_a_random_life_around_the_ladder_keeps_every_promise(record_property: Callable[[str, object], None]) -> None:
    Life.reached.clear()

    live(LifeAroundTheLadder, 150)

    told = ", ".join(f"{state} {count}" for state, count in sorted(Life.reached.items()))
    record_property("figure", f"core around the ladder at random: reached {told}")
    assert {"open", "acknowledged", "snoozed", "resolved"} <= Life.reached.keys()


class ForgetfulLife(Life):
    """A core that lets a snoozed incident sleep for ever."""

    @staticmethod
    def core(incident: Incident | None, event: Event, now: datetime, policy: Policy) -> Decision:
        """The real decision, without the timer that ends a snooze."""
        decision = decide(incident, event, now, policy)
        if not isinstance(event, ev.Snoozed):
            return decision
        return replace(decision, effects=tuple(one for one in decision.effects if not isinstance(one, SetTimer)))


def test_a_random_life_can_fail() -> None:
    with pytest.raises(Broken, match="snoozed, and nothing ends it"):
        live(ForgetfulLife, shrinks=False)  # that it is found is enough; the shortest way to it is for people
