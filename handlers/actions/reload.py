"""reload: make the server load what the alias points at, and prove that it did. The alias stays where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.model import Draft, Plan
from bot.policy import System
from bot.ports import Refusal, Scene, Seen
from handlers._look import shown
from handlers.actions import _serving
from handlers.actions._target import READY, blast, example_model, facts, read_target, unknown_model, warnings_of

USAGE = "reload <model>"


class Reload:
    """The action as the registry of handlers knows it."""

    name = "reload"
    usage = USAGE
    summary = "make the server load what the alias points at, and prove it"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The model. Names come from the profile; everything else is refused."""
        if len(words) != 1:
            return Refusal(why=f"I read `{USAGE}`, for example `reload {example_model(system)}`.")
        if system.model(words[0]) is None:
            return Refusal(why=unknown_model(words[0], system))
        return words[0], {"model": words[0]}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read alias, server and registry. Raises Foreign when the registry is silent."""
        target = read_target(scene)
        if isinstance(target, Refusal):
            return target
        model, to = target.model, target.current
        version = target.find(to)
        if version is None or version.status != READY:
            status = version.status if version is not None else "not registered"
            return Refusal(
                why=f"{model.alias} of {model.name} points at {shown(to)}, which is {status}: the server could not "
                f"load it. Use `rollback {model.name} to <version>`."
            )
        args = {
            "model": model.name, "alias": model.alias, "from": to, "to": to, "served": target.served,
            "loaded_at": target.loaded_at, "signals": "",
        }  # fmt: skip
        served = shown(target.served) if target.served else _serving.SILENT
        if target.served == to:
            because = f"{shown(to)} is served already; this loads it once more."
        else:
            because = f"{model.alias} points at {shown(to)}, the server says: {served}."
        return Draft(
            title=f"Reload {model.name} ({shown(to)})", from_=served, to=shown(to), because=because,
            steps=_serving.steps(scene, model, args, moves=False), inverse={},
            inverse_text="none: a reload is not undone; roll back if the loaded version is bad",
            fingerprint=facts(target, to), args=args, tier="light", blast=blast(scene, model),
            warnings=tuple(warnings_of(target)), watch_for=model.watch_for,
        )  # fmt: skip

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """Alias, served version and the version's status, read again. Raises Foreign when the registry is silent."""
        target = read_target(scene)
        return (
            {}
            if isinstance(target, Refusal)
            else facts(target, plan.draft.args["to"] if plan.draft is not None else "")
        )

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Make the step's call, or look at its proof."""
        return _serving.perform(scene, plan, step)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for the step's effect."""
        return _serving.observe(scene, plan, step)


ACTION = Reload()
