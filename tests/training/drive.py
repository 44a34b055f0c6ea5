"""A retrain, driven as the worker drives it: drawn, read again, started, followed until its plan has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bot.model import SYSTEM, Draft, Outcome, Plan, StepState, Subject
from bot.policy import ModelProfile, System
from bot.policy.training import TrainingProfile
from bot.ports import Foreign, Refusal, Scene, Seen
from bot.registry import load

MODEL = "rank"
POLL_S = 0.05
Wanted = Callable[[Seen], bool]


@dataclass
class Driver:
    """One system with one training; `backends` holds what runs it, and perhaps a registry."""

    training: TrainingProfile
    backends: Mapping[str, object]
    registry: str = ""
    seen: list[Seen] = field(default_factory=list)
    plan: Plan | None = None

    def __post_init__(self) -> None:
        self.action = load().actions["retrain"]

    @property
    def scene(self) -> Scene:
        model = ModelProfile(name=MODEL, service="ranker", registry=self.registry, retrain=self.training.name)
        system = System(name="shop", services=("ranker",), models=(model,), trainings=(self.training,))
        return Scene(now=datetime.now(UTC), system=system, model=model, service="ranker", backends=self.backends)

    def ask(self, said: str = f"retrain {MODEL}", plan_id: str = "PLN-1") -> Draft | Refusal:
        """Parse and draw, and make the plan that would be approved."""
        parsed = self.action.parse(said.split()[1:], self.scene.system)
        if isinstance(parsed, Refusal):
            return parsed
        drawn = self.action.draw(self.scene, parsed[1])
        if isinstance(drawn, Draft):
            self.plan = Plan(
                id=plan_id, action="retrain", subject=Subject(system="shop", service="ranker", model=MODEL),
                request=parsed[1], requested_by=SYSTEM, requested_at=datetime(2026, 3, 4, tzinfo=UTC), draft=drawn,
                steps=drawn.steps, digest="d", started_at=datetime.now(UTC),
            )  # fmt: skip
        return drawn

    def drawn(self, said: str = f"retrain {MODEL}", plan_id: str = "PLN-1") -> Draft:
        """The same where a refusal would be a surprise."""
        found = self.ask(said, plan_id)
        assert isinstance(found, Draft), found
        return found

    def refused(self, said: str = f"retrain {MODEL}") -> str:
        """Why it was refused."""
        found = self.ask(said)
        assert isinstance(found, Refusal), found
        return found.why

    def fingerprint(self) -> dict[str, str]:
        """The facts, read again."""
        assert self.plan is not None
        return self.action.fingerprint(self.scene, self.plan)

    def perform(self) -> Seen:
        """One go at the next step."""
        return self._step(self.action.perform)

    def observe(self) -> Seen:
        """One look at the next step, as whoever finds it after a crash takes."""
        return self._step(self.action.observe)

    def follow(self, *, within_s: float = 30, until: Wanted = lambda seen: False) -> Seen:
        """Go on as the worker does until the plan has ended, or `until` likes what is seen; the last thing seen."""
        deadline = time.monotonic() + within_s
        while True:
            seen = self.perform()
            ended = seen.outcome is not Outcome.NOT_YET and (
                seen.outcome is not Outcome.DONE or self.plan is None or self.plan.next_step() is None
            )
            if ended or until(seen):
                return seen
            assert time.monotonic() < deadline, f"not ended within {within_s} s: {seen}"
            time.sleep(POLL_S)

    def _step(self, call: Callable[[Scene, Plan, str], Seen]) -> Seen:
        plan = self.plan
        assert plan is not None
        index = plan.next_step()
        assert index is not None
        try:
            seen = call(self.scene, plan, plan.steps[index].name)
        except Foreign as problem:
            if not plan.steps[index].proves:
                raise
            seen = Seen(outcome=Outcome.NOT_YET, detail=problem.sentence)  # as the worker: proof may come later
        self.seen.append(seen)
        if seen.outcome is Outcome.DONE:
            done = replace(plan.steps[index], state=StepState.DONE, ended_at=datetime.now(UTC))
            self.plan = replace(plan, steps=(*plan.steps[:index], done, *plan.steps[index + 1 :]))
        return seen

    @property
    def told(self) -> list[str]:
        """What the message said, each once, in order."""
        return list(dict.fromkeys(one.detail for one in self.seen))
