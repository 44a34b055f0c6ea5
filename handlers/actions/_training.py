"""A training that Airflow, docker compose or a command runs: proposed, started once, followed to its end.

The run's name follows from the plan, and each backend promises that one name is one run. So whoever tries again after a
crash finds the run that is there. What cannot be told any more is called unknown; it is never started a second time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from bot.model import Draft, Outcome, Plan, Step, StepState
from bot.policy import ModelProfile
from bot.policy.training import NEXT_STEPS, TITLES, TrainingProfile, judge
from bot.ports import Foreign, ModelVersion, Ready, Refusal, Run, Scene, Seen, Trainings
from handlers._look import length, profile_of, registry_of, shown
from handlers._pods import redacted
from handlers.actions._change import PASSING

START, ENDED, REGISTERED = "start_training", "prove_ended", "prove_registered"
ARGUMENT = "arg."  # in front of an argument's name in a request
_NAME_CAP = 40  # of a training's name inside the name of a run
_LINE_CAP = 140  # of a log's line inside a sentence
_TASK_CAP = 120


def draw(scene: Scene, training: TrainingProfile, request: Mapping[str, str]) -> Draft | Refusal:
    """Ask whether it could run, and propose. Raises Foreign when that cannot be told."""
    model = profile_of(scene)
    values, port = values_of(request), _port(scene, training)
    ready = port.ready(training, values)
    if ready.refusal:
        return Refusal(why=ready.refusal)
    before = _newest(scene, model) if _proves_version(training, model) else ""
    told = f" with {', '.join(f'{name} = {value}' for name, value in values.items())}" if values else ""
    return Draft(
        title=f"Retrain {model.name}{told}", from_="", to=ready.what,
        because="you asked for it. The result is a new version; `promote` decides what serves.",
        steps=_steps(training, model, ready, before), inverse={},
        inverse_text="none: a training only adds a version, and what it wrote elsewhere is not undone",
        fingerprint=dict(ready.facts),
        args={"training": training.name, "before": before, "place": port.place, **_named(values)},
        tier="light", blast=f"{ready.what} ({scene.system.name}, {scene.system.environment})",
        warnings=ready.warnings, watch_for=training.watch_for,
    )  # fmt: skip


def fingerprint(scene: Scene, training: TrainingProfile, plan: Plan) -> dict[str, str]:
    """The training's facts, read again. Raises Foreign."""
    return dict(_port(scene, training).ready(training, values_of(plan.request)).facts)


def perform(scene: Scene, training: TrainingProfile, plan: Plan, step: str) -> Seen:
    """Start it, or look at a proof. Raises Foreign where looking again is all there is to do."""
    if step != START:
        return observe(scene, training, plan, step)
    who = plan.requested_by.name or plan.requested_by.user_id
    values = values_of(plan.draft.args if plan.draft is not None else {})
    try:
        _port(scene, training, plan).start(
            training, run_key(training, plan), values, f"plan {plan.id}, asked for by {who}"
        )
    except Foreign as problem:
        if problem.happened is False and problem.reason in PASSING:
            return Seen(outcome=Outcome.NOT_YET, detail=f"{problem.sentence} Nothing was started.")
        raise
    return observe(scene, training, plan, step)


def observe(scene: Scene, training: TrainingProfile, plan: Plan, step: str) -> Seen:
    """Look for the run, its end, or the version it made. Raises Foreign when that cannot be told."""
    if step == REGISTERED:
        return _registered(scene, plan)
    key = run_key(training, plan)
    run = _port(scene, training, plan).run(training, key)
    if step == START:
        if run is None:
            return Seen(outcome=Outcome.NOT_YET, detail=f"There is no run {key} yet.")
        return Seen(outcome=Outcome.DONE, detail=f"Run {key} is there.")
    if run is None:
        text = f"Run {key} was started and is gone: somebody removed it. Look there before you retrain again."
        return Seen(outcome=Outcome.UNKNOWN, detail=text)
    return _followed(scene, training, plan, run)


def run_key(training: TrainingProfile, plan: Plan) -> str:
    """The same for every try of a plan, and of no other plan, whatever database it is in."""
    unique = hashlib.sha256(f"{plan.id}\x1f{plan.digest}\x1f{plan.requested_at.isoformat()}".encode()).hexdigest()[:12]
    return f"mlops-{training.name[:_NAME_CAP].rstrip('-._')}-{unique}"


def read_values(training: TrainingProfile, words: list[str]) -> dict[str, str] | str:
    """The arguments of a request, defaults included, or why a word is refused."""
    given: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        argument = training.argument(name)
        if not sign or argument is None:
            known = ", ".join(f"{one.name}=…" for one in training.arguments) or "no arguments"
            return f"I cannot use “{word[:60]}”; {training.name} takes {known}."
        fault = argument.fault(value)
        if fault or not value:
            return f"{name}={value[:60]} is refused: {fault or 'give a value'}."
        if name in given:
            return f"“{name}” is given twice; keep one."
        given[name] = value
    filled = {one.name: given.get(one.name, one.default) for one in training.arguments}
    missing = [name for name, value in filled.items() if not value]
    if missing:
        return f"{training.name} needs {', '.join(f'{name}=…' for name in missing)}."
    return _named(filled)


def values_of(named: Mapping[str, str]) -> dict[str, str]:
    """The training's arguments out of a request's or a plan's."""
    return {name.removeprefix(ARGUMENT): value for name, value in named.items() if name.startswith(ARGUMENT)}


def _named(values: Mapping[str, str]) -> dict[str, str]:
    return {f"{ARGUMENT}{name}": value for name, value in values.items()}


def _port(scene: Scene, training: TrainingProfile, plan: Plan | None = None) -> Trainings:
    """What runs it. Foreign when it is not there, or when the plan's run can only be told of by another machine."""
    port = cast("Trainings | None", scene.backends.get(training.backend))
    if port is None:
        text = f"The profile of {scene.system.name} has no backend “{training.backend}”, which runs {training.name}."
        raise Foreign("invalid", f"{text} Add it to the system's system.yaml.", happened=False)
    place = plan.draft.args.get("place", "") if plan is not None and plan.draft is not None else ""
    if place not in ("", port.place):
        raise Foreign("unreachable", f"The run belongs to {place}, and this is {port.place}: look there.")
    return port


def _steps(training: TrainingProfile, model: ModelProfile, ready: Ready, before: str) -> tuple[Step, ...]:
    wait = length(training.watch_for)
    found = [
        Step(name=START, sentence=ready.start),
        Step(name=ENDED, sentence=f"Proof: watch the run until it has ended well (up to {wait}).", proves=True),
    ]
    if _proves_version(training, model):
        than = f"newer than {shown(before)}" if before else "of it"
        text = f"Proof: the registry “{model.registry}” has a version {than}, ready to be served."
        found.append(Step(name=REGISTERED, sentence=text, proves=True))
    return tuple(found)


def _proves_version(training: TrainingProfile, model: ModelProfile) -> bool:
    return training.registers and bool(model.registry)


def _versions(scene: Scene, model: ModelProfile) -> list[ModelVersion]:
    """Newest first; none when the registry does not know the model yet."""
    try:
        return list(registry_of(scene, model).versions(model.name))
    except Foreign as problem:
        if problem.reason == "not_found":
            return []
        raise


def _newest(scene: Scene, model: ModelProfile) -> str:
    found = _versions(scene, model)
    return found[0].version if found else ""


def _registered(scene: Scene, plan: Plan) -> Seen:
    model = profile_of(scene)
    before = plan.draft.args.get("before", "") if plan.draft is not None else ""
    fresh = [one for one in _versions(scene, model) if _is_newer(one.version, before)]
    if not fresh:
        than = f"newer than {shown(before)}" if before else f"of {model.name}"
        text = f"The run ended well, but the registry has no version {than}: nothing came of it."
        hint = "If a gate refuses without failing the run, its log says so; a run that registers elsewhere needs"
        return Seen(outcome=Outcome.FAILED, detail=f"{text} {hint} `registers: false` in the profile.")
    new = fresh[0]
    if new.status != "READY":
        return Seen(outcome=Outcome.NOT_YET, detail=f"{shown(new.version)} is registered and still {new.status}.")
    text = f"{shown(new.version)} is registered. It serves nobody yet: `promote {model.name} {new.version}` would."
    return Seen(outcome=Outcome.DONE, detail=text)


def _is_newer(version: str, than: str) -> bool:
    """By number where both are numbers. A registry that gives other names gives no order, so any other name counts."""
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than


def _followed(scene: Scene, training: TrainingProfile, plan: Plan, run: Run) -> Seen:
    took = _took(scene, plan, run)
    match run.state:
        case "succeeded":
            return Seen(outcome=Outcome.DONE, detail=f"It ended well after {length(took)}.")
        case "failed":
            return Seen(outcome=Outcome.FAILED, detail=failure(training, run, took))
        case "lost":
            return Seen(outcome=Outcome.UNKNOWN, detail=f"{run.trouble} {run.where}".strip())
        case "waiting" if took > training.queue_for:
            text = f"It has waited for {length(took)} and has not begun. {run.trouble or 'Is anything free to run it?'}"
            return Seen(outcome=Outcome.UNKNOWN, detail=f"{text} It may still begin: look there, or cancel it there.")
        case "waiting":
            text = f"Waits to begin, {coarse(took)} so far."
        case _:
            text = f"Runs, {coarse(took)} so far."
            if run.task:
                text = f"Runs, {coarse(took)} so far: {_clean(run.task, _TASK_CAP)}."
    return Seen(outcome=Outcome.NOT_YET, detail=f"{text} {run.trouble}".strip())


def failure(training: TrainingProfile, run: Run, took: timedelta) -> str:
    """Why it failed and what to do next, in a few sentences."""
    return f"Failed after {length(took)}: {verdict(training, run)} {run.where}".strip()


def verdict(training: TrainingProfile, run: Run) -> str:
    """The cause, the line of the log that says so, and the next step."""
    cause, line = judge(
        training, exit_code=run.exit_code, is_out_of_memory=run.is_out_of_memory, is_over_time=run.is_over_time,
        log=run.log,
    )  # fmt: skip
    code = "" if run.exit_code is None else f" ({exit_words(run.exit_code)})"
    told = f" Its log: “{_clean(line, _LINE_CAP)}”." if line else ""
    return f"{TITLES[cause]}{code}.{told} {NEXT_STEPS[cause]}"


def exit_words(code: int) -> str:
    """As in: exit code 3, or: signal 9."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def coarse(span: timedelta) -> str:
    """A growing span in steps that people care about, so that a message is not edited for every second."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 60:
        return "under 10 s" if seconds < 10 else f"{seconds // 10 * 10:.0f} s"
    minutes = seconds // 60
    if minutes < 10:
        return f"{minutes:.0f} min"
    return f"{minutes // 5 * 5:.0f} min" if minutes < 120 else f"{minutes // 60:.0f} h"


def _took(scene: Scene, plan: Plan, run: Run) -> timedelta:
    started = next((step.ended_at for step in plan.steps if step.name == START and step.state is StepState.DONE), None)
    since = run.began_at or started or scene.now
    return max(timedelta(0), (run.ended_at or scene.now) - since)


_NOISE = re.compile(r"\s+")


def _clean(text: str, cap: int) -> str:
    """A stranger's line: secrets out, one line, capped."""
    line = _NOISE.sub(" ", redacted(text[: cap * 8])).strip().rstrip(".")
    return line if len(line) <= cap else f"{line[: cap - 1]}…"
