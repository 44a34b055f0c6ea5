"""set-image: other images for named containers, all of them or none.

An image has to be a digest, or fit a pattern of the profile: a tag somebody typed at night is no release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from bot.model import Draft, Plan, Step
from bot.policy import System
from bot.ports import Refusal, Scene, Seen
from handlers._kube import containers, items, short_image
from handlers._look import listed
from handlers.actions._change import apply, look, read_change
from handlers.actions._rollout import proofs, prove
from handlers.actions._workload import (
    Target,
    draft,
    example_service,
    fingerprint,
    paused,
    port_here,
    read_target,
    rehearsed,
    unknown_service,
    warnings_of,
)

USAGE = "set-image <service> <container>=<image> …"
SET = "set_images"
_PAIR = re.compile(r"([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)=([A-Za-z0-9][A-Za-z0-9._/:@-]{0,250})")
_DIGEST = re.compile(r"[^@]+@sha256:[0-9a-f]{64}")


class SetImage:
    """The action as the registry of handlers knows it."""

    name = "set-image"
    usage = USAGE
    summary = "run other images in named containers"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The service, and an image for each named container."""
        if len(words) < 2 or len(words) > 6:
            example = f"set-image {example_service(system)} srv=shop/web@sha256:…"
            return Refusal(why=f"I read `{USAGE}`, for example `{example}`.")
        if system.workload(words[0]) is None:
            return Refusal(why=unknown_service(words[0], system))
        images: dict[str, str] = {}
        for word in words[1:]:
            match = _PAIR.fullmatch(word)
            if match is None:
                return Refusal(why=f"“{word[:60]}” is no container=image. Name one container; `*` is not read.")
            if match[1] in images:
                return Refusal(why=f"The container {match[1]} is named twice. Say what it shall run once.")
            images[match[1]] = match[2]
        return words[0], {"service": words[0], "images": json.dumps(images, sort_keys=True)}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the workload and check every name before anything. Raises Foreign when the cluster is silent."""
        target = read_target(scene, self.name)
        if isinstance(target, Refusal):
            return target
        wanted: dict[str, str] = json.loads(request["images"])
        refused = _refused(target, wanted, is_undo="ran_before" in request)
        is_paused = paused(target)
        if refused is not None or is_paused is not None:
            return refused or is_paused or Refusal(why="")
        change = target.change(_writes(target, wanted), {}, cause=f"set-image {listed(sorted(wanted.values()))}")
        rehearsal = rehearsed(target, change)
        return rehearsal if isinstance(rehearsal, Refusal) else _propose(scene, target, rehearsal, wanted)

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """The workload's facts, read again."""
        return fingerprint(scene, self.name)

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Write the images, or look at a proof."""
        if step == SET:
            return apply(port_here(scene), read_change(plan), plan)
        return prove(scene, port_here(scene), plan, step)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for the images, or at a proof."""
        if step == SET:
            return look(port_here(scene), read_change(plan))
        return prove(scene, port_here(scene), plan, step)


def _refused(target: Target, wanted: Mapping[str, str], *, is_undo: bool) -> Refusal | None:
    now, name = containers(target.template), target.profile.service
    unknown = [one for one in wanted if one not in now]
    if unknown:
        return Refusal(why=f"{name} has no container {listed(unknown)}; it has {listed(now)}. Nothing is changed.")
    allowed = target.profile.images
    fits = [image for image in wanted.values() if any(fnmatchcase(image, pattern) for pattern in allowed)]
    wrong = [image for image in wanted.values() if image not in fits and not _DIGEST.fullmatch(image)]
    if wrong and not is_undo:
        patterns = f"or one that fits {listed(allowed)}" if allowed else "; the profile allows no tags (`images`)"
        return Refusal(why=f"{wrong[0][:120]} is not allowed: use an image with its digest (@sha256:…) {patterns}.")
    if all(now[one] == image for one, image in wanted.items()):
        return Refusal(why=f"Nothing to do: {name} runs {listed(short_image(one) for one in wanted.values())} already.")
    return None


def _writes(target: Target, wanted: Mapping[str, str]) -> dict[str, Any]:
    return {
        f"/spec/template/spec/{part}/{index}/image": wanted[one["name"]]
        for part in ("initContainers", "containers")
        for index, one in enumerate(items(target.live, "spec", "template", "spec", part))
        if one.get("name") in wanted
    }


def _propose(scene: Scene, target: Target, rehearsal: tuple[Any, tuple[str, ...]], wanted: Mapping[str, str]) -> Draft:
    change, changes = rehearsal
    name, now = target.profile.service, containers(target.template)
    old = {one: now[one] for one in wanted}
    warnings, _ = warnings_of(target)
    told = listed(f"{one} to {image}" for one, image in wanted.items())
    text = f"{target.thing.label}: set {told}, all or none, only if the images are still those of this preview."
    back = " ".join(f"{one}={image}" for one, image in old.items())
    return draft(
        scene, target, change, tier="dangerous", warnings=warnings, changes=changes, title=f"Set the image of {name}",
        from_=listed(short_image(one) for one in old.values()), because="you named it; nothing is known about it.",
        to=listed(short_image(one) for one in wanted.values()),
        steps=(Step(name=SET, sentence=text), *proofs(scene, target.profile.watch_for)),
        inverse={"service": name, "images": json.dumps(old, sort_keys=True), "ran_before": "yes"},
        inverse_text=f"/mlops set-image {name} {back}",
    )  # fmt: skip


ACTION = SetImage()
