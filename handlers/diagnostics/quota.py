"""Why pods are not made or find no node: quotas that are used up, and what the scheduler says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bot.model import Finding
from bot.ports import Json, Scene
from handlers._kube import QUOTA, condition, dig, is_live, name_of
from handlers._look import listed
from handlers._pods import place_of
from handlers._quantity import quantity

ROWS = 10


class Quota:
    """The diagnostic as the registry of handlers knows it."""

    name = "quota"
    question = "Is there room for the pods?"
    needs = ("workloads",)

    def ask(self, scene: Scene) -> Finding:
        """Quotas of the namespace and pods without a node. Raises Foreign when the cluster cannot answer."""
        place = place_of(scene)
        live = place.live()
        quotas = place.port.list(type(place.thing)(kind=QUOTA, namespace=place.thing.namespace))
        full, rows = _quotas(quotas)
        waiting = Counter(why for pod in place.own_pods(live) if is_live(pod) and (why := unscheduled(pod)))
        rows += [(f"{times} pods find no node", "", why) for why, times in waiting.most_common(3)]
        refused = str(condition(live, "ReplicaFailure").get("message") or "")
        rows += [("pods are refused", "", refused)] if refused else []
        service = place.profile.service
        if refused:
            text = f"Pods of {service} are not made: {refused[:250].rstrip('.')}."
        elif waiting:
            why, times = waiting.most_common(1)[0]
            text = f"{times} pods of {service} find no node: {why[:250].rstrip('.')}."
        elif full:
            text = f"Used up in the namespace: {listed(full)}. One more pod would be refused."
        else:
            text = f"There is room: no pod of {service} waits for a node, and no quota is used up."
        return Finding(diagnostic=self.name, sentence=text, rows=tuple(rows[:ROWS]))


def unscheduled(pod: Json) -> str:
    """Why the scheduler finds no node for the pod, "" when it has one."""
    told = condition(pod, "PodScheduled")
    return str(told.get("message") or told.get("reason") or "") if told.get("status") == "False" else ""


def _quotas(quotas: Iterable[Json]) -> tuple[list[str], list[tuple[str, str, str]]]:
    full, rows = [], []
    for one in quotas:
        for what, most in (dig(one, "status", "hard") or {}).items():
            used = (dig(one, "status", "used") or {}).get(what, "0")
            limit, now = quantity(most), quantity(used)
            rows.append((f"{name_of(one)}: {what}", str(used), f"of {most}"))
            if limit is not None and now is not None and now >= limit:
                full.append(f"{what} ({used} of {most})")
    return full, rows


DIAGNOSTIC = Quota()
