"""What the bot must be allowed to do in a cluster, and for which verbs: the one table of guards, `doctor` and docs.

`look` rules only read. `act` rules change something; without one of them the verbs that need it refuse before anybody
is asked to approve.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.ports import Kind
from handlers._kube import (
    AUTOSCALER,
    BUDGET,
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    EVENT,
    JOB,
    POD,
    POD_USAGE,
    QUOTA,
    REPLICA_SET,
    REVISION,
    ROLLOUT,
    SCALED_OBJECT,
    SERVICE,
    SLICE,
    STATEFUL_SET,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One permission."""

    verb: str  # get, list, patch, create, delete
    kind: Kind
    sub: str = ""  # subresource: scale, log, eviction
    for_: tuple[str, ...] = ()  # verbs of the bot, or diagnostics, that need it
    is_optional: bool = False  # without it something is not known, but nothing is refused

    @property
    def resource(self) -> str:
        """As a role names it: deployments/scale."""
        return f"{self.kind.plural}/{self.sub}" if self.sub else self.kind.plural

    @property
    def words(self) -> str:
        """As in: patch deployments/scale in apps."""
        return f"{self.verb} {self.resource}{f' in {self.kind.group}' if self.kind.group else ''}"


_SEEN = ("pods", "logs", "events", "rollout", "resources", "endpoints", "quota", "what_changed")
_EVERY = ("rollback", "restart", "scale", "set-image", "pause", "resume")
_ROLLING = ("rollback", "restart", "set-image")
LOOK = (
    *(
        Rule(verb="get", kind=kind, for_=(*_EVERY, "evict", "traffic", *_SEEN))
        for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET)
    ),
    Rule(verb="list", kind=REPLICA_SET, for_=("rollback", "rollout", "what_changed")),
    Rule(verb="list", kind=REVISION, for_=("rollback", "rollout", "what_changed")),
    Rule(verb="list", kind=POD, for_=(*_EVERY, "evict", "switch", "retrain", "pods", "logs", "resources", "quota")),
    Rule(verb="get", kind=POD, for_=("evict",)),
    Rule(verb="get", kind=POD, sub="log", for_=("retrain", "logs")),
    Rule(verb="list", kind=EVENT, for_=("events",)),
    Rule(verb="get", kind=SERVICE, for_=("switch", "traffic")),
    Rule(verb="list", kind=SERVICE, for_=("endpoints",)),
    Rule(verb="list", kind=SLICE, for_=("switch", "traffic", "endpoints")),
    Rule(verb="list", kind=AUTOSCALER, for_=("scale", "traffic"), is_optional=True),
    Rule(verb="list", kind=SCALED_OBJECT, for_=("scale", "traffic"), is_optional=True),
    Rule(verb="list", kind=BUDGET, for_=(*_ROLLING, "evict"), is_optional=True),
    Rule(verb="list", kind=QUOTA, for_=("quota",)),
    Rule(verb="get", kind=CRON_JOB, for_=("job", "retrain")),
    Rule(verb="get", kind=JOB, for_=("job", "retrain")),
    Rule(verb="list", kind=JOB, for_=("job", "retrain")),
    Rule(verb="list", kind=POD_USAGE, for_=("resources",), is_optional=True),
    Rule(verb="get", kind=ROLLOUT, for_=("traffic",), is_optional=True),
)
ACT = (
    Rule(verb="patch", kind=DEPLOYMENT, for_=(*_ROLLING, "pause", "resume")),
    *(Rule(verb="patch", kind=kind, for_=_ROLLING) for kind in (STATEFUL_SET, DAEMON_SET)),
    Rule(verb="get", kind=DEPLOYMENT, sub="scale", for_=("scale", "traffic")),
    Rule(verb="patch", kind=DEPLOYMENT, sub="scale", for_=("scale", "traffic")),
    Rule(verb="get", kind=STATEFUL_SET, sub="scale", for_=("scale",)),
    Rule(verb="patch", kind=STATEFUL_SET, sub="scale", for_=("scale",)),
    Rule(verb="create", kind=POD, sub="eviction", for_=("evict",)),
    Rule(verb="patch", kind=SERVICE, for_=("switch",)),
    Rule(verb="create", kind=JOB, for_=("job", "retrain")),
    Rule(verb="patch", kind=ROLLOUT, for_=("traffic",), is_optional=True),
    Rule(verb="patch", kind=ROLLOUT, sub="status", for_=("traffic",), is_optional=True),
)
