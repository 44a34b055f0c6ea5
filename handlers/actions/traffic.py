"""traffic: the share of requests that a canary gets, in percent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bot.model import Draft, Outcome, Plan, Step
from bot.policy import System, TrafficProfile, WorkloadProfile
from bot.ports import Foreign, Json, Refusal, Scene, Seen, Workloads
from handlers._kube import DEPLOYMENT, ROLLOUT, dig, ready_replicas
from handlers._look import length
from handlers.actions._change import Change, apply, is_there, look, read_change
from handlers.actions._traffic_ways import REPLICAS, Move, backing_ready, facts_now, plan_move
from handlers.actions._workload import owner_of, port_of, rehearse_or_refuse, unknown_service

USAGE = "traffic <service> <percent>"
WRITE, GROWN, PROOF = "shift", "prove_grown", "prove_share"
_PERCENT = re.compile(r"(\d{1,3})%?")
_WORDS = {"abort": "0", "promote": "100"}


class Traffic:
    """The action as the registry of handlers knows it."""

    name = "traffic"
    usage = USAGE
    summary = "give a canary its share of the traffic; 0 aborts, 100 promotes"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The service and a whole number of percent."""
        words = [_WORDS.get(word.lower(), word) for word in words if word.lower() != "to"]
        if len(words) != 2:
            return Refusal(why=f"I read `{USAGE}`, for example `traffic web 10`.")
        found = system.workload(words[0])
        if found is None:
            return Refusal(why=unknown_service(words[0], system))
        if found.traffic is None:
            return Refusal(why=f"The profile does not say what carries the traffic of {words[0]}. Add `traffic` to it.")
        match = _PERCENT.fullmatch(words[1]) if words[1].isascii() else None
        if match is None or int(match[1]) > 100:
            return Refusal(why=f"“{words[1][:40]}” is no share. Write a whole number from 0 to 100.")
        return words[0], {"service": words[0], "to": str(int(match[1]))}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read what carries the traffic, and rehearse the changes. Raises Foreign when the cluster is silent."""
        profile, traffic, port = _where(scene)
        move = plan_move(port, profile, traffic, request)
        if isinstance(move, Refusal):
            return move
        rehearsed: list[Change] = []
        lines: list[str] = []
        for _, change, live in move.changes:
            found = rehearse_or_refuse(port, change, live)
            if isinstance(found, Refusal):
                return found
            # What a controller answers in its status is not ours to expect; only our own words are.
            rehearsed.append(change if change.sub == "status" else found[0])
            lines += found[1]
        return _propose(scene, profile, traffic, move, rehearsed, tuple(lines), int(request["to"]))

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """What the preview relied on, read again; empty when it is gone."""
        profile, traffic, port = _where(scene)
        try:
            return facts_now(port, profile, traffic)
        except Foreign as problem:
            if problem.reason == "not_found":
                return {}
            raise

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Write one change, or look at the proof."""
        proof = _proof(scene, plan, step)
        return proof if proof is not None else apply(_where(scene)[2], read_change(plan, step), plan)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for one change, or at the proof."""
        proof = _proof(scene, plan, step)
        return proof if proof is not None else look(_where(scene)[2], read_change(plan, step))


def _where(scene: Scene) -> tuple[WorkloadProfile, TrafficProfile, Workloads]:
    profile = scene.system.workload(scene.service)
    if profile is None or profile.traffic is None:
        text = f"The profile of {scene.system.name} does not say what carries the traffic of {scene.service}."
        raise Foreign("invalid", f"{text} Ask again when it does.", happened=False)
    return profile, profile.traffic, port_of(scene, profile.backend)


def _propose(
    scene: Scene, profile: WorkloadProfile, traffic: TrafficProfile, move: Move, changes: list[Change],
    lines: tuple[str, ...], to: int,
) -> Draft:  # fmt: skip
    warnings = list(move.warnings)
    step_size = abs(to - move.share)
    tier = "dangerous" if to == 100 or step_size > traffic.max_step else "change"
    if step_size > traffic.max_step:
        warnings.insert(0, f"A step of {step_size} points is more than the {traffic.max_step} of the profile.")
    owner = next((found for _, _, live in move.changes if (found := owner_of(live))), "")
    if owner:
        tier = "dangerous"
        warnings.insert(0, f"{owner} keeps this as its repository says and may take it back.")
    names = [f"{WRITE}_{number}" for number in range(1, len(changes) + 1)]
    told = [text for text, _, _ in move.changes]
    wait = length(profile.watch_for)
    steps = [Step(name=name, sentence=f"{text}, if unchanged.") for name, text in zip(names, told, strict=True)]
    if len(changes) == 2 and changes[0].want.get(REPLICAS):
        grown = f"Proof: wait until every pod of {changes[0].thing.label} is ready; only then the other side shrinks."
        steps.insert(1, Step(name=GROWN, sentence=grown, proves=True))
    steps.append(
        Step(name=PROOF, sentence=f"Proof: watch until it is so and ready pods serve it ({wait}).", proves=True)
    )
    inverse = {"service": profile.service, **move.inverse} if move.inverse else {}
    back = f"/mlops traffic {profile.service} {move.inverse['to']}" if move.inverse else "none: ask for a rollback"
    return Draft(
        title=f"Traffic of {profile.service}: {to} % to the canary", from_=move.now, to=f"{to} %",
        because=f"you asked for it; the canary has {move.now} now.", steps=tuple(steps), inverse=inverse,
        inverse_text=back, fingerprint=dict(move.facts), tier=tier, warnings=tuple(warnings),
        changes=lines or tuple(told),
        args={name: change.write() for name, change in zip(names, changes, strict=True)}, watch_for=profile.watch_for,
        blast=f"{to} % of the requests to {profile.service} ({scene.system.name}, {scene.system.environment})",
    )  # fmt: skip


def _proof(scene: Scene, plan: Plan, step: str) -> Seen | None:
    """What a proving step sees; None for a step that writes."""
    if step == PROOF:
        return _proven(scene, plan)
    if step != GROWN:
        return None
    change = read_change(plan, f"{WRITE}_1")
    return _pods_short(change, _where(scene)[2].get(change.thing)) or Seen(
        outcome=Outcome.DONE, detail=f"{change.thing.label}: all {change.want[REPLICAS]} pods are ready."
    )


def _pods_short(change: Change, live: Json) -> Seen | None:
    """Why a side has not the pods it was given, None when it has them or none were set."""
    if not all(is_there(live, at, value) for at, value in change.want.items()):
        return Seen(outcome=Outcome.FAILED, detail=f"Superseded: somebody changed {change.thing.label} meanwhile.")
    wanted = change.want.get(REPLICAS)
    ready = ready_replicas({"kind": DEPLOYMENT.name, **live})
    if wanted is None or ready == wanted:
        return None
    return Seen(outcome=Outcome.NOT_YET, detail=f"{change.thing.label}: {ready} of {wanted} pods are ready.")


def _proven(scene: Scene, plan: Plan) -> Seen:
    """Whether every write still stands, and ready pods are behind it."""
    profile, traffic, port = _where(scene)
    args = plan.draft.args if plan.draft is not None else {}
    for name in sorted(key for key in args if key.startswith(WRITE)):
        change = read_change(plan, name)
        live = port.get(change.thing)
        if change.thing.kind == ROLLOUT:
            return _rollout_done(live, int(plan.request["to"]))
        short = _pods_short(change, live)
        if short is not None:
            return short
    if traffic.backing and int(plan.request["to"]) and not backing_ready(port, profile, traffic):
        return Seen(outcome=Outcome.NOT_YET, detail=f"Service {traffic.backing} has no ready endpoint.")
    return Seen(outcome=Outcome.DONE, detail=f"{plan.request['to']} % go to the canary, and ready pods are behind it.")


def _rollout_done(live: Mapping[str, object], to: int) -> Seen:
    new, stable = dig(live, "status", "currentPodHash"), dig(live, "status", "stableRS")
    phase = str(dig(live, "status", "phase") or "unknown")
    if phase == "Healthy" and new == stable:
        what = "promoted" if to else "back at its stable revision"
        return Seen(outcome=Outcome.DONE, detail=f"The Rollout is {what} ({stable}) and healthy.")
    return Seen(outcome=Outcome.NOT_YET, detail=f"The Rollout is {phase}: {new}, stable is {stable}.")


ACTION = Traffic()
