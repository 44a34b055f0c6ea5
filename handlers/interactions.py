"""What buttons carry. A value is routing data only: whatever it says is looked up and judged again.

Three forms: `INC-7|3` (incident and the epoch it was drawn in), `PLN-4|0123456789abcdef` (plan and the first sixteen
hex digits of the digest that was shown), and `DRF-2` (a drift report).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_INCIDENT = re.compile(r"^(INC-\d{1,9})\|(\d{1,9})$")
_DRIFT = re.compile(r"^(DRF-\d{1,9})$")
_PLAN = re.compile(r"^(PLN-\d{1,9})\|([0-9a-f]{16})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnIncident:
    """A click on a headline or a page."""

    incident_id: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPlan:
    """A click on a card."""

    plan_id: str
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDrift:
    """A click on a drift report."""

    report_id: str


def parse_value(value: str) -> OnIncident | OnPlan | OnDrift | None:
    """What a button's value points at, None for anything we never wrote."""
    incident = _INCIDENT.match(value)
    if incident:
        return OnIncident(incident_id=incident[1], epoch=int(incident[2]))
    plan = _PLAN.match(value)
    if plan:
        return OnPlan(plan_id=plan[1], prefix=plan[2])
    drift = _DRIFT.match(value)
    return OnDrift(report_id=drift[1]) if drift else None
