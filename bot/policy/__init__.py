"""The rules people set, as data, and the pure functions that judge by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.model import Level, Severity, Subject, Who
from bot.policy import rota
from bot.policy.calendar import Calendar, Wait, Window, open_spans, zone_named
from bot.policy.gate import Gate, Smoke
from bot.policy.quality import QualityProfile
from bot.policy.reach import Reachable
from bot.policy.training import TrainingProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody the configuration knows. Whoever is not listed may look, but not steer or act."""

    key: str  # "alice": the name used in configuration files
    who: Who
    roles: frozenset[str] = frozenset()  # "oncall", "engineer", "manager", "director", …
    shell_user: str = ""  # login name that may act as this person with `mlops-bot run`
    zone: str = ""  # IANA name; times they type are meant in it, "" for the rotation's
    email: str = ""  # in lower case; by it a calendar's events name them
    reach: Reachable | None = None  # by which ways a page goes to them; None: by direct message


@dataclass(frozen=True, slots=True, kw_only=True)
class SeverityRule:
    """When an alert matches, the incident is at least this bad. Rules are tried in order, the worst match wins."""

    name: str
    severity: Severity
    because: str  # words for people: "nothing is served"
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # label → allowed values; empty matches all
    signal: str = ""  # the alert's label `signal`, "" for any
    below: float | None = None  # the alert's value must be under this
    above: float | None = None  # or over this
    word: str = "critical"  # which bound it is: "critical bound", "warning bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Whom to page and when, for one severity."""

    levels: tuple[Level, ...]
    repeat_every: timedelta = timedelta(minutes=30)  # after the last level, until somebody answers
    waits: tuple[Wait, ...] = ()  # how long each level waits, where that is not plain time; empty: as `after` says
    at_work: bool = False  # pages and repeats only while the team is at work
    ack_timeout: timedelta | None = None  # without progress for so long the owner is asked; None: never
    answer_within: timedelta = timedelta(minutes=10)  # after being asked

    @property
    def is_plain(self) -> bool:
        """True when its due times need no calendar."""
        return not self.at_work and all(wait.is_plain for wait in self.waits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """A kind of issue with people of its own: "infrastructure", "model performance"."""

    name: str
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # label → values; one label that fits is enough
    ladders: Mapping[Severity, Ladder] = field(default_factory=dict)  # what is left out is the system's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Planned work: nobody is paged about a part of a system for a while. Incidents are opened and shown as ever."""

    system: str
    part: str = ""  # service or model; "" for the whole system
    until: datetime
    why: str = ""
    by: str = ""  # name of who asked for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Planned work that comes every week."""

    zone: str
    window: Window
    why: str = ""
    part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """Who must agree to actions of one tier."""

    tier: str
    needed: int
    roles: frozenset[str]  # a person with any of them may approve; empty: nobody may
    self_by_oncall: bool = False  # the requester's own approval counts while a P0 or P1 is open and they are on call
    break_glass: bool = False  # on call may set the two-person rule aside on a P0, with a reason


_ROTA = "rota:"
TIERS = ("light", "change", "dangerous")  # in rising order
CLOSED = ApprovalRule(tier="closed", needed=1, roles=frozenset())  # what an unknown tier means: nobody may


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a metric of a model or service should keep to."""

    signal: str  # "accuracy"
    query: str  # PromQL that gives one number
    below: float | None = None  # bad when under
    above: float | None = None  # bad when over
    unit: str = ""  # "", "s", "ratio", "per_s"
    title: str = ""

    def is_met_by(self, value: float) -> bool:
        """True when the value is within the bound."""
        if self.below is not None and value < self.below:
            return False
        return not (self.above is not None and value > self.above)

    @property
    def limit(self) -> str:
        """The bound in words: "at least 0.8"."""
        parts = [f"at least {self.below:g}"] if self.below is not None else []
        parts += [f"at most {self.above:g}"] if self.above is not None else []
        return " and ".join(parts) or "no bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordProfile:
    """A second place that says which version is in production, and is changed together with the registry."""

    backend: str  # name of a backend of the system that is a registry too
    pointer: str  # what is moved there: "production"
    tag: str = ""  # tag of a version that holds its name there; "" where both use the same name


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvProfile:
    """An environment variable of the service's workload that says which version is served."""

    name: str  # "MODEL_URI"
    value: str  # "models:/classifier/{version}"
    tag: str = ""  # tag of a version that holds what stands for {version}; "" for its number


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """One model of a system: where it is registered, who serves it, what is good for it."""

    name: str
    service: str
    registry: str = ""  # name of a backend of the system that is a model registry
    server: str = ""  # name of a backend that is a model server
    metrics: str = ""  # name of a backend that answers metric queries
    alias: str = "champion"  # or the stage, or whatever the registry calls what the server follows
    reload: str = ""  # "backend" or "backend/name": what makes the server load anew; "" for the server itself
    record: RecordProfile | None = None
    env: EnvProfile | None = None  # set: what is served stands in the workload, not behind the registry's alias
    gate: Gate | None = None  # without one nothing is promoted
    smoke: tuple[Smoke, ...] = ()
    quality: QualityProfile | None = None  # how good it is by true labels
    retrain: str = ""  # name of a training or a job of the system that trains it anew
    bounds: tuple[Bound, ...] = ()
    served_query: str = ""  # PromQL whose label `version` tells what was served when
    watch_for: timedelta = timedelta(minutes=10)  # how long the proof after a change may take
    proven_after: timedelta = timedelta(minutes=5)  # how long a version must have served within bounds to be known-good
    drift: frozenset[str] = frozenset()  # what its drift can be told from: "data", "histogram", "score"
    drift_days: int = 7  # of the window that is compared unless a person says otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchProfile:
    """A Service of the cluster whose selector says which of two sides gets the traffic."""

    selects: str  # name of the Service
    label: str  # key of its selector that is switched
    sides: tuple[str, ...]  # the values it may have: blue, green


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficProfile:
    """What carries the share of traffic that a canary gets. Exactly one of the three ways is set."""

    canary: str = ""  # a pair of Deployments weighted by replicas: the canary's name (the service itself is stable)
    rollout: str = ""  # name of an Argo Rollout: 0 aborts it, 100 promotes it
    group: str = ""  # any object with a weight: its API group, "" for the core group
    version: str = ""
    resource: str = ""  # plural: httproutes
    name: str = ""
    weight: str = ""  # JSON pointer to the canary's weight, 0 to 100
    rest: str = ""  # JSON pointer to the weight that gets what is left, "" for none
    backing: str = ""  # Service of the cluster that must have ready endpoints before the canary gets traffic
    max_step: int = 50  # percentage points that one plan may move; more is dangerous


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadProfile:
    """A service that a cluster runs."""

    service: str
    backend: str  # name of a backend of the system that offers workloads
    namespace: str
    name: str  # of the object in the cluster
    kind: str = "Deployment"  # Deployment, StatefulSet, DaemonSet
    container: str = ""  # the container people mean; "" for the first
    min_replicas: int = 1
    max_replicas: int = 10
    max_step: int = 5  # replicas that one plan may add or take away; more is dangerous
    images: tuple[str, ...] = ()  # patterns of images that set-image may use besides digests: "registry/shop/*:v*"
    switch: SwitchProfile | None = None
    traffic: TrafficProfile | None = None
    watch_for: timedelta = timedelta(minutes=10)  # how long the proof after a change may take


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProfile:
    """A CronJob that people may run at once."""

    name: str
    backend: str
    namespace: str
    cronjob: str
    watch_for: timedelta = timedelta(hours=1)  # how long it may run before the result is called unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The profile of one system, as far as the core needs it."""

    name: str
    title: str = ""
    environment: str = "production"
    owner: str = ""
    channel: str = ""  # Slack channel, "#name" or id
    catch_all: tuple[str, ...] = ()  # targets when a level reaches nobody; never empty after checking
    oncall: tuple[str, ...] = ()  # person keys, or "rota:NAME" for whoever has it; first is primary
    services: tuple[str, ...] = ()
    models: tuple[ModelProfile, ...] = ()
    workloads: tuple[WorkloadProfile, ...] = ()  # those of the services that a cluster runs
    jobs: tuple[JobProfile, ...] = ()
    trainings: tuple[TrainingProfile, ...] = ()
    severity_rules: tuple[SeverityRule, ...] = ()
    ladders: Mapping[Severity, Ladder] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()  # the first that fits an alert is its kind
    calendar: Calendar | None = None  # when the team is at work; None: nothing is counted in working time
    maintenance: tuple[Maintenance, ...] = ()
    approvals: Mapping[str, ApprovalRule] = field(default_factory=dict)  # tier → rule
    request_roles: frozenset[str] = frozenset({"oncall", "engineer"})  # who may ask for guarded actions
    steer_roles: frozenset[str] = frozenset()  # who may steer; empty: everybody listed
    quiet: timedelta = timedelta(minutes=5)  # silence before an incident resolves by itself
    reopen_within: timedelta = timedelta(minutes=30)
    expiry: Mapping[Severity, timedelta] = field(default_factory=dict)  # of pending approvals

    def model(self, name: str) -> ModelProfile | None:
        """The model of that name, None when the profile does not list it."""
        return next((model for model in self.models if model.name == name), None)

    def workload(self, service: str) -> WorkloadProfile | None:
        """How a cluster runs the service, None when the profile does not say."""
        return next((one for one in self.workloads if one.service == service), None)

    def job(self, name: str) -> JobProfile | None:
        """The job of that name, None when the profile does not list it."""
        return next((job for job in self.jobs if job.name == name), None)

    def training(self, name: str) -> TrainingProfile | None:
        """The training of that name, None when the profile does not list it."""
        return next((one for one in self.trainings if one.name == name), None)

    def abilities(self, service: str, model: str) -> frozenset[str]:
        """What kinds of backend can tell something about a service or model of the system."""
        near = [one for one in self.models if (model == one.name if model else service == one.service and service)]
        if len(near) > 1:  # which of them is meant, nobody said
            near = []
        found = {part for one in near for part in ("registry", "server", "metrics", "quality") if getattr(one, part)}
        found |= {"drift" for one in near if one.drift} | {"histogram" for one in near if "histogram" in one.drift}
        return frozenset(found | ({"workloads"} if self.workload(service) is not None else set()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything the core judges by."""

    people: tuple[Person, ...] = ()
    systems: Mapping[str, System] = field(default_factory=dict)
    default: System = field(default_factory=lambda: System(name="unmapped"))
    rotas: Mapping[str, rota.Rota] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()  # planned work that people announced, read with the incident that is decided

    def system(self, name: str) -> System:
        """The profile of that system, the default one when it is not known."""
        return self.systems.get(name, self.default)

    def person(self, who: Who) -> Person | None:
        """The listed person with this identity, None for anybody else."""
        return next((person for person in self.people if person.who == who), None)

    def by_key(self, key: str) -> Person | None:
        """The listed person with this key."""
        return next((person for person in self.people if person.key == key), None)

    def on_call(self, system: str, now: datetime) -> tuple[Person, ...]:
        """Who is on call for the system at that time, primary first, each person once."""
        keys = (key for entry in self.system(system).oncall for key in self._held_by(entry, now))
        found = (self.by_key(key) for key in dict.fromkeys(keys))
        return tuple(person for person in found if person is not None)

    def ever_on_call(self, system: System) -> tuple[str, ...]:
        """Keys of everybody who is on call for the system at some time, in order, each once."""
        found: list[str] = []
        for entry in system.oncall:
            one = self._rota(entry)
            layers = () if one is None else (layer for layer in one.layers if not rota.fault(layer))
            found += [key for layer in layers for key in layer.everybody] if entry.startswith(_ROTA) else [entry]
        return tuple(dict.fromkeys(found))

    def calendars_of(self, system: System) -> tuple[str, ...]:
        """Names of the layers by whose calendars somebody is on call for the system."""
        rotas = (self._rota(entry) for entry in system.oncall)
        return tuple(layer.name for one in rotas if one is not None for layer in one.layers if layer.calendar)

    def _rota(self, entry: str) -> rota.Rota | None:
        return self.rotas.get(entry.removeprefix(_ROTA)) if entry.startswith(_ROTA) else None

    def _held_by(self, entry: str, now: datetime) -> tuple[str, ...]:
        one = self._rota(entry)
        if one is None:
            return () if entry.startswith(_ROTA) else (entry,)
        return rota.on_call(one, now)

    def hold_for(self, subject: Subject, now: datetime) -> Hold | None:
        """Planned work that keeps pages about the subject back now: of several, the one that ends last."""
        about = (one for one in self.holds if one.system == subject.system and _is_part(one.part, subject))
        announced = [one for one in about if one.until > now]
        weekly = [
            Hold(system=subject.system, part=one.part, until=span_end, why=one.why or "planned work, every week")
            for one in self.system(subject.system).maintenance
            if _is_part(one.part, subject) and (span_end := _end_of(one, now)) is not None
        ]
        return max((*announced, *weekly), key=lambda one: one.until, default=None)

    def next_handover(self, system: str, now: datetime) -> rota.Handover | None:
        """The next change in any rotation of the system; None when it has none, or none within 400 days."""
        rotas = (self._rota(entry) for entry in self.system(system).oncall)
        coming = (rota.next_handover(one, now) for one in rotas if one is not None)
        return min((one for one in coming if one is not None), key=lambda one: one.at, default=None)

    def is_on_call(self, who: Who, system: str, now: datetime) -> bool:
        """True when this person is on call for the system."""
        return any(person.who == who for person in self.on_call(system, now))

    def resolve(self, target: str, system: str, now: datetime) -> tuple[str, ...]:
        """Addresses ("user:U1", "channel:C1") that a target reaches now; empty when it reaches nobody."""
        kind, _, name = target.partition(":")
        if kind == "oncall":
            return tuple(f"user:{person.who.user_id}" for person in self.on_call(system, now)[:1])
        if kind == "role" and name:
            return tuple(f"user:{person.who.user_id}" for person in self.people if name in person.roles)
        if kind == "person":
            person = self.by_key(name)
            return (f"user:{person.who.user_id}",) if person else ()
        if kind == "rota":
            holders = (self.by_key(key) for key in self._held_by(target, now))
            return tuple(f"user:{person.who.user_id}" for person in holders if person)
        if kind in {"channel", "group"} and name:
            return (f"{kind}:{name}",)
        return ()


def _is_part(part: str, subject: Subject) -> bool:
    return part in {"", subject.service, subject.model}


def _end_of(one: Maintenance, now: datetime) -> datetime | None:
    """When the weekly window ends that is open now; None when none is."""
    zone = zone_named(one.zone)
    if zone is None:
        return None
    spans = open_spans((one.window,), zone, now - _LONGEST_WINDOW, now + _LONGEST_WINDOW)
    return next((span.end_at for span in spans if span.start_at <= now < span.end_at), None)


_LONGEST_WINDOW = timedelta(days=2)
