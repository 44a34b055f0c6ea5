"""The form of heartbeats in mlops.yaml: those that are waited for, and the bot's own; and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import Field

from bot.config.fields import Channel, Duration, SecretText, SeverityName, Shape, Text, Words
from bot.config.settings import PulseSettings, Secret
from bot.marked import Marked, Problem, nearest
from bot.model import Severity
from bot.policy.heartbeat import Heartbeat

if TYPE_CHECKING:
    from bot.policy import Policy

_SHORTEST = timedelta(seconds=2)  # less than the ticker looks; a drill may want it


class HeartbeatShape(Shape):
    """Something that must be heard of: an alert that always fires, a job, another bot."""

    silent_after: Duration = Field(
        description="Silence for longer opens an incident. At least twice as long as the beats are apart."
    )
    alert: Text = Field("", description="Alerts of this name are beats and open no incident: `Watchdog`.")
    match: dict[str, Words] = Field(
        default_factory=dict, description="Labels that such an alert must have, to tell two clusters' watchdogs apart."
    )
    system: Text = Field("", description="System whose people are called. Left out: those of `defaults`.")
    severity: SeverityName = Field("P1", description="How bad its silence is.")


class PulseShape(Shape):
    """The bot's own heartbeat: it goes out while the auditor finds nothing wrong."""

    url: Text = Field(
        "", pattern=r"^(https?://\S+)?$", description="Address that gets a POST: another bot's heartbeat, or a monitor."
    )
    token: SecretText = Field(Secret(), description="Bearer token for it.")
    channel: Channel = Field(None, description="Slack channel with one message that is kept up to date.")
    every: Duration = Field(timedelta(minutes=1), description="How often it goes out.")


def heartbeats(shapes: Mapping[str, HeartbeatShape]) -> tuple[Heartbeat, ...]:
    """Those that are waited for."""
    return tuple(
        Heartbeat(
            name=name, silent_after=shape.silent_after, alert=shape.alert, system=shape.system,
            match={label: tuple(values) for label, values in shape.match.items()}, severity=Severity(shape.severity),
        )
        for name, shape in shapes.items()
    )  # fmt: skip


def pulse(shape: PulseShape) -> PulseSettings:
    """The bot's own."""
    return PulseSettings(url=shape.url, token=shape.token, channel=shape.channel or "", every=shape.every)


def check_heartbeats(shapes: Mapping[str, HeartbeatShape], policy: Policy, main: Marked) -> Iterable[Problem]:
    """What is wrong with the heartbeats that are waited for."""
    for name, shape in shapes.items():
        at = ("heartbeats", name)
        if shape.system and shape.system not in policy.systems:
            hint = nearest(shape.system, policy.systems)
            yield main.problem((*at, "system"), f'heartbeat "{name}": unknown system "{shape.system}"; {hint}')
        if shape.silent_after < _SHORTEST:
            text = f'heartbeat "{name}": silent_after is shorter than the bot looks; use 1m or more'
            yield main.problem((*at, "silent_after"), text)
        if shape.match and not shape.alert:
            yield main.problem((*at, "match"), f'heartbeat "{name}": `match` needs `alert`; add the alert\'s name')
