"""The form of mlops.yaml and system.yaml: keys, types, defaults and a sentence about each. Nothing is judged here.

The reference page is made from these models, so a key without a description does not exist.
"""

from __future__ import annotations

from datetime import time, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bot.config.drift import DriftShape, DriftWorkerShape
from bot.config.fields import (
    Channel,
    Day,
    Duration,
    Name,
    PersonKey,
    SecretText,
    SeverityName,
    Shape,
    Text,
    WallClock,
    Words,
)
from bot.config.gate import EnvShape, GateShape, RecordShape, SmokeShape
from bot.config.heartbeats import HeartbeatShape, PulseShape
from bot.config.ladders import CalendarShape, EscalationShape, HoursShape, MaintenanceShape
from bot.config.quality import QualityShape
from bot.config.settings import Secret
from bot.config.training import TrainingShape


def _reach(given: object) -> object:
    """A list of ways is short for ways without hours."""
    return {"by": given} if isinstance(given, (list, str)) else given


class ReachShape(Shape):
    """The ways to a person for one severity, all at once. A list alone is short for `by`."""

    by: Words = Field(
        description="`dm`, `mention` (in the incident's thread), or names under `media`. One in Slack is always used."
    )
    hours: Literal["always", "working"] = Field(
        "always",
        description="`working`: outside their working hours the direct message alone, which Slack keeps quiet.",
    )


Ways = Annotated[ReachShape | None, BeforeValidator(_reach)]


class ReachesShape(Shape):
    """Ways by severity; one that is left out: the direct message."""

    P0: Ways = Field(None, description="In a P0: `[dm, sms, mail]` calls by all of them at once.")
    P1: Ways = Field(None, description="In a P1.")
    P2: Ways = Field(None, description="In a P2: `{by: [dm, sms], hours: working}`.")
    P3: Ways = Field(None, description="In a P3.")


class PersonShape(Shape):
    """Somebody who may steer or act, by a key that other files use."""

    user_id: str = Field(pattern=r"^[UW][A-Z0-9]{1,30}$", description="Slack's id of the person, from their profile.")
    name: Text = Field("", description="How messages call the person; the key where it is left out.")
    roles: Words = Field(default_factory=list, description="Free words that ladders and approval rules refer to.")
    shell_user: Text = Field("", description="Login name that may act as this person with `mlops-bot run`.")
    team_id: Text = Field("", description="Slack workspace of the person, when it is not `slack.team_id`.")
    zone: Text = Field("", description="IANA name of their time zone; times they type are meant in it.")
    email: Text = Field("", description="By it a calendar's events name them.")
    hours: CalendarShape | None = Field(
        None, description="Their working hours. Default: Monday to Friday, 09:00 to 17:00 in their zone."
    )
    media: dict[Name, SecretText] = Field(
        default_factory=dict,
        description="Other ways to them, by names of your own: each an Apprise address (e-mail, SMS gateway, pager),"
        " by reference only: `sms: ${env:ALICE_SMS}`.",
    )
    reach: ReachesShape = Field(default_factory=ReachesShape, description="Which ways are used for which severity.")


class SlackShape(Shape):
    """The workspace and how the bot talks to it."""

    mode: Literal["socket", "http"] = Field(
        "socket", description="`socket` needs no open port; `http` lets Slack call `POST /slack/events`."
    )
    team_id: str = Field(
        "", pattern=r"^([TE][A-Z0-9]{1,30})?$", description="Id of the workspace; people are known by it."
    )
    api_url: str = Field(
        "https://slack.com/api/", description="Where Slack's Web API is. `SLACK_API_URL` overrides it."
    )
    bot_token: SecretText = Field(Secret(), description="Bot token (xoxb). `SLACK_BOT_TOKEN` overrides it.")
    app_token: SecretText = Field(
        Secret(), description="App-level token (xapp) for Socket Mode. `SLACK_APP_TOKEN` overrides it."
    )
    signing_secret: SecretText = Field(
        Secret(), description="Signing secret for HTTP mode. `SLACK_SIGNING_SECRET` overrides it."
    )


class HttpShape(Shape):
    """The bot's own port: webhooks, health, metrics, reports."""

    listen: str = Field("127.0.0.1:8080", description="Address and port; only this machine can reach the default.")
    webhook_token: SecretText = Field(
        Secret(), description="Bearer token that Alertmanager must send. `MLOPS_WEBHOOK_TOKEN` overrides it."
    )
    max_body_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, le=1024**3, description="Larger webhooks are refused with 413."
    )
    public_url: str = Field("", pattern=r"^(https?://\S+)?$", description="Where people reach this port, for links.")


class DatabaseShape(Shape):
    """Where incidents, timers, messages and the audit chain are kept."""

    url: SecretText = Field(
        Secret("sqlite:///mlops.db"),
        description="SQLAlchemy address; PostgreSQL for several replicas. `MLOPS_DATABASE_URL` overrides it.",
    )


class AuditShape(Shape):
    """What makes cutting the audit chain noticeable."""

    anchor_file: str = Field(
        "", description="File, best on another disk, that keeps the head of the audit chain; cutting the chain shows."
    )


class DeliveryShape(Shape):
    """How outgoing work is claimed and called."""

    lease: Duration = Field(
        timedelta(seconds=30), description="How long a claimed message or job is out of other replicas' reach."
    )
    timeout: Duration = Field(timedelta(seconds=10), description="Of one outgoing HTTP call; shorter than the lease.")
    bundle: Duration | None = Field(
        None,
        description="Pages for somebody who was paged about another incident less than this ago wait for its end, and"
        " come as one message. The first page and every P0 go at once. Default: none waits.",
    )


class DemoShape(Shape):
    """A time scale for drills."""

    minute: Duration = Field(
        timedelta(minutes=1),
        description="Time scale for drills: what one configured minute really lasts. With `2s` a level that is due"
        " after 15m is due after 30 s. Scales escalation, quiet, reopen and approval times only. Not for production.",
    )


class ApprovalShape(Shape):
    """A rule; what is left out is as by default. The person who asked never counts, except where said."""

    needed: int | None = Field(None, ge=1, le=5, description="Different people who must agree.")
    roles: Words | None = Field(None, description="A person with any of these may approve. Empty: nobody may.")
    self_by_oncall: bool | None = Field(
        None, description="Whoever is on call may approve their own request while a P0 or P1 is open."
    )
    break_glass: bool | None = Field(
        None, description="On call may set the second person aside on a P0, with a reason, and owes a review."
    )


class ApprovalsShape(Shape):
    """Rules by tier: light, change, dangerous."""

    light: ApprovalShape | None = Field(None, description="reload, resume, retrain, restart.")
    change: ApprovalShape | None = Field(None, description="rollback, promote, scale within bounds, a step of traffic.")
    dangerous: ApprovalShape | None = Field(
        None, description="Whatever can take the service down, or carries a warning."
    )


class ExpiryShape(Shape):
    """Approval times by severity."""

    P0: Duration | None = Field(None, description="How long approval may take in a P0. Default 15m.")
    P1: Duration | None = Field(None, description="… in a P1. Default 30m.")
    P2: Duration | None = Field(None, description="… in a P2. Default 1h.")
    P3: Duration | None = Field(None, description="… in a P3. Default 1h.")


class SeverityShape(Shape):
    """One rule that judges an alert."""

    name: Text = Field(description="A short name for logs.")
    severity: SeverityName = Field(description="How bad a match is. The worst matching rule wins.")
    because: Text = Field("", description="Words for people, shown as the reason.")
    match: dict[str, Words] = Field(default_factory=dict, description="Labels and the values that count; all must fit.")
    signal: Text = Field("", description="The alert's label `signal`; empty for any.")
    below: float | None = Field(None, description="The alert's value must be under this.")
    above: float | None = Field(None, description="Or over this.")
    word: Text = Field("critical", description="Which bound it is, in the reason: critical, warning.")


class BoundShape(Shape):
    """What a metric should keep to."""

    query: str = Field(min_length=1, description="PromQL that gives one number.")
    below: float | None = Field(None, description="Bad when under this.")
    above: float | None = Field(None, description="Bad when over this.")
    unit: Literal["", "s", "ratio", "per_s"] = Field("", description="For people: `s`, `ratio`, `per_s` or empty.")
    title: Text = Field("", description="Name of the curve; the signal's name where it is left out.")


class ModelShape(Shape):
    """One model: where it is registered, who serves it, what is good for it."""

    service: Text = Field("", description="Service that serves the model; one of `services`.")
    registry: Text = Field("", description="Backend that is its model registry.")
    server: Text = Field("", description="Backend that is its model server.")
    metrics: Text = Field("", description="Backend that answers its metric queries.")
    alias: Text = Field("champion", description="Alias that the server follows; a stage with `mlflow-stages`.")
    reload: Text = Field(
        "", description="What makes the server load anew: a backend, or `backend/service`. Default: the server's route."
    )
    record: RecordShape | None = Field(None, description="A second place that is changed together with the registry.")
    env: EnvShape | None = Field(None, description="Set where a variable of the workload says what is served.")
    gate: GateShape | None = Field(None, description="What a version must show to be promoted. Without: no `promote`.")
    smoke: list[SmokeShape] = Field(default_factory=list, description="Predictions that prove a change.")
    retrain: Text = Field("", description="What trains it anew; one of `trainings` or of `jobs`.")
    bounds: dict[Name, BoundShape] = Field(default_factory=dict, description="What is good, by signal.")
    served_query: Text = Field("", description="PromQL whose label `version` tells what was served when.")
    watch_for: Duration = Field(timedelta(minutes=10), description="How long proof after a change may take.")
    proven_after: Duration = Field(
        timedelta(minutes=5), description="How long a version must have served within bounds to count as known-good."
    )
    drift: DriftShape | None = Field(None, description="Where its data are and what counts as drift.")
    quality: QualityShape | None = Field(None, description="How good it is by true labels, which come late.")


class ReplicasShape(Shape):
    """How far `scale` may go."""

    min: int = Field(1, ge=0, le=10_000, description="Fewer are refused, except 0, which takes two approvals.")
    max: int = Field(10, ge=1, le=10_000, description="More are refused.")
    step: int = Field(5, ge=1, le=10_000, description="A larger step takes two approvals.")


class SwitchShape(Shape):
    """A Service whose selector says which side gets the traffic."""

    selects: Text = Field(min_length=1, description="Name of the Service in the cluster.")
    label: Text = Field("version", description="Key of its selector that is switched.")
    sides: Words = Field(default_factory=lambda: ["blue", "green"], description="The values it may have.")


class TrafficShape(Shape):
    """What carries the canary's share of traffic: `canary`, or `rollout`, or an object with a `weight`."""

    canary: Text = Field("", description="Deployment that is the canary; replicas of the two carry the share.")
    rollout: Text = Field("", description="Argo Rollout: `traffic … 0` aborts it, `traffic … 100` promotes it.")
    group: Text = Field("", description="API group of the object: `gateway.networking.k8s.io`.")
    version: Text = Field("v1", description="Its version.")
    resource: Text = Field("", description="Its plural: `httproutes`.")
    name: Text = Field("", description="Its name.")
    weight: Text = Field("", pattern=r"^(/\S+)?$", description="JSON pointer to the canary's weight, 0 to 100.")
    rest: Text = Field("", pattern=r"^(/\S+)?$", description="JSON pointer to the weight that gets what is left.")
    backing: Text = Field("", description="Service that must have ready endpoints before the canary gets traffic.")
    max_step: int = Field(50, ge=1, le=100, description="Percentage points of one step; more takes two approvals.")


class ServiceShape(Shape):
    """How a cluster runs a service. Without `backend` it is only a name."""

    backend: Text = Field("", description="Backend that runs it; one that offers workloads.")
    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = Field("Deployment", description="Kind of object.")
    namespace: Text = Field("default", description="Where it is.")
    name: Text = Field("", description="Name of the object, when it is not the service's.")
    container: Text = Field("", description="The container people mean; the first where it is left out.")
    replicas: ReplicasShape = Field(default_factory=ReplicasShape, description="Bounds for `scale`.")
    images: Words = Field(
        default_factory=list,
        description="Images that `set-image` may use besides digests, as patterns with `*`.",
    )
    switch: SwitchShape | None = Field(None, description="For `switch`: blue and green.")
    traffic: TrafficShape | None = Field(None, description="For `traffic`: what carries a canary's share.")
    watch_for: Duration = Field(timedelta(minutes=10), description="How long proof after a change may take.")


class JobShape(Shape):
    """A CronJob that people may run at once with `job`, or a model with `retrain`."""

    backend: Text = Field(min_length=1, description="Backend that runs it; one that offers workloads.")
    namespace: Text = Field("default", description="Where it is.")
    cronjob: Text = Field("", description="Name of the CronJob, when it is not the job's.")
    watch_for: Duration = Field(timedelta(hours=1), description="After this long its result is called unknown.")


def _services(given: object) -> object:
    """A list of names, or names with the way a cluster runs them."""
    if isinstance(given, dict):
        return {str(name): {} if shape is None else shape for name, shape in given.items()}
    return {str(name): {} for name in given} if isinstance(given, list) else given


Services = Annotated[dict[str, ServiceShape], BeforeValidator(_services)]


class BackendShape(BaseModel):
    """A kind, and settings that only the kind knows."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = Field(min_length=1, description="`mlflow`, `model-http`, `prometheus` or another known kind.")

    def settings(self) -> dict[str, Any]:
        """Everything except the kind."""
        return dict(self.model_extra or {})


class CalendarSourceShape(Shape):
    """Where a calendar is. Titles (or the people invited) name who is on call: key, name, Slack id or e-mail."""

    file: Text = Field("", description="Path of an .ics file, from the folder of this one.")
    url: SecretText = Field(
        Secret(), description="Its https address; one that is private by reference only: `${env:ROTA_ICS}`."
    )
    refresh: Duration = Field(timedelta(minutes=15), description="How often it is read. The last good copy is kept.")


class LayerShape(Shape):
    """People who take turns, or a calendar."""

    name: Text = Field("", description="Shown in previews and complaints. Default: its number.")
    people: Words = Field(default_factory=list, description="Keys of people in the order of their turns.")
    starts_on: Day | None = Field(
        None, description="Day on which the first turn begins. With `every: 7d` it sets the weekday."
    )
    calendar: CalendarSourceShape | None = Field(
        None, description="An iCalendar that says who has it when, instead of `people` who take turns."
    )
    hand_over: WallClock = Field(time(9), description="When turns begin, in the layer's zone.")
    every: Duration = Field(
        timedelta(days=7), description="Length of a turn: `1d`, `7d` or another one from `1h` on. Default: a week."
    )
    zone: Text = Field("", description="IANA name of the zone, when it is not the rotation's.")
    hours: list[HoursShape] = Field(default_factory=list, description="Hours it is limited to. Empty: always.")


class RotationShape(Shape):
    """Who is on call when. `oncall: [rota:NAME]` and the target `rota:NAME` refer to it."""

    zone: Text = Field("UTC", description="IANA name of the zone its times are meant in, like `Europe/Berlin`.")
    gaps: Literal["refused", "allowed"] = Field(
        "refused", description="Whether `mlops-bot check` complains about times when nobody is on call."
    )
    layers: list[LayerShape] = Field(
        default_factory=list, description="The first wins; where it has nobody, the next one shows through."
    )


class DefaultsShape(Shape):
    """Keys that mlops.yaml sets for every system and system.yaml may set anew. None: not set."""

    channel: Channel = Field(None, description="Where its incidents are posted.")
    owner: Text | None = Field(None, description="The team that owns it, for people to read.")
    catch_all: Words | None = Field(
        None, description="Targets of a page that would reach nobody. Never empty; default: the channel."
    )
    oncall: Words | None = Field(None, description="Keys of people or `rota:NAME`, the primary first.")
    severity: list[SeverityShape] | None = Field(None, description="Rules that judge alerts.")
    escalation: EscalationShape | None = Field(None, description="Whom to page and when.")
    hours: CalendarShape | None = Field(None, description="When the team is at work, for delays in working time.")
    maintenance: list[MaintenanceShape] | None = Field(
        None, description="Planned work that comes every week. For a single time there is `/mlops silence`."
    )
    approvals: ApprovalsShape | None = Field(None, description="Who must agree to which actions.")
    request_roles: Words | None = Field(None, description="Who may ask for guarded actions. Default: oncall, engineer.")
    steer_roles: Words | None = Field(
        None, description="Who may acknowledge, assign, resolve. Default: everybody listed."
    )
    quiet: Duration | None = Field(None, description="Silence before an incident resolves by itself. Default 5m.")
    reopen_within: Duration | None = Field(
        None, description="An alert that comes back within this reopens its incident. Default 30m."
    )
    expiry: ExpiryShape | None = Field(None, description="How long a plan waits for approval.")


class SystemShape(DefaultsShape):
    """One system: `runbooks/<name>/system.yaml`."""

    name: Name = Field("", description="Name of the folder; may be left out.")
    title: Text = Field("", description="Name for people.")
    environment: Text = Field("production", description="Shown in reasons and in every confirmation.")
    services: Services = Field(
        default_factory=dict,
        description="Names as in the alerts' label `service`: a list, or names with the way a cluster runs each.",
    )
    jobs: dict[Name, JobShape] = Field(default_factory=dict, description="CronJobs that may be run at once.")
    trainings: dict[Name, TrainingShape] = Field(
        default_factory=dict, description="Other ways to train a model: Airflow, docker compose, a command."
    )
    backends: dict[Name, BackendShape] = Field(
        default_factory=dict, description="Foreign systems, by a name of your own."
    )
    models: dict[Name, ModelShape] = Field(default_factory=dict, description="Models, as in the alerts' label `model`.")
    links: dict[str, str] = Field(default_factory=dict, description="Addresses shown in incidents: dashboard, logs.")


class ConfigShape(Shape):
    """The whole of mlops.yaml."""

    slack: SlackShape = Field(default_factory=SlackShape, description="How to reach Slack.")
    http: HttpShape = Field(default_factory=HttpShape, description="Where alerts and people reach the bot.")
    database: DatabaseShape = Field(default_factory=DatabaseShape, description="Where everything is kept.")
    secret_key: SecretText = Field(
        Secret(),
        description="Keys the audit chain and signed links; 16 characters or more. `MLOPS_SECRET_KEY` overrides it.",
    )
    people: dict[PersonKey, PersonShape] = Field(
        default_factory=dict, description="Whoever is not listed may look, but not steer or act."
    )
    rotations: dict[Name, RotationShape] = Field(
        default_factory=dict, description="Schedules of people; see docs/reference/rotations.md."
    )
    defaults: DefaultsShape = Field(
        default_factory=DefaultsShape, description="For every system, and for alerts of systems nobody described."
    )
    heartbeats: dict[Name, HeartbeatShape] = Field(
        default_factory=dict, description="What must be heard of: Alertmanager's Watchdog, a job, another bot."
    )
    pulse: PulseShape = Field(default_factory=PulseShape, description="The bot's own heartbeat, for others to watch.")
    systems: Words | None = Field(
        None,
        description="Systems of the folder to serve. Default: all of them; of the folder that comes with the package,"
        " none.",
    )
    runbooks: str = Field("", description="Folder of the systems. Default: `runbooks` beside the package.")
    templates: str = Field("", description="Folder of the messages. Default: `templates` beside the package.")
    audit: AuditShape = Field(default_factory=AuditShape, description="The audit chain.")
    delivery: DeliveryShape = Field(default_factory=DeliveryShape, description="Leases and timeouts.")
    drift: DriftWorkerShape = Field(default_factory=DriftWorkerShape, description="The drift worker and its bounds.")
    demo: DemoShape = Field(default_factory=DemoShape, description="For drills only.")
