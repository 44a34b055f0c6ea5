"""retrain: train a model anew, by the job that its profile names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.model import Draft, Plan
from bot.policy import System
from bot.ports import Refusal, Scene, Seen
from handlers.actions import _jobs
from handlers.actions._target import example_model, unknown_model

USAGE = "retrain <model>"


class Retrain:
    """The action as the registry of handlers knows it."""

    name = "retrain"
    usage = USAGE
    summary = "train a model anew; nothing is put into production by it"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The model, when its profile says how it is trained."""
        if len(words) != 1:
            return Refusal(why=f"I read `{USAGE}`, for example `retrain {example_model(system)}`.")
        model = system.model(words[0])
        if model is None:
            return Refusal(why=unknown_model(words[0], system))
        if not model.retrain:
            return Refusal(
                why=f"The profile of {model.name} does not say how it is trained. Name a job under `retrain`."
            )
        return model.name, {"model": model.name, "job": model.retrain}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the CronJob. Raises Foreign when the cluster is silent."""
        because = "you asked for it. The result is a new version; `rollback` and `promote` decide what serves."
        return _jobs.draw(scene, _jobs.job_of(scene, request["job"]), self.name, f"Retrain {request['model']}", because)

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """The CronJob's facts, read again."""
        return _jobs.fingerprint(scene, _jobs.job_of(scene, plan.request["job"]))

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Make the Job, or look whether it has ended."""
        return _jobs.see(scene, _jobs.job_of(scene, plan.request["job"]), plan, step, change=True)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for the Job, or for its end."""
        return _jobs.see(scene, _jobs.job_of(scene, plan.request["job"]), plan, step, change=False)


ACTION = Retrain()
