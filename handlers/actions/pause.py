"""pause: hold a Deployment's roll-outs back; its pods go on serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.model import Draft, Plan
from bot.policy import System
from bot.ports import Refusal, Scene, Seen
from handlers.actions._pausing import Way

_WAY = Way(verb="pause", inverse="resume", value=True, title="Pause roll-outs of", already="paused already")


class Pause:
    """The action as the registry of handlers knows it."""

    name = "pause"
    usage = "pause <service>"
    summary = "hold roll-outs back; the pods go on serving"

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


ACTION = Pause()
