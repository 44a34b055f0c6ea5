"""What buttons carry. A value is routing data only: whatever it says is looked up and judged again.

Two forms: `INC-7|3` (incident and the epoch it was drawn in) and `PLN-4|0123456789abcdef` (plan and the first sixteen
hex digits of the digest that was shown).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_INCIDENT = re.compile(r"^(INC-\d{1,9})\|(\d{1,9})$")
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


def parse_value(value: str) -> OnIncident | OnPlan | None:
    """What a button's value points at, None for anything we never wrote."""
    incident = _INCIDENT.match(value)
    if incident:
        return OnIncident(incident_id=incident[1], epoch=int(incident[2]))
    plan = _PLAN.match(value)
    if plan:
        return OnPlan(plan_id=plan[1], prefix=plan[2])
    return None
