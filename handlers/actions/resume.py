"""resume: go on with a Deployment's roll-outs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.model import Draft, Plan
from bot.policy import System
from bot.ports import Refusal, Scene, Seen
from handlers.actions._pausing import Way

_WAY = Way(verb="resume", inverse="pause", value=False, title="Resume roll-outs of", already="not paused")


class Resume:
    """The action as the registry of handlers knows it."""

    name = "resume"
    usage = "resume <service>"
    summary = "go on with roll-outs"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The service."""
        return _WAY.parse(words, system)

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the Deployment. Raises Foreign when the cluster is silent."""
        return _WAY.draw(scene)

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """The Deployment's facts, read again."""
        return _WAY.fingerprint(scene)

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Write it, or look at a proof."""
        return _WAY.see(scene, plan, step, change=True)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for it."""
        return _WAY.see(scene, plan, step, change=False)


ACTION = Resume()
