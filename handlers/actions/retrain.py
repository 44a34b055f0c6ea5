"""retrain: train a model anew, by the training or the job that its profile names.

A job is a CronJob of a cluster; a training is an Airflow DAG, a docker compose service or a command. A model names one
of them under `retrain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.model import Draft, Plan
from bot.policy import System
from bot.policy.training import TrainingProfile
from bot.ports import Foreign, Refusal, Scene, Seen
from handlers.actions import _drift_lock, _jobs, _training
from handlers.actions._target import example_model, unknown_model

USAGE = "retrain <model> [name=value …]"


class Retrain:
    """The action as the registry of handlers knows it."""

    name = "retrain"
    usage = USAGE
    summary = "train a model anew; nothing is put into production by it"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The model and its arguments, when its profile says how it is trained and lets them through."""
        if not words:
            return Refusal(why=f"I read `{USAGE}`, for example `retrain {example_model(system)}`.")
        model = system.model(words[0])
        if model is None:
            return Refusal(why=unknown_model(words[0], system))
        if not model.retrain:
            text = f"The profile of {model.name} does not say how it is trained."
            return Refusal(why=f"{text} Name a training or a job under `retrain`.")
        training = system.training(model.retrain)
        if training is None:
            if words[1:]:
                return Refusal(why=f"A job takes no arguments. I read `retrain {model.name}` here.")
            return model.name, {"model": model.name, "job": model.retrain}
        values = _training.read_values(training, list(words[1:]))
        if isinstance(values, str):
            return Refusal(why=values)
        return model.name, {"model": model.name, "training": training.name, **values}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read what would run. Raises Foreign when it is silent. Refused while the data are probably broken."""
        training = _training_of(scene, request)
        if training is not None:
            return _drift_lock.guarded(scene, _training.draw(scene, training, request))
        because = "you asked for it. The result is a new version; `rollback` and `promote` decide what serves."
        job, title = _jobs.job_of(scene, request["job"]), f"Retrain {request['model']}"
        return _drift_lock.guarded(scene, _jobs.draw(scene, job, self.name, title, because))

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """What the preview relied on, read again; what is known of the data's drift is part of it."""
        training = _training_of(scene, plan.request)
        if training is not None:
            return _drift_lock.facts(scene, _training.fingerprint(scene, training, plan))
        return _drift_lock.facts(scene, _jobs.fingerprint(scene, _jobs.job_of(scene, plan.request["job"])))

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Start it, or look whether it has ended."""
        training = _training_of(scene, plan.request)
        if training is not None:
            return _training.perform(scene, training, plan, step)
        return _jobs.see(scene, _jobs.job_of(scene, plan.request["job"]), plan, step, change=True)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for the run, or for its end."""
        training = _training_of(scene, plan.request)
        if training is not None:
            return _training.observe(scene, training, plan, step)
        return _jobs.see(scene, _jobs.job_of(scene, plan.request["job"]), plan, step, change=False)


def _training_of(scene: Scene, request: Mapping[str, str]) -> TrainingProfile | None:
    """The training that was asked for, None for a job. Foreign("not_found") when the profile lists it no more."""
    name = request.get("training", "")
    found = scene.system.training(name) if name else None
    if name and found is None:
        text = f"The profile of {scene.system.name} lists no training {name} any more. Ask again."
        raise Foreign("not_found", text, happened=False)
    return found


ACTION = Retrain()
