"""What changed near the start of the trouble: the question that ends most incidents.

Four witnesses: our ledger of alias moves, the tags a release leaves on the versions it moves, the registry's list of
versions, and the metrics' memory of what was served. A witness that is silent costs its own lines only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from bot.model import Finding
from bot.policy import ModelProfile
from bot.ports import RELEASED, Foreign, Scene
from handlers._history import served_spans, step_for
from handlers._kube import image_of, short_image
from handlers._look import clock, length, metrics_of, profile_of, registry_of, shown, start_of
from handlers._pods import place_of
from handlers._revisions import history_of

BEFORE = timedelta(hours=24)  # what is older is no likely cause
ROWS = 8
SLACK = timedelta(minutes=1)  # an alert needs a while to fire, so a change just after its start still counts as before
SAME = timedelta(seconds=30)  # two witnesses that tell of the same move within this time mean the same
_PARTICIPLE = {"live": "went live", "alias": "was moved", "new": "was registered"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that changed."""

    at: datetime
    kind: str  # "live" (another version is served), "alias", "new" (a version was registered)
    subject: str  # the version it is about
    what: str  # "champion moved from v2 to v3"
    remark: str  # who says so


class WhatChanged:
    """The diagnostic as the registry of handlers knows it."""

    name = "what_changed"
    question = "What changed near the start?"
    needs = ()  # it asks whatever the subject has

    def ask(self, scene: Scene) -> Finding:
        """Changes by nearness to the start, those before it first. Raises Foreign when no witness answers."""
        start = start_of(scene.incident, scene.now)
        found, silent = _witnesses(scene)
        recent = [change for change in found if start - BEFORE <= change.at <= scene.now]
        near = sorted(recent, key=lambda change: _rank(change, start))
        rows = [(change.what, _relative(change, start, scene.now), change.remark) for change in near[:ROWS]]
        rows += [("not known", "", problem.sentence) for problem in silent]
        return Finding(diagnostic=self.name, sentence=_sentence(near, start, is_partial=bool(silent)), rows=tuple(rows))


def _witnesses(scene: Scene) -> tuple[list[Change], list[Foreign]]:
    askers = _askers(scene)
    found, silent = list(_from_ledger(scene)), []
    for ask in askers:
        try:
            found += [change for change in ask() if not _is_known(change, found)]
        except Foreign as problem:
            silent.append(problem)
    if not found and len(silent) == len(askers):
        raise silent[0]
    return found, silent


def _askers(scene: Scene) -> list[Callable[[], Iterable[Change]]]:
    """Those who may know something about the subject. Raises Foreign when there is nobody."""
    found: list[Callable[[], Iterable[Change]]] = []
    service = scene.service or (scene.model.service if scene.model is not None else "")
    if scene.system.workload(service) is not None:
        found.append(lambda: _from_cluster(scene))
    try:
        model = profile_of(scene)
    except Foreign:
        if not found:
            raise
        return found
    return [lambda: _from_registry(scene, model), lambda: _from_metrics(scene, model), *found]


def _from_cluster(scene: Scene) -> Iterator[Change]:
    """Revisions by the time their ReplicaSet was made; one that was used before and came back is not seen here."""
    place = place_of(scene)
    container = place.profile.container
    for one in history_of(place.port, place.thing, place.live()):
        if one.made_at is not None:
            image = short_image(image_of(one.template, container))
            what = f"{place.profile.service} was changed to {image} (revision {one.number})"
            remark = f"cluster: {one.name}{f', {one.cause}' if one.cause else ''}"
            yield Change(at=one.made_at, kind="live", subject=image, what=what, remark=remark)


def _is_known(change: Change, found: Iterable[Change]) -> bool:
    return any(
        one.kind == change.kind and one.subject == change.subject and abs(one.at - change.at) <= SAME for one in found
    )


def _from_ledger(scene: Scene) -> Iterator[Change]:
    for move in scene.moves:
        if not (move.from_ and move.to) or move.what == RELEASED:  # a first look is no change, nor is silence
            continue
        by = f"by {move.by}" if move.by else "not by this bot"
        by += f" ({move.plan_id})" if move.plan_id else ""
        sure = "" if move.latest_at - move.earliest_at < SAME else f", after {clock(move.earliest_at, scene.now)} UTC"
        if move.what == "served":
            what, kind = f"the server changed from {shown(move.from_)} to {shown(move.to)}", "live"
        else:
            name = move.what.removeprefix("alias ")
            what, kind = f"{name} moved from {shown(move.from_)} to {shown(move.to)}", "alias"
        yield Change(at=move.latest_at, kind=kind, subject=move.to, what=what, remark=f"{by}{sure}")


def _from_registry(scene: Scene, model: ModelProfile) -> Iterator[Change]:
    for one in registry_of(scene, model).versions(model.name):
        what = f"{shown(one.version)} was registered"
        yield Change(at=one.created_at, kind="new", subject=one.version, what=what, remark=f"registry: {one.status}")
        live = _time(one.tags.get("ops.prod_from", ""))
        if live is not None:
            left = one.tags.get("ops.replaced", "")
            what = f"{model.alias} moved {f'from {shown(left)} ' if left else ''}to {shown(one.version)}"
            yield Change(at=live, kind="alias", subject=one.version, what=what, remark="registry tag")


def _from_metrics(scene: Scene, model: ModelProfile) -> Iterator[Change]:
    if not model.served_query:
        return
    begin = start_of(scene.incident, scene.now) - BEFORE / 4
    step = step_for(scene.now - begin, points=5_000)
    spans = served_spans(metrics_of(scene, model), model.served_query, begin, scene.now, step)
    for old, new in pairwise(spans):
        if old.version != new.version:
            what = f"the server changed from {shown(old.version)} to {shown(new.version)}"
            yield Change(at=new.start, kind="live", subject=new.version, what=what, remark="metrics")


def _rank(change: Change, start: datetime) -> tuple[bool, timedelta]:
    return change.at > start + SLACK, abs(change.at - start)


def _sentence(near: list[Change], start: datetime, *, is_partial: bool) -> str:
    before = [change for change in near if change.at <= start + SLACK]
    if not before:
        rest = " as far as can be told; not every source answered" if is_partial else ""
        later = f" Since then: {near[0].what}." if near else ""
        return f"Nothing is known to have changed in the {length(BEFORE)} before the start{rest}.{later}"
    first = before[0]
    when = _when(first.at, start)
    if first.kind == "new":
        return f"{first.what[0].upper()}{first.what[1:]} {when}; nothing nearer is known."
    others = [one.what for one in before[1:] if one.subject == first.subject and one.kind in ("alias", "live")]
    cause = next((what for what in others if what != first.what), "") if first.kind == "live" else first.what
    return f"{shown(first.subject)} {_PARTICIPLE['live']} {when} ({cause or first.what})."


def _when(at: datetime, start: datetime) -> str:
    if abs(at - start) < timedelta(seconds=1):
        return "just as the alert began"
    if at > start:
        return f"{length(at - start)} after the start of the alert"
    return f"{length(start - at)} before the alert"


def _relative(change: Change, start: datetime, now: datetime) -> str:
    if abs(change.at - start) < timedelta(seconds=1):
        return f"{clock(change.at, now)} UTC, just then"
    apart = f"{length(start - change.at)} {'after' if change.at > start else 'before'}"
    return f"{clock(change.at, now)} UTC, {apart}"


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


DIAGNOSTIC = WhatChanged()
