"""The steps that change what is served, and their proofs: move the alias, reload the server, ask it, ask the metrics.

Shared by every action that ends with another version being served. Each step takes what it needs from the plan's
resolved arguments, so that it does exactly what was previewed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from bot.model import Outcome, Plan, Step
from bot.policy import Bound, ModelProfile
from bot.ports import Foreign, Reloads, Scene, Seen
from handlers._look import (
    length,
    limit,
    listed,
    metrics_of,
    number,
    profile_of,
    registry_of,
    reloader_of,
    server_of,
    shown,
    word,
    worst,
)
from handlers._pods import redacted
from handlers.actions import _pointer, _smoke
from handlers.actions._pointer import PASSING

MOVE, RECORD, RELOAD = "move_alias", "move_record", "reload_server"
SERVED, METRIC = "prove_served", "prove_metric"
SILENT = "no answer"  # stands in a fingerprint for a server that could not say what it serves
_RANGE = re.compile(r"\[(\d+)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def steps(scene: Scene, model: ModelProfile, args: Mapping[str, str], *, moves: bool) -> tuple[Step, ...]:
    """The plan's steps with the sentences an approver reads. `moves` is False when the alias stays where it is."""
    old, new, alias = shown(args["from"]), shown(args["to"]), args["alias"]
    found = []
    if moves:
        text = f"Point {alias} of {model.name} at {new} in the registry “{model.registry}”, only if it is still {old}."
        found.append(Step(name=MOVE, sentence=text))
    if moves and model.record is not None:
        was = args["record_from"] or "nothing"
        text = f"Set {model.record.pointer} of {model.name} to {args['record_to']} in “{model.record.backend}”, "
        found.append(Step(name=RECORD, sentence=f"{text}only if it still says {was}."))
    reloader = reloader_of(scene, model)
    own = f"Reload {model.name} on the model server “{model.server}”."
    found.append(Step(name=RELOAD, sentence=own if reloader is None else reloader[0].how(reloader[1])))
    wait = length(model.watch_for)
    text = f"Proof: the model server itself reports {new} (up to {wait})."
    found.append(Step(name=SERVED, sentence=text, proves=True))
    found += _smoke.steps(scene, model) if moves else ()
    wanted = _watched(model, args)
    if moves and wanted and model.metrics:  # loading the same version again promises nothing about its quality
        told = listed(f"{word(bound)} {limit(bound)}" for bound in wanted)
        text = f"Proof: “{model.metrics}” shows {told}, in values from after the reload."
        found.append(Step(name=METRIC, sentence=text, proves=True))
    return tuple(found)


def perform(scene: Scene, plan: Plan, step: str) -> Seen:
    """Make the step's call, or look at its proof. Foreign comes through where looking again is all there is to do."""
    match step:
        case "move_alias" | "move_record":
            return _pointer.move(_move_of(scene, plan, step))
        case "reload_server":
            return _reload(scene, plan)
        case _:
            return observe(scene, plan, step)


def observe(scene: Scene, plan: Plan, step: str) -> Seen:
    """Look for the step's effect, changing nothing. Raises Foreign when it cannot be told."""
    match step:
        case "move_alias" | "move_record":
            return _pointer.look(_move_of(scene, plan, step))
        case "reload_server":
            return _reloaded(scene, plan)
        case "prove_served":
            return _served_now(scene, plan)
        case "prove_smoke":
            return _smoke.look(scene)
        case "prove_metric":
            return _metric_now(scene, plan)
        case _:
            return Seen(
                outcome=Outcome.FAILED, detail=f"There is no step “{step}”. Nothing was done; ask for a new plan."
            )


def _args(plan: Plan) -> Mapping[str, str]:
    if plan.draft is None:
        raise Foreign(
            "invalid", f"Plan {plan.id} has no draft, so nothing was done. Ask for a new plan.", happened=False
        )
    return plan.draft.args


def _move_of(scene: Scene, plan: Plan, step: str) -> _pointer.Move:
    """The registry's move, or that of the second place."""
    args, model = _args(plan), profile_of(scene)
    place, profile = _pointer.record_of(scene, model), model.record
    if step == RECORD and place is not None and profile is not None:
        return _pointer.Move(
            registry=place, model=model.name, pointer=profile.pointer, from_=args["record_from"], to=args["record_to"]
        )
    if step == RECORD:
        text = f"The profile of {model.name} names no `record` any more, so this step cannot be done."
        raise Foreign("invalid", f"{text} Ask for a new plan.", happened=False)
    registry = registry_of(scene, model)
    return _pointer.Move(registry=registry, model=model.name, pointer=args["alias"], from_=args["from"], to=args["to"])


def _reload(scene: Scene, plan: Plan) -> Seen:
    args, model = _args(plan), profile_of(scene)
    reloader = reloader_of(scene, model)
    if reloader is not None:
        return _restart(scene, plan, *reloader)
    try:
        version = server_of(scene, model).reload(model.name, args["alias"])
    except Foreign as problem:
        if problem.reason in PASSING:
            return _after_unclear_reload(scene, plan, problem)
        return Seen(outcome=Outcome.FAILED, detail=_behind(scene, plan, problem.sentence))
    if version not in _names(args):
        text = (
            f"The server loaded {shown(version)} instead of {shown(args['to'])}: {args['alias']} was moved meanwhile."
        )
        return Seen(outcome=Outcome.FAILED, detail=f"{text} Look at the registry and ask again.")
    return Seen(outcome=Outcome.DONE, detail=f"The model server loaded {shown(version)}.")


def _restart(scene: Scene, plan: Plan, reloader: Reloads, name: str) -> Seen:
    """Make something else load the server anew. What it serves then is for the proof to say."""
    try:
        return Seen(outcome=Outcome.DONE, detail=reloader.make_load(name))
    except Foreign as problem:
        problem.sentence = redacted(problem.sentence)  # a command's own words may hold anything
        if problem.reason in PASSING:
            return _after_unclear_reload(scene, plan, problem)
        return Seen(outcome=Outcome.FAILED, detail=_behind(scene, plan, problem.sentence))


def _after_unclear_reload(scene: Scene, plan: Plan, problem: Foreign) -> Seen:
    """No answer: the server may still be loading, or be down and come up again. Reloading twice does no harm."""
    try:
        seen = _reloaded(scene, plan)
    except Foreign:
        return Seen(outcome=Outcome.NOT_YET, detail=_behind(scene, plan, problem.sentence))
    return (
        seen
        if seen.outcome is Outcome.DONE
        else Seen(outcome=seen.outcome, detail=_behind(scene, plan, problem.sentence))
    )


def _reloaded(scene: Scene, plan: Plan) -> Seen:
    """Whether the server serves the wanted version, loaded after the preview where the version alone cannot tell."""
    args, model = _args(plan), profile_of(scene)
    try:
        served = server_of(scene, model).served(model.name)
    except Foreign as problem:
        # Nothing was loaded by a server that is not there, and a reload may be asked for twice: so not "unknown".
        return Seen(outcome=Outcome.NOT_YET, detail=_behind(scene, plan, problem.sentence))
    loaded = served.loaded_at.isoformat() if served.loaded_at else ""
    if served.version in _names(args) and (args["served"] != args["to"] or loaded != args.get("loaded_at", "")):
        return Seen(outcome=Outcome.DONE, detail=f"The model server loaded {shown(served.version)}.")
    return Seen(
        outcome=Outcome.NOT_YET, detail=f"The model server still serves {shown(served.version)}, as loaded before."
    )


def _behind(scene: Scene, plan: Plan, why: str) -> str:
    """The state a failed reload leaves behind, and the way on."""
    args, model = _args(plan), profile_of(scene)
    has_moved = any(step.name == MOVE for step in plan.steps)
    old = shown(args["served"]) if args["served"] else "not known"
    state = (
        f"{args['alias']} {'is now' if has_moved else 'is'} {shown(args['to'])}, the server was last seen with {old}"
    )
    back = f", or {plan.draft.inverse_text}" if plan.draft is not None and plan.draft.inverse_text and has_moved else ""
    return f"{state}: {why} Next: /mlops reload {model.name}{back}."


def _names(args: Mapping[str, str]) -> set[str]:
    """What the server may call the wanted version: by its number, or by the name of the second place."""
    return {args["to"], args.get("record_to", args["to"])}


def _served_now(scene: Scene, plan: Plan) -> Seen:
    args, model = _args(plan), profile_of(scene)
    served = server_of(scene, model).served(model.name)
    if served.version in _names(args):
        return Seen(
            outcome=Outcome.DONE, detail=f"The model server itself says that it serves {shown(served.version)}."
        )
    if served.version in {args["from"], args["served"], args.get("record_from", "")}:
        return Seen(outcome=Outcome.NOT_YET, detail=f"The model server still serves {shown(served.version)}.")
    text = f"The model server serves {shown(served.version)}, not {shown(args['to'])}: somebody else loaded it."
    return Seen(outcome=Outcome.FAILED, detail=f"{text} Look at the registry and ask again.")


def _metric_now(scene: Scene, plan: Plan) -> Seen:
    """Whether the watched bounds are kept, by values that can only be from after the reload."""
    args, model = _args(plan), profile_of(scene)
    metrics = metrics_of(scene, model)
    watched = _watched(model, args)
    waiting = _too_early(scene, plan, watched) or _not_scraped(scene, model, args["to"])
    if waiting:
        return Seen(outcome=Outcome.NOT_YET, detail=waiting)
    must = set(filter(None, args.get("signals", "").split(",")))
    good, bad, silent = [], [], []
    for bound in watched:
        value = worst(bound, (sample.value for sample in metrics.instant(bound.query)))
        if value is None:
            silent.append(bound)
        elif bound.is_met_by(value):
            good.append(f"{word(bound)} is {number(value, bound)} ({limit(bound)})")
        else:
            bad.append(f"{word(bound)} is {number(value, bound)}, not yet {limit(bound)}")
    if bad:
        return Seen(outcome=Outcome.NOT_YET, detail=f"Still outside: {listed(bad)}.")
    missing = [word(bound) for bound in silent if bound.signal in must or not good]
    if missing:
        return Seen(outcome=Outcome.NOT_YET, detail=f"No value yet for {listed(missing)}; no news is not good news.")
    rest = f" {listed(word(bound) for bound in silent)}: no value." if silent else ""
    return Seen(
        outcome=Outcome.DONE, detail=f"Back within bounds with {shown(args['to'])} served: {listed(good)}.{rest}"
    )


def _watched(model: ModelProfile, args: Mapping[str, str]) -> tuple[Bound, ...]:
    """The bounds to prove: those that were broken first, then the others, which must not break instead."""
    broken = set(filter(None, args.get("signals", "").split(",")))
    return tuple(sorted(model.bounds, key=lambda bound: bound.signal not in broken))


def _too_early(scene: Scene, plan: Plan, watched: tuple[Bound, ...]) -> str:
    """Why a value may still be made of what happened before the reload, "" when it cannot be."""
    reload = next((step for step in plan.steps if step.name == RELOAD), None)
    since = reload.ended_at or reload.started_at if reload is not None else None
    if since is None:
        return ""
    spans = [float(count) * _SECONDS[unit] for bound in watched for count, unit in _RANGE.findall(bound.query)]
    back = timedelta(seconds=max(spans, default=0.0))
    if scene.now - since >= back:
        return ""
    # The same words at each look, so that the card is not redrawn every three seconds.
    return f"The metrics look {length(back)} back: what they say counts from {since + back:%H:%M:%S} UTC on."


def _not_scraped(scene: Scene, model: ModelProfile, version: str) -> str:
    """Why the metrics may be older than the reload, "" when they know of the new version already."""
    if not model.served_query:
        return ""
    found = metrics_of(scene, model).instant(model.served_query)
    known = sorted({sample.labels.get("version", "") for sample in found if sample.value > 0} - {""})
    if known == [version]:
        return ""
    return f"The metrics know of {listed(map(shown, known)) or 'no version'} so far, not yet of {shown(version)} alone."
