"""Which earlier revision of a workload to go back to. Pure: facts in, a choice out.

Revision numbers are no names: going back gives an old template the highest number. So revisions are grouped by what
they run (`template_id`), which a restart does not change. The choice is never "the one before":

- undo after a restart would undo the restart only; the restarted template is the same version, so it is passed over;
- undo twice would return to the bad one; it is marked bad when it is left, so it is passed over;
- good, bad, bad hot-fix: what was live when the trouble began is no candidate, whatever was rolled out since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.ports import RELEASED, Json, Move, Refusal, Thing, Workloads
from handlers._kube import (
    CAUSE,
    DEPLOYMENT,
    HASH_LABEL,
    NUMBER,
    REPLICA_SET,
    REVISION,
    annotations_of,
    containers,
    count,
    image_of,
    is_owned_by,
    labels_of,
    made_at,
    name_of,
    selector_of,
    short_image,
    template_id,
    template_of,
    uid_of,
)
from handlers._look import clock, length, listed

_TO_THE_SECOND = timedelta(seconds=1)  # what a creationTimestamp leaves out


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One entry of a workload's history."""

    name: str  # of the ReplicaSet or ControllerRevision: stable, unlike the number
    number: int
    id: str  # names what it runs
    template: Mapping[str, Any]
    made_at: datetime | None
    cause: str = ""
    available: int = 0  # pods of it that are available now
    hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is known besides the history itself."""

    bad: Mapping[str, str]  # template id → why it was marked bad
    moves: tuple[Move, ...]  # the ledger of this service, newest first
    began_at: datetime | None  # when the trouble began; None when nothing says so
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where to go, and what is known about it."""

    revision: Revision
    because: str
    warnings: tuple[str, ...] = ()
    is_forward: bool = False
    is_bad: bool = False


def history_of(port: Workloads, thing: Thing, live: Json) -> tuple[Revision, ...]:
    """The kept revisions of a workload, newest first. Raises Foreign when the cluster is silent."""
    is_deployment = thing.kind == DEPLOYMENT
    kind = REPLICA_SET if is_deployment else REVISION
    found = port.list(Thing(kind=kind, namespace=thing.namespace), labels=selector_of(live))
    return of_deployment(live, found) if is_deployment else of_controller(live, found)


def of_deployment(live: Json, sets: Iterable[Json]) -> tuple[Revision, ...]:
    """The history of a Deployment, newest first. ReplicaSets of others with the same labels do not count."""
    found = [_revision(one, _number(one)) for one in sets if is_owned_by(one, uid_of(live))]
    return tuple(sorted(found, key=lambda one: one.number, reverse=True))


def of_controller(live: Json, revisions: Iterable[Json]) -> tuple[Revision, ...]:
    """The history of a StatefulSet or DaemonSet, newest first."""
    found = [_revision(one, count(one, "revision")) for one in revisions if is_owned_by(one, uid_of(live))]
    return tuple(sorted(found, key=lambda one: one.number, reverse=True))


def _number(found: Json) -> int:
    text = annotations_of(found).get(NUMBER, "")
    return int(text) if text.isdecimal() else 0


def _revision(found: Json, number: int) -> Revision:
    template = template_of(found)
    return Revision(
        name=name_of(found), number=number, id=template_id(template), template=template, made_at=made_at(found),
        cause=annotations_of(found).get(CAUSE, ""), available=count(found, "status", "availableReplicas"),
        hash=labels_of(found).get(HASH_LABEL, ""),
    )  # fmt: skip


def choose(history: Sequence[Revision], current: str, container: str, past: Past) -> Choice | Refusal:
    """The newest version that differs from the current one, is not marked bad, and is known to have been available.

    Where nothing is known about any, the newest that is left, with a warning that says so.
    """
    if not history:
        return Refusal(why="There is no roll-out history to go back to (revisionHistoryLimit may be 0).")
    others = _versions(history, current)
    if not others:
        return Refusal(why="There is no earlier version to go back to: every kept revision runs the same template.")
    suspect = _live_at_the_start(history, current, past)
    passed: list[str] = []
    fit: list[Revision] = []
    for one in others:
        why = _unfit(one, past, suspect)
        if why:
            passed.append(f"{told(one, container)} ({why})")
        else:
            fit.append(one)
    if not fit:
        why = f"No earlier version is fit: {listed(passed)}. If you know better, name one with `to`."
        return Refusal(why=why)
    known = [(one, evidence) for one in fit if (evidence := _evidence(one, past))]
    best, because = known[0] if known else (fit[0], "")
    passed += [f"{told(one, container)} (nothing shows that it ever was available)" for one in fit[: fit.index(best)]]
    over = (f"Passed over: {listed(passed)}.",) if passed else ()
    if because:
        text = f"{told(best, container)} is the last known-good: {because}."
        return Choice(revision=best, because=text, warnings=over)
    unsure = "Nothing shows that it was ever fully available: I did not see it myself. Look at its image and age first."
    text = f"{told(best, container)} is the newest version that runs something else{_age(best, past.now)}."
    return Choice(revision=best, because=text, warnings=(unsure, *over))


def named(history: Sequence[Revision], current: str, container: str, past: Past, to: str) -> Choice | Refusal:
    """The revision a person named: by number, by the name of its ReplicaSet, by its hash, or by image."""
    found = _find(history, to, container, current)
    if found is None:
        known = listed(f"{one.number} ({short_image(image_of(one.template, container))})" for one in history[:8])
        return Refusal(why=f"There is no revision “{to[:60]}”. There are {known or 'none at all'}.")
    if found.id == current:
        return Refusal(why=f"Nothing to do: {told(found, container)} is what runs already, restarts aside.")
    evidence = _evidence(found, past)
    because = f"you named it. {'It is known-good: ' + evidence if evidence else 'Nothing shows how it fared'}."
    warnings = () if evidence else (f"{told(found, container)} is not shown to be known-good.",)
    bad = past.bad.get(found.id, "")
    if bad:
        warnings = (f"{told(found, container)} is marked bad: {bad[:300]}", *warnings)
    now = next((one.number for one in history if one.id == current), 0)
    return Choice(
        revision=found, because=because, warnings=warnings, is_forward=found.number > now, is_bad=bool(bad)
    )  # fmt: skip


def told(one: Revision, container: str) -> str:
    """As people point at it: web:v1 (web-7d9f8, revision 3)."""
    return f"{short_image(image_of(one.template, container))} ({one.name}, revision {one.number})"


def _versions(history: Sequence[Revision], current: str) -> list[Revision]:
    """One revision for each template that differs from the current one, newest first."""
    found: dict[str, Revision] = {}
    for one in history:
        if one.id != current:
            found.setdefault(one.id, one)
    return list(found.values())


def _unfit(one: Revision, past: Past, suspect: str) -> str:
    if one.id in past.bad:
        return f"marked bad: {past.bad[one.id][:120]}"
    if one.id == suspect:
        return "it was live when the trouble began"
    if past.began_at is not None and one.made_at is not None and one.made_at >= past.began_at:
        return "it was made after the trouble began"
    return ""


def _live_at_the_start(history: Sequence[Revision], current: str, past: Past) -> str:
    """Id of what was live when the trouble began, when something else was rolled out since; "" when that is unknown."""
    if past.began_at is None:
        return ""
    first = {one.id: one.made_at for one in history if one.made_at is not None}  # the oldest of each wins: last written
    for move in past.moves:  # newest first
        if move.what == RELEASED and move.to and move.latest_at <= past.began_at:
            made = first.get(current)
            # Rolled out after that release and before the trouble, though never whole: then it is the current one.
            is_newer = made is not None and move.latest_at < made + _TO_THE_SECOND and made < past.began_at
            return "" if is_newer or move.to == current else move.to
    if first.get(current) is None or first[current] < past.began_at:
        return ""
    before = [one for one in history if one.made_at is not None and first[one.id] < past.began_at]
    return max(before, key=lambda one: first[one.id]).id if before else ""


def _evidence(one: Revision, past: Past) -> str:
    """How we know that it once was fully available; "" when we do not."""
    after: datetime = past.now
    for move in past.moves:
        if move.what != RELEASED:
            continue
        if move.to == one.id:
            lasted = after - move.latest_at
            until = "" if after == past.now else f" until {clock(after, past.now)} UTC"
            return f"all its pods were available from {clock(move.latest_at, past.now)}{until} ({length(lasted)})"
        after = move.latest_at
    if one.available:
        return f"{one.available} of its pods still serve"
    return ""


def _age(one: Revision, now: datetime) -> str:
    if one.made_at is None:
        return ""
    cause = f", {one.cause[:80]}" if one.cause else ""
    return f", made {length(max(now - one.made_at, timedelta(0)))} ago{cause}"


def _find(history: Sequence[Revision], to: str, container: str, current: str) -> Revision | None:
    by_name = next((one for one in history if to in (one.name, one.id) or (one.hash and to == one.hash)), None)
    if by_name is not None:
        return by_name
    if to.isdecimal():
        return next((one for one in history if one.number == int(to)), None)
    fits = [one for one in history if _has_image(one, to, container)]
    return next((one for one in fits if one.id != current), fits[0] if fits else None)


def _has_image(one: Revision, to: str, container: str) -> bool:
    """True when `to` is an image of the revision: in full, its last part, or the tag of the main container's."""
    images = containers(one.template).values()
    tag = image_of(one.template, container).rpartition("/")[2].partition("@")[0].partition(":")[2]
    return to in images or to in {short_image(image) for image in images} or (bool(tag) and to == tag)
