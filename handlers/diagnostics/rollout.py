"""The roll-out: how far it is, and which revisions there were, with images, age and who."""

from __future__ import annotations

from datetime import timedelta

from bot.model import Finding
from bot.ports import Scene
from handlers._kube import (
    changed_by,
    condition,
    dig,
    image_of,
    rolled_out,
    short_image,
    template_id,
    template_of,
)
from handlers._look import length
from handlers._pods import place_of
from handlers._revisions import Revision, history_of

ROWS = 8


class Rollout:
    """The diagnostic as the registry of handlers knows it."""

    name = "rollout"
    question = "Is the roll-out done, and what ran before?"
    needs = ("workloads",)

    def ask(self, scene: Scene) -> Finding:
        """The state and the history, newest first. Raises Foreign when the cluster cannot answer."""
        place = place_of(scene)
        live = place.live()
        found = history_of(place.port, place.thing, live)
        now, container = template_id(template_of(live)), place.profile.container
        rows = tuple(self._row(one, now, container, scene) for one in found[:ROWS])
        image = short_image(image_of(template_of(live), container))
        missing = rolled_out(live)
        if dig(live, "spec", "paused") is True:
            state = f"Roll-outs of {place.profile.service} are paused"
        elif condition(live, "Progressing").get("reason") == "ProgressDeadlineExceeded":
            state = f"Kubernetes gave the roll-out of {image} up ({missing or 'its deadline is exceeded'})"
        elif missing:
            state = f"{image} is being rolled out: {missing}"
        else:
            state = f"{image} is rolled out whole"
        serves = condition(live, "Available").get("status")
        old = " Older pods still serve." if missing and serves == "True" else ""
        return Finding(
            diagnostic=self.name, rows=rows, sentence=f"{state}; last written by {changed_by(live)}.{old}"
        )  # fmt: skip

    def _row(self, one: Revision, now: str, container: str, scene: Scene) -> tuple[str, str, str]:
        age = f"{length(max(scene.now - one.made_at, timedelta(0)))} old" if one.made_at is not None else ""
        bad = scene.bad_versions.get(one.id, "")
        marks = (age, "runs now" if one.id == now else "", f"marked bad: {bad}" if bad else "", one.cause)
        image = short_image(image_of(one.template, container))
        return f"revision {one.number} ({one.name})", image, "; ".join(mark for mark in marks if mark)


DIAGNOSTIC = Rollout()
