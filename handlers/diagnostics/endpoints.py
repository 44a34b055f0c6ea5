"""The Services before a workload: whether their selectors fit its pods, and how many endpoints are ready."""

from __future__ import annotations

from collections.abc import Iterable

from bot.model import Finding, Severity
from bot.ports import Json, Scene
from handlers._kube import SERVICE, SLICE, dig, name_of, ready_endpoints, selects
from handlers._look import listed
from handlers._pods import place_of


class Endpoints:
    """The diagnostic as the registry of handlers knows it."""

    name = "endpoints"
    question = "Does the traffic reach ready pods?"
    needs = ("workloads",)

    def ask(self, scene: Scene) -> Finding:
        """Each Service that selects the pods, and those that nearly do. Raises Foreign when the cluster is silent."""
        place = place_of(scene)
        labels = dig(place.live(), "spec", "template", "metadata", "labels") or {}
        kind = type(place.thing)
        services = place.port.list(kind(kind=SERVICE, namespace=place.thing.namespace))
        slices = place.port.list(kind(kind=SLICE, namespace=place.thing.namespace))
        fits = [one for one in services if selects(dig(one, "spec", "selector") or {}, labels)]
        named = {place.thing.name, place.profile.service}
        missed = [one for one in services if one not in fits and name_of(one) in named]
        rows = [(name_of(one), _told(one, slices), _selector(one)) for one in fits]
        rows += [(name_of(one), "selects none of these pods", _selector(one)) for one in missed]
        return self._judge(place.profile.service, fits, missed, slices, tuple(rows))

    def _judge(
        self, service: str, fits: list[Json], missed: list[Json], slices: Iterable[Json],
        rows: tuple[tuple[str, str, str], ...],
    ) -> Finding:  # fmt: skip
        slices = list(slices)
        empty = [name_of(one) for one in fits if not ready_endpoints(name_of(one), slices)]
        if missed:
            text = f"The selector of Service {listed(name_of(one) for one in missed)} fits no pod of {service}."
        elif not fits:
            return Finding(diagnostic=self.name, sentence=f"No Service selects the pods of {service}.", rows=rows)
        elif empty:
            text = f"Service {listed(empty)} has no ready endpoint: requests to {service} fail."
        else:
            told = listed(f"{name_of(one)} has {ready_endpoints(name_of(one), slices)}" for one in fits)
            return Finding(diagnostic=self.name, sentence=f"Ready endpoints: {told}.", rows=rows)
        why = f"no ready endpoint behind {service}"
        return Finding(diagnostic=self.name, sentence=text, rows=rows, severity=Severity.P0, severity_why=why)


def _told(service: Json, slices: Iterable[Json]) -> str:
    return f"{ready_endpoints(name_of(service), slices)} ready endpoints"


def _selector(service: Json) -> str:
    selector = dig(service, "spec", "selector") or {}
    return ", ".join(f"{key}={value}" for key, value in selector.items()) or "no selector"


DIAGNOSTIC = Endpoints()
