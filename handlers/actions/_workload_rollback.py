"""rollback of a service that a cluster runs: its pod template, back to the last known-good one.

The template is put back whole, so the ReplicaSet that once was good is the one that serves again. Annotations of the
object stay as they are, replicas, ConfigMaps and Secrets too. What is left is marked bad, by what it runs and not by
its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from bot.model import Draft, IncidentKind, Outcome, Plan, Step
from bot.policy.approval import worst_tier
from bot.ports import Foreign, Refusal, Scene, Seen
from handlers._kube import (
    ROLLED_BACK,
    annotations_of,
    image_of,
    moment,
    short_image,
    template_id,
)
from handlers._look import length
from handlers._revisions import Choice, Past, Revision, choose, history_of, named, told
from handlers.actions._change import apply, look, read_change
from handlers.actions._rollout import proofs, prove
from handlers.actions._workload import (
    Target,
    draft,
    facts,
    paused,
    port_here,
    read_target,
    rehearsed,
    warnings_of,
)

VERB = "rollback"
PATCH = "patch_template"
TEMPLATE = "/spec/template"
AGAIN_SOON = timedelta(minutes=10)  # a second rollback within this time needs two approvals
_NOT_BACK = "ConfigMaps, Secrets and replicas are not rolled back."


def draw(scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
    """Read the workload, its history and what has a hand on it, and propose where to go."""
    target = read_target(scene, VERB)
    if isinstance(target, Refusal):
        return target
    is_paused = paused(target)
    if is_paused is not None:
        return is_paused
    found = history_of(target.port, target.thing, target.live)
    current, past = template_id(target.template), _past(scene)
    wanted, container = request.get("to", ""), target.profile.container
    choice = named(found, current, container, past, wanted) if wanted else choose(found, current, container, past)
    return choice if isinstance(choice, Refusal) else _propose(scene, target, found, choice)


def fingerprint(scene: Scene, plan: Plan) -> dict[str, str]:
    """The workload's facts, and whether the revision to go to is still there. Foreign when the cluster is silent."""
    try:
        target = read_target(scene, VERB)
    except Foreign as problem:
        if problem.reason == "not_found":
            return {}
        raise
    if isinstance(target, Refusal):
        return {}
    to = plan.draft.args["revision"] if plan.draft is not None else ""
    return _facts(
        target, next((one for one in history_of(target.port, target.thing, target.live) if one.name == to), None)
    )


def perform(scene: Scene, plan: Plan, step: str) -> Seen:
    """Make the change, or look at a proof."""
    port = port_here(scene)
    if step != PATCH:
        return prove(scene, port, plan, step)
    change = read_change(plan)
    return apply(port, replace(change, notes={ROLLED_BACK: f"{scene.now:%Y-%m-%dT%H:%M:%SZ}"}), plan)


def observe(scene: Scene, plan: Plan, step: str) -> Seen:
    """Look for the step's effect, changing nothing."""
    port = port_here(scene)
    if step != PATCH:
        return prove(scene, port, plan, step)
    seen = look(port, read_change(plan))
    if seen.outcome is Outcome.DONE:
        return replace(seen, detail="The template is the one that was planned.")
    return seen


def _past(scene: Scene) -> Past:
    about = scene.incident
    is_alert = about is not None and about.kind is IncidentKind.ALERT
    began = about.started_at if about is not None and is_alert else None
    return Past(bad=scene.bad_versions, moves=scene.moves, began_at=began, now=scene.now)


def _propose(scene: Scene, target: Target, found: tuple[Revision, ...], choice: Choice) -> Draft | Refusal:
    to, left = choice.revision, template_id(target.template)
    change = target.change({TEMPLATE: to.template}, {}, cause=f"rollback to {to.name}")
    rehearsal = rehearsed(target, change)
    if isinstance(rehearsal, Refusal):
        return rehearsal
    change, changes = rehearsal
    warnings, tier = warnings_of(target)
    tier = worst_tier("change", tier)
    again = _recent(scene, target)
    if again or choice.is_bad:
        tier = "dangerous"
    now = next((one for one in found if one.id == left), None)
    old, new = short_image(target.image), short_image(image_of(to.template, target.profile.container))
    text = f"{target.thing.label}: put the pod template of {told(to, target.profile.container)} back, only if the"
    text = f"{text} images are still {old}. Annotations stay; {_NOT_BACK}"
    name = target.profile.service
    proposed = draft(
        scene, target, change, tier=tier, changes=changes,
        title=f"Roll back {name} from {old} to {new}", from_=old, to=new, because=choice.because,
        warnings=(*((again,) if again else ()), *choice.warnings, *warnings),
        steps=(Step(name=PATCH, sentence=text), *proofs(scene, target.profile.watch_for)),
        inverse={"service": name, "to": now.name} if now is not None else {},
        inverse_text=f"/mlops rollback {name} to {now.name}" if now is not None else "none: it is in no history",
        marks_bad="" if choice.is_forward else left, args={"revision": to.name, "to": to.id},
    )  # fmt: skip
    return replace(proposed, fingerprint=_facts(target, to))


def _facts(target: Target, to: Revision | None) -> dict[str, str]:
    return facts(target) | {"goes to": to.id if to is not None else "gone"}


def _recent(scene: Scene, target: Target) -> str:
    """Why this is a second rollback within a short time, "" when it is not."""
    name = target.profile.service
    begun = [moment(annotations_of(target.live).get(ROLLED_BACK))]
    plans = scene.incident.plans if scene.incident is not None else ()
    begun += [plan.started_at for plan in plans if plan.action == VERB and plan.subject.service == name]
    latest = max((at for at in begun if at is not None), default=None)
    if latest is None or scene.now - latest > AGAIN_SOON:
        return ""
    return f"{name} was rolled back only {length(scene.now - latest)} ago; it may not be the cause."
