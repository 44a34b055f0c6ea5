"""What must be heard of again and again, and which alerts are its beats. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from bot.model import Alert, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Something that must be heard of."""

    name: str
    silent_after: timedelta
    alert: str = ""  # alerts of this name are its beats
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    system: str = ""  # whose people are called; "" for those of the default profile
    severity: Severity = Severity.P1

    def is_beat(self, alert: Alert) -> bool:
        """Whether an alert is one of its beats (or says, having ended, that there are none)."""
        labels = alert.labels
        is_named = bool(self.alert) and labels.get("alertname") == self.alert
        return is_named and all(labels.get(label, "") in values for label, values in self.match.items())
