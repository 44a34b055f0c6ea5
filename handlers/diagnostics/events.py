"""What the cluster has told about a service and its pods in the last hour, the same things together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.model import Finding
from bot.ports import Json, Scene
from handlers._kube import EVENT, dig, moment
from handlers._look import clock, length
from handlers._pods import place_of, redacted

BACK = timedelta(hours=1)  # the API forgets them after an hour by default
ROWS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The same reason for objects of the same kind."""

    kind: str
    reason: str
    message: str  # of the latest
    is_warning: bool
    times: int
    last_at: datetime


class Events:
    """The diagnostic as the registry of handlers knows it."""

    name = "events"
    question = "What has the cluster told in the last hour?"
    needs = ("workloads",)

    def ask(self, scene: Scene) -> Finding:
        """Warnings first, the latest first. Raises Foreign when the cluster cannot answer."""
        place = place_of(scene)
        every = place.port.list(type(place.thing)(kind=EVENT, namespace=place.thing.namespace))
        groups = grouped(every, place.thing.name, scene.now)
        rows = tuple(
            (
                f"{one.kind} {one.reason}",
                f"{one.times}×, last {clock(one.last_at, scene.now)} UTC",
                redacted(one.message),
            )
            for one in groups[:ROWS]
        )
        return Finding(diagnostic=self.name, sentence=_sentence(groups, place.profile.service, scene.now), rows=rows)


def grouped(events: Iterable[Json], name: str, now: datetime) -> list[Group]:
    """Events about the workload and what it made, by kind and reason."""
    found: dict[tuple[str, str], Group] = {}
    for one in events:
        about = one.get("involvedObject") or one.get("regarding") or {}
        who = str(about.get("name") or "")
        at = _at(one)
        if (who != name and not who.startswith(f"{name}-")) or at is None or now - at > BACK:
            continue
        key = (str(about.get("kind") or ""), str(one.get("reason") or ""))
        times = int(one.get("count") or dig(one, "series", "count") or 1)
        before = found.get(key)
        is_later = before is None or at >= before.last_at
        found[key] = Group(
            kind=key[0], reason=key[1], times=times + (before.times if before else 0),
            message=str(one.get("message") or "") if is_later or before is None else before.message,
            is_warning=one.get("type") == "Warning" or (before is not None and before.is_warning),
            last_at=at if is_later or before is None else before.last_at,
        )  # fmt: skip
    return sorted(found.values(), key=lambda group: (not group.is_warning, now - group.last_at))


def _at(event: Json) -> datetime | None:
    times = (dig(event, "series", "lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((at for time in times if time and (at := moment(time)) is not None), None)


def _sentence(groups: list[Group], service: str, now: datetime) -> str:
    warnings = [one for one in groups if one.is_warning]
    if not groups:
        return f"The cluster has told nothing about {service} in the last hour."
    if not warnings:
        return f"No warning about {service} in the last hour; {sum(one.times for one in groups)} ordinary events."
    first = warnings[0]
    ago = length(now - first.last_at)
    return f"{first.reason}: {redacted(first.message)[:200].rstrip('.')} ({first.times}×, last {ago} ago)."


DIAGNOSTIC = Events()
