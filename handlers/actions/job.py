"""job: run a CronJob of the profile at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from bot.model import Draft, Plan
from bot.policy import System
from bot.ports import Refusal, Scene, Seen
from handlers._look import listed
from handlers.actions import _jobs

USAGE = "job <cronjob>"


class RunJob:
    """The action as the registry of handlers knows it."""

    name = "job"
    usage = USAGE
    summary = "run a CronJob at once"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The job, as the profile calls it."""
        names = [one.name for one in system.jobs]
        if len(words) != 1:
            return Refusal(why=f"I read `{USAGE}`, for example `job {names[0] if names else '<cronjob>'}`.")
        if words[0] not in names:
            near = difflib.get_close_matches(words[0], names, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}?" if near else f"{system.name} has {listed(names) or 'none'}."
            return Refusal(why=f"{system.name} has no job “{words[0][:60]}”. {hint}")
        trained = [one.name for one in system.models if one.retrain == words[0] and system.training(words[0]) is None]
        if trained:  # that way would pass by the lock that drift puts on retraining
            text = f"{words[0]} trains {listed(trained)}, and what is known of its data is asked first."
            return Refusal(why=f"{text} Say `retrain {trained[0]}`.")
        return words[0], {"job": words[0]}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the CronJob. Raises Foreign when the cluster is silent."""
        job = _jobs.job_of(scene, request["job"])
        return _jobs.draw(scene, job, self.name, f"Run job {job.name} now", "you asked for it.")

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """The CronJob's facts, read again."""
        return _jobs.fingerprint(scene, _jobs.job_of(scene, plan.request["job"]))

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Make the Job, or look whether it has ended."""
        return _jobs.see(scene, _jobs.job_of(scene, plan.request["job"]), plan, step, change=True)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for the Job, or for its end."""
        return _jobs.see(scene, _jobs.job_of(scene, plan.request["job"]), plan, step, change=False)


ACTION = RunJob()
