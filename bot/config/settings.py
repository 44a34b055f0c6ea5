"""What the configuration becomes: frozen records that the rest of the bot is given. No pydantic beyond this point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from bot.drift.asked import DriftProfile
from bot.drift.labelled import LabelProfile
from bot.drift.runner import WorkerSettings
from bot.policy import Policy
from bot.policy.heartbeat import Heartbeat
from bot.runbook import Runbook


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that no log, message or error may show. `reveal` is the only way to it; false when it is empty."""

    _text: str = ""

    def reveal(self) -> str:
        """The text itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(hidden)" if self._text else "Secret(empty)"

    def __bool__(self) -> bool:
        return bool(self._text)


class BackendConfig(NamedTuple):
    """A backend as its profile names it. Settings may hold secrets, so they are not shown."""

    kind: str
    settings: Mapping[str, str]

    def __repr__(self) -> str:
        return f"BackendConfig(kind={self.kind!r}, settings={sorted(self.settings)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackSettings:
    """How to reach Slack."""

    api_url: str = "https://slack.com/api/"  # always with a slash at the end
    mode: str = "socket"  # "socket" or "http"
    team_id: str = ""
    bot_token: Secret = Secret()
    app_token: Secret = Secret()  # for mode socket
    signing_secret: Secret = Secret()  # for mode http


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where the bot listens."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0: any free one
    webhook_token: Secret = Secret()
    max_body_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """How outgoing messages and work are claimed and called."""

    lease: timedelta = timedelta(seconds=30)
    timeout: timedelta = timedelta(seconds=10)  # of one HTTP call
    bundle: timedelta | None = None  # how long a page may wait for others to the same person


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarSource:
    """Where a layer's calendar comes from. One of `url` and `file` is set."""

    name: str  # rotation/layer
    zone: str
    url: Secret = Secret()
    file: Path | None = None
    refresh: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseSettings:
    """Where the bot's own heartbeat goes."""

    url: str = ""  # may hold a secret, so it is shown nowhere
    token: Secret = Secret()
    channel: str = ""  # Slack channel with one message that is kept up to date
    every: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that was configured, checked as a whole."""

    policy: Policy
    slack: SlackSettings = field(default_factory=SlackSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    heartbeats: tuple[Heartbeat, ...] = ()  # that are waited for
    pulse: PulseSettings = field(default_factory=PulseSettings)
    database_url: Secret = Secret("sqlite:///mlops.db")
    secret_key: Secret = Secret()
    public_url: str = ""  # where people reach `http`, without a slash at the end; "" when it is not known
    audit_anchor: Path | None = None  # file that keeps the head of the audit chain
    runbooks_dir: Path = Path("runbooks")
    templates_dir: Path = Path("templates")
    runbooks: tuple[Runbook, ...] = ()
    backends: Mapping[str, Mapping[str, BackendConfig]] = field(default_factory=dict)  # system → name → backend
    links: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)  # system → (label, address)
    media: Mapping[str, Mapping[str, Secret]] = field(default_factory=dict)  # key of the person → medium → address
    calendars: tuple[CalendarSource, ...] = ()  # that say who is on call
    drift: Mapping[str, Mapping[str, DriftProfile]] = field(default_factory=dict)  # system → model → its drift
    labels: Mapping[str, Mapping[str, LabelProfile]] = field(default_factory=dict)  # system → model → labelled rows
    drift_worker: WorkerSettings = field(default_factory=WorkerSettings)
    time_scale: float = 1.0  # what `demo.minute` makes of every delay
    secrets: tuple[Secret, ...] = ()  # every secret value there is, for whoever must keep them out of an output


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendKind:
    """A kind of backend as the registry of handlers knows it."""

    offers: frozenset[str]  # "registry", "server", "metrics"
    settings: frozenset[str]  # keys it takes in a profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that handlers offer, so that a profile's names can be checked without importing handlers."""

    backends: Mapping[str, BackendKind] = field(default_factory=dict)
    diagnostics: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
