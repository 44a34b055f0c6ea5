"""The end of the logs: error lines first, the same line once, secrets taken out, and the life before the crash."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.model import Finding
from bot.ports import Foreign, Json, Scene
from handlers._kube import count, dig, is_live, is_ready, items, name_of
from handlers._pods import Place, place_of, redacted

PODS = 3  # of which the logs are read: the broken first
LINES = 300
ROWS = 12
_ERROR = re.compile(r"(?i)\b(error|exception|fatal|panic|critical|traceback|killed|refused|denied|out of memory|oom)\b")
_ERRORISH = re.compile(r"\b\w+(?:Error|Exception)\b")
# What differs from one line to the next although they say the same: times, numbers, ids.
_VARYING = re.compile(r"\b(?:0x)?[0-9a-f]{8,}\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that the logs say."""

    text: str  # the latest that says so
    times: int
    is_error: bool
    pod: str


class Logs:
    """The diagnostic as the registry of handlers knows it."""

    name = "logs"
    question = "What do the logs say?"
    needs = ("workloads",)

    def ask(self, scene: Scene) -> Finding:
        """The last lines of up to three pods, condensed. Raises Foreign when the cluster cannot answer."""
        place = place_of(scene)
        pods = sorted((pod for pod in place.own_pods(place.live()) if is_live(pod)), key=is_ready)[:PODS]
        texts, silent = _read(place, pods)
        found = condensed(texts)
        rows = tuple(
            ("error" if one.is_error else "log", one.text[:300], f"{one.times}× in {one.pod}") for one in found[:ROWS]
        )
        rows += tuple(("not known", "", problem.sentence) for problem in silent[:2])
        return Finding(diagnostic=self.name, sentence=_sentence(found, place.profile.service, len(pods)), rows=rows)


def condensed(texts: Sequence[tuple[str, str]]) -> list[Line]:
    """What (pod, log) pairs say: errors first, then the latest; lines that differ in numbers only count together."""
    found: dict[str, Line] = {}
    order: dict[str, int] = {}
    for pod, text in texts:
        for index, raw in enumerate(text.splitlines()):
            line = redacted(" ".join(raw.split()))
            if not line:
                continue
            key = _VARYING.sub("#", line)
            before = found.get(key)
            is_error = bool(_ERROR.search(line) or _ERRORISH.search(line))
            found[key] = Line(text=line, times=(before.times if before else 0) + 1, is_error=is_error, pod=pod)
            order[key] = index
    return sorted(found.values(), key=lambda one: (not one.is_error, -order[_VARYING.sub("#", one.text)]))


def _read(place: Place, pods: Sequence[Json]) -> tuple[list[tuple[str, str]], list[Foreign]]:
    """The logs; of a container that starts again and again, those of its life before. A silent pod costs its own."""
    texts, silent = [], []
    for pod in pods:
        name = name_of(pod)
        thing = type(place.thing)(kind=place.pods.kind, namespace=place.thing.namespace, name=name)
        for container in _containers(pod, place.profile.container):
            try:
                texts.append((name, place.port.logs(thing, container, previous=_crashes(pod, container), lines=LINES)))
            except Foreign as problem:
                silent.append(problem)
    if not texts and silent and any(one.reason in ("refused", "unreachable", "timeout") for one in silent):
        raise silent[0]
    return texts, silent


def _containers(pod: Json, wanted: str) -> list[str]:
    names = [str(one.get("name")) for one in items(pod, "spec", "containers")]
    return [wanted] if wanted in names else names[:2]


def _crashes(pod: Json, container: str) -> bool:
    for one in items(pod, "status", "containerStatuses"):
        if one.get("name") == container:
            waits = dig(one, "state", "waiting", "reason") == "CrashLoopBackOff"
            return waits and count(one, "restartCount") > 0 and bool(dig(one, "lastState", "terminated"))
    return False


def _sentence(found: list[Line], service: str, pods: int) -> str:
    errors = [one for one in found if one.is_error]
    if not pods:
        return f"There is no pod of {service} whose log could be read."
    if not found:
        return f"The logs of {service} are empty."
    if not errors:
        return f"No error in the last lines of {pods} pods of {service}."
    first = errors[0]
    more = f"; {len(errors)} kinds of error in all" if errors[1:] else ""
    return f"“{first.text[:200]}” ({first.times}× in {first.pod}{more})."


DIAGNOSTIC = Logs()
