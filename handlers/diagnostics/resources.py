"""What the pods of a service use, beside what they asked for and what they may have."""

from __future__ import annotations

from bot.model import Finding
from bot.ports import Json, Scene
from handlers._kube import POD_USAGE, dig, is_live, items, name_of, selector_of
from handlers._look import listed
from handlers._pods import place_of
from handlers._quantity import quantity

ROWS = 10
NEAR = 0.9  # of a limit: close enough to be the reason


class Resources:
    """The diagnostic as the registry of handlers knows it."""

    name = "resources"
    question = "How much do the pods use, of what they may?"
    needs = ("workloads",)

    def ask(self, scene: Scene) -> Finding:
        """Memory and CPU of each container, the nearest to its limit first. Foreign when nothing measures them."""
        place = place_of(scene)
        live = place.live()
        pods = {name_of(pod): pod for pod in place.own_pods(live) if is_live(pod)}
        kind = type(place.thing)(kind=POD_USAGE, namespace=place.thing.namespace)
        used = [one for one in place.port.list(kind, labels=selector_of(live)) if name_of(one) in pods]
        lines = [line for one in used for line in _lines(one, pods[name_of(one)])]
        lines.sort(key=lambda line: -line[0])
        rows = tuple(line[1] for line in lines[:ROWS])
        near = [line[1] for line in lines if line[0] >= NEAR]
        service = place.profile.service
        if not lines:
            sentence = f"Nothing measures the pods of {service} yet."
        elif near:
            sentence = f"Near the limit: {listed(f'{what} uses {value}' for what, value, _ in near[:3])}."
        else:
            sentence = f"No pod of {service} is near a limit."
        return Finding(diagnostic=self.name, sentence=sentence, rows=rows)


def _lines(usage: Json, pod: Json) -> list[tuple[float, tuple[str, str, str]]]:
    """(share of the limit, row) for memory and CPU of each container."""
    found = []
    specs = {one.get("name"): one for one in items(pod, "spec", "containers")}
    for one in items(usage, "containers"):
        for what in ("memory", "cpu"):
            value, raw = quantity(dig(one, "usage", what)), dig(one, "usage", what)
            limit = dig(specs.get(one.get("name")), "resources", "limits", what)
            most = quantity(limit) if limit is not None else None
            if value is None:
                continue
            share = value / most if most else 0.0
            asked = dig(specs.get(one.get("name")), "resources", "requests", what)
            bound = f"of {limit} ({share:.0%})" if most else "no limit"
            told = f"{bound}; asked for {asked or 'nothing'}"
            found.append((share, (f"{name_of(usage)}/{one.get('name')} {what}", str(raw), told)))
    return found


DIAGNOSTIC = Resources()
