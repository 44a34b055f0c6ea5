"""The pods of a service: phase, readiness, restarts, how each last ended, image and node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.model import Finding, Severity
from bot.ports import Json, Scene
from handlers._kube import (
    containers,
    count,
    dig,
    is_live,
    is_ready,
    items,
    moment,
    name_of,
    short_image,
    trouble_of,
    wanted_replicas,
)
from handlers._look import length, listed
from handlers._pods import place_of

ROWS = 12


class Pods:
    """The diagnostic as the registry of handlers knows it."""

    name = "pods"
    question = "Do the pods run, and if not, why?"
    needs = ("workloads",)

    def ask(self, scene: Scene) -> Finding:
        """Each pod's state, the broken ones first. Raises Foreign when the cluster cannot answer."""
        place = place_of(scene)
        live = place.live()
        pods = [pod for pod in place.own_pods(live) if is_live(pod)]
        wanted, ready = wanted_replicas(live), sum(map(is_ready, pods))
        rows = tuple(_row(pod, scene.now) for pod in sorted(pods, key=is_ready)[:ROWS])
        sentence = summary(place.profile.service, pods, wanted, scene.now)
        if wanted and not ready:
            why = f"0 of {wanted} pods of {place.profile.service} are ready"
            return Finding(diagnostic=self.name, sentence=sentence, rows=rows, severity=Severity.P0, severity_why=why)
        return Finding(diagnostic=self.name, sentence=sentence, rows=rows)


def summary(service: str, pods: Sequence[Json], wanted: int, now: datetime) -> str:
    """As in: 2 of 3 pods of web restart every 40 s: OOMKilled at the 512Mi limit."""
    if not wanted:
        return f"{service} is scaled to 0: no pod is wanted, and nothing serves."
    if not pods:
        return f"There is no pod of {service}, and {wanted} are wanted. Look at events and quota."
    bad = [pod for pod in pods if not is_ready(pod)]
    if not bad:
        restarts = sum(trouble_of(pod)[1] for pod in pods)
        told = f"; they were restarted {restarts} times so far" if restarts else ""
        surge = f"; {len(pods) - wanted} more than wanted, as in the middle of a roll-out" if len(pods) > wanted else ""
        return f"{min(len(pods), wanted)} of {wanted} pods of {service} are ready{surge}{told}."
    (verb, cause), many = Counter(map(_why, bad)).most_common(1)[0]
    same = [pod for pod in bad if _why(pod) == (verb, cause)]
    every = _every(same, now) if verb == "restart" else ""
    rest = listed(sorted({": ".join(filter(None, _why(pod))) for pod in bad if _why(pod) != (verb, cause)}))
    others = f" The others: {rest}." if rest else ""
    told = f"{many} of {max(wanted, len(pods))} pods of {service} {verb}{every}"
    return f"{told}{f': {cause}' if cause else ''}.{others}"


def _why(pod: Json) -> tuple[str, str]:
    """What is wrong with a pod: a verb phrase, and the cause."""
    if dig(pod, "status", "phase") == "Pending" and not items(pod, "status", "containerStatuses"):
        told: Json = next((one for one in items(pod, "status", "conditions") if one.get("type") == "PodScheduled"), {})
        return "find no node", str(told.get("message") or "no reason given")[:160].rstrip(".")
    reason, restarts = trouble_of(pod)
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName"):
        image = next(iter(containers({"spec": pod.get("spec") or {}}).values()), "")
        return f"cannot pull their image {short_image(image)}", ""
    ended = last_end(pod)
    if reason == "CrashLoopBackOff" or (ended and restarts):
        return "restart", ended or reason
    return ("wait", reason) if reason else ("run, but are not ready", "")


def _every(pods: Sequence[Json], now: datetime) -> str:
    """How often they restart, on average over their lives."""
    lives = [(moment(dig(pod, "status", "startTime")), trouble_of(pod)[1]) for pod in pods]
    spans = [(now - started) / restarts for started, restarts in lives if started is not None and restarts]
    return f" every {length(sum(spans, timedelta()) / len(spans))}" if spans else ""


def last_end(pod: Json) -> str:
    """How a container of the pod last ended: OOMKilled at the 512Mi limit; exit code 1 (Error)."""
    for one in items(pod, "status", "containerStatuses"):
        ended = dig(one, "lastState", "terminated") or dig(one, "state", "terminated")
        if not ended:
            continue
        reason, code = str(ended.get("reason") or ""), count(ended, "exitCode")
        if reason == "OOMKilled":
            spec: Json = next((c for c in items(pod, "spec", "containers") if c.get("name") == one.get("name")), {})
            limit = dig(spec, "resources", "limits", "memory")
            return (
                f"OOMKilled at the {limit} limit" if limit else "OOMKilled (no memory limit is set: the node ran out)"
            )
        return f"exit code {code}{f' ({reason})' if reason else ''}"
    return ""


def _row(pod: Json, now: datetime) -> tuple[str, str, str]:
    reason, restarts = trouble_of(pod)
    state = "ready" if is_ready(pod) else reason or str(dig(pod, "status", "phase") or "not ready")
    ended = last_end(pod)
    started = moment(dig(pod, "status", "startTime"))
    images = listed(short_image(str(one.get("image"))) for one in items(pod, "spec", "containers"))
    more = [f"{restarts} restarts" if restarts else "", f"last ended: {ended}" if ended else ""]
    where = str(dig(pod, "spec", "nodeName") or "no node")
    age = f", {length(now - started)} old" if started is not None else ""
    told = "; ".join(part for part in more if part)
    return name_of(pod), f"{state}{f'; {told}' if told else ''}", f"{images} on {where}{age}"


DIAGNOSTIC = Pods()
