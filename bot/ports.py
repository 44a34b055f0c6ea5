"""What the bot asks of foreign systems: small Protocols, stated by those who use them.

A backend raises `Foreign` when it could not answer, with a bounded reason; it never guesses and never returns a
default. Every call is bounded in time by the backend itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, runtime_checkable

from bot.drift.asked import DriftProfile
from bot.drift.labelled import Labelled
from bot.model import Alert, Draft, Finding, Incident, Outcome, Plan
from bot.policy import ModelProfile, System, WorkloadProfile
from bot.policy.drift import Standing
from bot.policy.gate import Evaluation
from bot.policy.training import TrainingProfile


class Foreign(Exception):
    """A foreign system did not do what it was asked.

    `reason` is one of: unreachable, timeout, refused, not_found, conflict, invalid, overloaded, broken.
    `sentence` is for people and holds no secret. `happened` tells whether a change took place: False (surely not),
    None (cannot be told).
    """

    def __init__(self, reason: str, sentence: str, *, happened: bool | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.happened = happened


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One registered version. `version` is compared as text, never as a number."""

    version: str
    status: str  # "READY" or what the registry says
    created_at: datetime
    run_id: str = ""
    stage: str = ""
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    source: str = ""  # where the registry says that its files are
    changed_at: datetime | None = None  # when its stage or description changed last, where the registry keeps that


class ModelRegistry(Protocol):
    """Where model versions and the names that point at them are kept."""

    def versions(self, model: str) -> Sequence[ModelVersion]:
        """Every version, newest number first."""

    def alias(self, model: str, alias: str) -> str | None:
        """The version an alias points at, None when there is no such alias."""

    def move_alias(self, model: str, alias: str, *, expected: str, to: str) -> None:
        """Point the alias at `to` if it still points at `expected`; Foreign("conflict") when it does not."""


@runtime_checkable
class Evaluations(Protocol):
    """A registry that also knows what was recorded when a version was made."""

    def evaluation(self, model: str, version: ModelVersion) -> Evaluation:
        """Metrics, parameters, tags and data of the version. Foreign("not_found") when they are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What is stored of one version. A signature is text as the registry writes it, "" when there is none."""

    size_bytes: int
    files: int
    inputs: str = ""
    outputs: str = ""


@runtime_checkable
class Packages(Protocol):
    """A registry that can tell what is stored of a version."""

    def package(self, model: str, version: ModelVersion) -> Package:
        """Size and signature of the version's files. Foreign("not_found") when they are gone."""


@runtime_checkable
class Removals(Protocol):
    """A registry that versions can be removed from."""

    def remove(self, model: str, version: ModelVersion) -> None:
        """Remove the version if it is still the same one and nothing points at it; Foreign("conflict") otherwise.

        One that is gone already is fine.
        """

    def is_doomed(self, model: str, version: ModelVersion) -> bool:
        """Whether the registry's garbage collection would take the files of this version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a serving process says about itself."""

    model: str
    version: str
    alias: str
    loaded_at: datetime | None


class ModelServer(Protocol):
    """A process that serves a model."""

    def served(self, model: str) -> Served:
        """What is loaded right now, asked of the process itself."""

    def reload(self, model: str, alias: str) -> str:
        """Load what the alias points at; returns the version that is served then."""

    def is_healthy(self) -> tuple[bool, str]:
        """Whether the process says it can serve, and its own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a server answered to one request, whatever it was."""

    status: int
    data: Any  # decoded JSON, None when it was none
    took: timedelta


@runtime_checkable
class Predicts(Protocol):
    """A model server that can be asked for a prediction."""

    def predict(self, path: str, body: str, limit: timedelta) -> Prediction:
        """Send the JSON text there. Foreign when there was no answer within the limit."""


@runtime_checkable
class Reloads(Protocol):
    """Something that makes a server load its model anew: a restart of its service, a command."""

    def make_load(self, name: str) -> str:
        """Do it to `name`; returns what was done. The server need not have loaded yet. Doing it twice does no harm."""

    def how(self, name: str) -> str:
        """What `make_load` will do, for an approver. Makes no call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One series' value. An empty answer is no sample at all, which is not zero."""

    labels: Mapping[str, str]
    at: datetime
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series over a time; points are (time, value), oldest first."""

    labels: Mapping[str, str]
    points: tuple[tuple[datetime, float], ...]


@runtime_checkable
class Metrics(Protocol):
    """A store of time series."""

    def instant(self, query: str) -> Sequence[Sample]:
        """The query's value now; NaN samples are left out."""

    def over(self, query: str, start: datetime, end: datetime, step: timedelta) -> Sequence[Series]:
        """The query's values between two times."""


Json = Mapping[str, Any]  # an object as a foreign API sends it


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object in a cluster. `group` is "" for the core group."""

    group: str
    version: str
    plural: str
    name: str  # as people know it: "Deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One object in a cluster; with an empty name, all of that kind in the namespace."""

    kind: Kind
    namespace: str
    name: str = ""

    @property
    def label(self) -> str:
        """As in: Deployment shop/web."""
        return (
            f"{self.kind.name} {self.namespace}/{self.name}" if self.name else f"{self.kind.plural} in {self.namespace}"
        )


class Workloads(Protocol):
    """A cluster that runs workloads. Objects go in and out as the cluster writes them.

    What a caller reads first and writes later must be guarded by the caller: by `test` operations, or by the
    resourceVersion inside a merge.
    """

    def get(self, thing: Thing, *, sub: str = "") -> Json:
        """The object, or one of its subresources. Foreign("not_found") when there is none."""

    def list(self, thing: Thing, *, labels: str = "", fields: str = "") -> Sequence[Json]:
        """Objects of the kind in the namespace, at most 500."""

    def patch(
        self, thing: Thing, change: Sequence[Json] | Json, *, sub: str = "", dry_run: bool = False, strict: bool = True
    ) -> Json:
        """A JSON patch (a list of operations) or a merge (an object). Foreign("conflict") when a precondition fails.

        Returns the object as it is, or, with `dry_run`, as it would be. `strict`: unknown fields are refused.
        """

    def create(self, thing: Thing, body: Json, *, sub: str = "", dry_run: bool = False) -> Json:
        """Make an object; `thing` names it, or what it belongs to. Foreign("conflict") when it is there already."""

    def delete(self, thing: Thing, uid: str) -> None:
        """Remove the object with that uid and what it owns. Foreign("conflict") for another object of the name."""

    def logs(self, pod: Thing, container: str, *, previous: bool = False, lines: int = 200) -> str:
        """The end of a container's log, or of its earlier life's."""

    def may(self, verb: str, thing: Thing, sub: str = "") -> bool:
        """Whether we are allowed to, as the cluster itself says. Foreign when it cannot say."""


@runtime_checkable
class Releases(Protocol):
    """A cluster that can tell what is out: asked by the ledger, so that a rollback knows what once worked."""

    def released(self, service: WorkloadProfile) -> str:
        """Id of the template that is rolled out whole and available, "" while none is."""


@runtime_checkable
class Permissions(Protocol):
    """A backend that can tell what it may do: asked by `doctor`."""

    def permissions(self, services: Sequence[WorkloadProfile]) -> Sequence[tuple[str, bool, str]]:
        """(permission in words, whether it is given, which verbs need it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What was read before a training is proposed."""

    refusal: str = ""  # why it cannot be run now and what to do, "" when it can
    what: str = ""  # what would be run, for people: "DAG retraining, version 3"
    start: str = ""  # the step that starts it, for people
    facts: Mapping[str, str] = field(default_factory=dict)  # what an approval relies on
    warnings: tuple[str, ...] = ()


RunState = Literal["waiting", "running", "succeeded", "failed", "lost"]  # lost: nobody can tell how it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a training, as the system that runs it tells. Text is a stranger's and uncapped in number of lines."""

    state: RunState
    began_at: datetime | None = None
    ended_at: datetime | None = None
    task: str = ""  # what it is at: "train (2 of 3 tasks done)", or the last line it printed
    trouble: str = ""  # why it does not go on, a sentence
    exit_code: int | None = None  # negative for a signal
    is_out_of_memory: bool = False  # the system says so
    is_over_time: bool = False  # it was ended because its time was over
    log: str = ""  # the end of what it said, of the part that failed
    where: str = ""  # where the whole log is: "the log of task train in Airflow"


@runtime_checkable
class Trainings(Protocol):
    """What runs a training to its end. `key` is the run's name: whoever starts the same key twice starts one run."""

    place: str  # the machine that alone can tell of a run, "" when every replica can

    def ready(self, training: TrainingProfile, values: Mapping[str, str]) -> Ready:
        """Whether it could be run now, permission included. Reads only. Raises Foreign when that cannot be told."""

    def start(self, training: TrainingProfile, key: str, values: Mapping[str, str], note: str) -> None:
        """Start the run of that key unless it was started before, ever. Raises Foreign."""

    def run(self, training: TrainingProfile, key: str) -> Run | None:
        """The run of that key, None when it surely was not started. Raises Foreign when it cannot be told."""


@runtime_checkable
class PastRuns(Protocol):
    """Something that remembers when a training ran, whoever started it."""

    def ran(
        self, training: TrainingProfile, since: datetime, until: datetime, most: int
    ) -> Sequence[tuple[datetime, datetime | None]]:
        """Begin and end of the runs that began between these times, newest first. Raises Foreign."""


Backends = Mapping[str, object]  # a system's backends by the name its profile gives them


RELEASED = "released"  # what a move is called when a template is rolled out whole; `to` is its id, "" for none


# How the ledger came to know of a move.
FIRST_LOOK = "first look"  # it was so when we began to watch; what was before is not known
LOOKED = "look"  # two looks found it different
FROM_METRICS = "metrics"  # read back from what the metrics remember
FROM_REGISTRY = "registry"  # read back from the registry's times
FROM_TAG = "tag"  # a release wrote it on the version
BY_WEBHOOK = "webhook"  # the registry itself said so at once
BY_US = "own action"  # our plan's step


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An entry of the ledger: something that was in production changed."""

    system: str
    model: str  # or the service, for what a cluster runs
    what: str  # "alias champion", "served", or RELEASED
    from_: str  # "" for the first observation
    to: str
    earliest_at: datetime  # it happened between these two
    latest_at: datetime
    by: str = ""  # who asked and who agreed, when we did it ourselves
    why: str = ""  # their reason, or ours
    plan_id: str = ""  # of the plan that did it, "" when it was none of ours
    told_by: str = ""  # how we know: one of the words below; "" in lines of before they were kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What an action or a diagnostic may look at. Times come from here, never from a clock."""

    now: datetime
    system: System
    model: ModelProfile | None
    service: str
    backends: Backends
    incident: Incident | None = None
    bad_versions: Mapping[str, str] = field(default_factory=dict)  # version → why it was marked bad
    moves: tuple[Move, ...] = ()  # the ledger of this model, newest first
    draw: Callable[[Mapping[str, object]], str] | None = None  # chart worker: specification → path of a PNG
    labels: Callable[[], Labelled] | None = None  # worker: how good the labelled predictions were
    used: Callable[[], Mapping[str, str]] | None = None  # versions that the ledger or an open plan names → why
    drift: DriftProfile | None = None  # what the profile says about the model's drift
    standing: Standing | None = None  # what the last finished drift check means now
    checking: str = ""  # id of a drift check that is under way, "" for none


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An action will not be proposed: why, and what to do next, in one or two sentences."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an attempt at a step, or a look at its effect, tells."""

    outcome: Outcome
    detail: str


@runtime_checkable
class Action(Protocol):
    """One kind of guarded change. A module in handlers/actions offers one as `ACTION`."""

    name: str  # the verb
    usage: str  # "rollback <model> [to <version>]"
    summary: str  # one line for help

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """Subject name and validated arguments from what a person typed; everything else is refused."""

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the target and propose a change. Reads only."""

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """The facts of the draft's fingerprint, read again."""

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Make the step's call, or look at its proof. Called at most once per stored intent."""

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look whether the step's effect is there, changing nothing. NOT_YET: it surely is not."""


@runtime_checkable
class Diagnostic(Protocol):
    """One read-only question. A module in handlers/diagnostics offers one as `DIAGNOSTIC`."""

    name: str
    question: str  # for people
    needs: tuple[str, ...]  # kinds of backend: "metrics", "registry", "server"

    def ask(self, scene: Scene) -> Finding:
        """The answer. Raises Foreign when a backend cannot answer."""


@runtime_checkable
class Backend(Protocol):
    """A kind of foreign system. A module in handlers/backends offers one as `BACKEND`."""

    kind: str  # name used in profiles: "mlflow"
    offers: tuple[str, ...]  # "registry", "server", "metrics"
    settings: tuple[str, ...]  # keys it takes in a profile

    def build(self, settings: Mapping[str, str]) -> object:
        """A client; makes no call yet. ValueError names the setting that is missing or wrong."""

    def check(self, client: object) -> str:
        """A cheap call that proves the connection works; returns words for `doctor`, raises Foreign."""


class NotAWebhook(ValueError):
    """A body is not what the source sends at all; the message says what was expected and is the answer (400)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One POST of an alert source, judged alert by alert. Text is cleaned and capped, and still a stranger's."""

    group_key: str  # "" when the sender gave none
    truncated: int  # alerts the sender left out
    receiver: str
    external_url: str  # http(s) address of the sender, "" for none
    alerts: tuple[Alert, ...]
    quarantined: tuple[tuple[str, str], ...] = ()  # (the alert as sent, capped; why it was set aside)


@runtime_checkable
class Source(Protocol):
    """A kind of sender of alerts. A module in handlers/sources offers one as `SOURCE`."""

    name: str  # "alertmanager": the last part of the webhook's path

    def parse(self, body: bytes, now: datetime) -> Notification:
        """Judge a body. Pure. Raises NotAWebhook when no alert can be told from another in it."""
