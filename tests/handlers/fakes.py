"""Small implementations of the ports for tests of judgement. They pass the same conformance suites as the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from bot.model import (
    SYSTEM,
    Draft,
    Escalation,
    EscalationState,
    Incident,
    IncidentKind,
    IncidentState,
    Plan,
    Severity,
    Subject,
)
from bot.policy import Bound, ModelProfile, RecordProfile, System
from bot.policy.gate import Evaluation, Gate, Smoke
from bot.ports import Foreign, ModelVersion, Move, Prediction, Sample, Scene, Series, Served

NOW = datetime(2026, 3, 4, 14, 35, 0, tzinfo=UTC)
MODEL = "intent_classifier"
SERVED = "model_info"
ACCURACY = Bound(signal="accuracy", query="model_accuracy", below=0.8, unit="ratio")
LATENCY = Bound(signal="latency", query="latency[30s]", above=1.0, unit="s", title="95th percentile of the answer time")
DOWN = Foreign("unreachable", "It does not answer: the connection was refused.", happened=False)
LOST = Foreign("timeout", "It did not answer within 3 s.")


def minutes(count: float) -> datetime:
    """So many minutes before now."""
    return NOW - timedelta(minutes=count)


def version(
    number: str, status: str = "READY", *, age: float = 600, tags: Mapping[str, str] | None = None
) -> ModelVersion:
    return ModelVersion(version=number, status=status, created_at=minutes(age), tags=tags or {})


@dataclass
class FakeRegistry:
    """A ModelRegistry in memory. `trouble` maps a method's name to what it raises."""

    known: list[ModelVersion] = field(default_factory=lambda: [version("3"), version("2"), version("1")])
    aliases: dict[str, str] = field(default_factory=lambda: {"champion": "3"})
    trouble: dict[str, Foreign] = field(default_factory=dict)
    moves_though_lost: bool = False  # the answer of move_alias is lost after the change
    moved: list[tuple[str, str]] = field(default_factory=list)
    recorded: dict[str, Evaluation] = field(default_factory=dict)  # version → what its run recorded

    def evaluation(self, model: str, version: ModelVersion) -> Evaluation:
        self._may("evaluation", model)
        if version.version not in self.recorded:
            raise Foreign("not_found", f"There is no run of version {version.version}.", happened=False)
        return self.recorded[version.version]

    def _may(self, what: str, model: str) -> None:
        if what in self.trouble:
            raise self.trouble[what]
        if model != MODEL:
            raise Foreign("not_found", f"There is no model {model}.", happened=False)

    def versions(self, model: str) -> Sequence[ModelVersion]:
        self._may("versions", model)
        return [
            replace(one, aliases=tuple(sorted(name for name, at in self.aliases.items() if at == one.version)))
            for one in sorted(self.known, key=lambda one: int(one.version), reverse=True)
        ]

    def alias(self, model: str, alias: str) -> str | None:
        self._may("alias", model)
        return self.aliases.get(alias)

    def move_alias(self, model: str, alias: str, *, expected: str, to: str) -> None:
        if self.moves_though_lost:
            self.aliases[alias] = to
            raise LOST
        self._may("move_alias", model)
        found = self.aliases.get(alias)
        if found == to:
            return
        if found != expected:
            raise Foreign("conflict", f"{alias} points at {found}, not at {expected}.", happened=False)
        if to not in {one.version for one in self.known}:
            raise Foreign("not_found", f"There is no version {to}.", happened=False)
        self.aliases[alias] = to
        self.moved.append((expected, to))


@dataclass
class FakeServer:
    """A ModelServer in memory, loading what the registry's alias says."""

    registry: FakeRegistry
    loaded: str = "3"
    loaded_at: datetime = field(default_factory=lambda: minutes(10))
    trouble: dict[str, Foreign] = field(default_factory=dict)
    healthy: tuple[bool, str] = (True, "ok")
    reloads: int = 0
    answer: Prediction = field(default_factory=lambda: Prediction(status=200, data={}, took=timedelta(milliseconds=7)))
    asked: list[tuple[str, str]] = field(default_factory=list)

    def predict(self, path: str, body: str, limit: timedelta) -> Prediction:
        self._may("predict")
        self.asked.append((path, body))
        return self.answer

    def _may(self, what: str) -> None:
        if what in self.trouble:
            raise self.trouble[what]

    def served(self, model: str) -> Served:
        self._may("served")
        if model != MODEL:
            raise Foreign("conflict", f"It serves {MODEL}, not {model}.")
        return Served(model=model, version=self.loaded, alias="champion", loaded_at=self.loaded_at)

    def reload(self, model: str, alias: str) -> str:
        self._may("reload")
        found = self.registry.aliases.get(alias)
        if model != MODEL:
            raise Foreign("conflict", f"It serves {MODEL}, not {model}.", happened=False)
        if found is None:
            raise Foreign("refused", f"There is no alias {alias}.", happened=False)
        self.loaded, self.loaded_at, self.reloads = found, NOW + timedelta(seconds=self.reloads), self.reloads + 1
        return found

    def is_healthy(self) -> tuple[bool, str]:
        self._may("is_healthy")
        return self.healthy


At = Callable[[datetime], Sequence[tuple[Mapping[str, str], float]]]


def _nothing(_: datetime) -> Sequence[tuple[Mapping[str, str], float]]:
    return ()


@dataclass
class FakeMetrics:
    """A Metrics over functions of time. An unknown query has no series."""

    answers: dict[str, At] = field(default_factory=dict)
    trouble: Foreign | None = None
    asked: list[str] = field(default_factory=list)

    def _at(self, query: str, at: datetime) -> Sequence[tuple[Mapping[str, str], float]]:
        if self.trouble is not None:
            raise self.trouble
        found = self.answers.get(query, _nothing)(at)
        return [(labels, value) for labels, value in found if value == value]

    def instant(self, query: str) -> Sequence[Sample]:
        self.asked.append(query)
        return [Sample(labels=labels, at=NOW, value=value) for labels, value in self._at(query, NOW)]

    def over(self, query: str, start: datetime, end: datetime, step: timedelta) -> Sequence[Series]:
        self.asked.append(query)
        assert step >= timedelta(seconds=1), "the metrics' client rounds to seconds"
        assert (end - start) / step <= 11_000, "Prometheus refuses so many points"
        found: dict[tuple[tuple[str, str], ...], list[tuple[datetime, float]]] = {}
        at = start
        while at <= end:
            for labels, value in self._at(query, at):
                found.setdefault(tuple(sorted(labels.items())), []).append((at, value))
            at += step
        return [Series(labels=dict(labels), points=tuple(points)) for labels, points in found.items()]


@dataclass
class World:
    """One model, its three backends and a past. `past` is (minutes ago, version that goes live), oldest first."""

    past: list[tuple[float, str]] = field(default_factory=lambda: [(120, "1"), (60, "2"), (5, "3")])
    accuracy: dict[str, float] = field(default_factory=lambda: {"1": 0.95, "2": 0.97, "3": 0.41})
    latency: dict[str, float] = field(default_factory=dict)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    metrics: FakeMetrics = field(default_factory=FakeMetrics)
    bad: dict[str, str] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    bounds: tuple[Bound, ...] = (ACCURACY,)
    served_query: str = SERVED
    plans: tuple[Plan, ...] = ()
    gate: Gate | None = None
    smoke: tuple[Smoke, ...] = ()
    record: RecordProfile | None = None
    reload: str = ""
    more: dict[str, object] = field(default_factory=dict)  # further backends
    server: FakeServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = FakeServer(registry=self.registry)
        self.metrics.answers |= {
            SERVED: self._served,
            ACCURACY.query: self._of(self.accuracy),
            LATENCY.query: self._of(self.latency),
        }

    def live(self, at: datetime) -> str:
        """The version that was live at a time, "" for none."""
        return next((number for ago, number in reversed(self.past) if minutes(ago) <= at), "")

    def _served(self, at: datetime) -> Sequence[tuple[Mapping[str, str], float]]:
        number = self.live(at)
        return [({"version": number, "model": MODEL}, 1.0)] if number else []

    def _of(self, values: dict[str, float]) -> At:
        def answer(at: datetime) -> Sequence[tuple[Mapping[str, str], float]]:
            found = values.get(self.live(at))
            return [] if found is None else [({}, found)]

        return answer

    @property
    def profile(self) -> ModelProfile:
        return ModelProfile(
            name=MODEL,
            service="intent-server",
            registry="registry",
            server="server",
            metrics="metrics",
            alias="champion",
            bounds=self.bounds,
            served_query=self.served_query,
            gate=self.gate,
            smoke=self.smoke,
            record=self.record,
            reload=self.reload,
            proven_after=timedelta(minutes=5),
        )

    @property
    def system(self) -> System:
        return System(name="playground", services=("intent-server",), models=(self.profile,))

    def scene(self, *, now: datetime = NOW, **more: object) -> Scene:
        backends = {"registry": self.registry, "server": self.server, "metrics": self.metrics, **self.more}
        scene = Scene(
            now=now,
            system=self.system,
            model=self.profile,
            service="intent-server",
            backends=backends,
            incident=incident(self.plans),
            bad_versions=self.bad,
            moves=self.moves,
        )
        return replace(scene, **more)  # type: ignore[arg-type]


def incident(plans: tuple[Plan, ...] = ()) -> Incident:
    started = minutes(4)
    ladder = Escalation(
        state=EscalationState.ARMED,
        levels=(),
        base_at=started,
        next_number=1,
        next_due_at=None,
        repeat_every=timedelta(minutes=30),
    )
    return Incident(
        id="INC-1",
        key="playground/intent_classifier",
        kind=IncidentKind.ALERT,
        state=IncidentState.OPEN,
        epoch=0,
        severity=Severity.P1,
        severity_why="accuracy 0.41",
        subject=Subject(system="playground", model=MODEL),
        title="",
        symptom="",
        channel="C1",
        opened_at=started,
        started_at=started,
        escalation=ladder,
        plans=plans,
    )


def plan_of(action: str, draft: Draft, **more: object) -> Plan:
    plan = Plan(
        id="PLN-1",
        action=action,
        subject=Subject(system="playground", service="intent-server", model=MODEL),
        request={},
        requested_by=SYSTEM,
        requested_at=NOW,
        draft=draft,
        steps=draft.steps,
        started_at=NOW,
    )
    return replace(plan, **more)  # type: ignore[arg-type]
