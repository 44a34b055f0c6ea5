"""The four state machines as data. Every (state, event) pair is either a transition or declared late.

A late pair is a normal result (a duplicate, a stale click, a timer that lost a race): nothing changes and nobody is
told off. The pictures in docs/ are drawn from these tables, and a test shows that no pair is undecided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from bot.model import EscalationState, IncidentState, PlanState


class DeliveryState(StrEnum):
    """Where one outgoing message or piece of work stands."""

    PENDING = "pending"  # may be claimed when its time has come
    SENDING = "sending"  # claimed under a lease; the call may be under way
    SENT = "sent"  # the other side has it
    UNKNOWN = "unknown"  # no answer came back: look for it before sending again
    DEAD = "dead"  # given up, visibly
    DROPPED = "dropped"  # no longer wanted (acknowledged, superseded)


S = TypeVar("S", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine(Generic[S]):
    """Transitions and late pairs of one state machine. `moves[state, event]` is the next state."""

    name: str
    states: type[S]
    events: tuple[str, ...]
    moves: Mapping[tuple[S, str], S]
    late: frozenset[tuple[S, str]]

    def next(self, state: S, event: str) -> S | None:
        """The next state, None when the pair is late."""
        return self.moves.get((state, event))


Inc, E, P, D = IncidentState, EscalationState, PlanState, DeliveryState

INCIDENT: Machine[IncidentState] = Machine(
    name="incident",
    states=IncidentState,
    events=(
        "alerts_fired", "alerts_cleared", "acknowledged", "assigned", "unacknowledged", "lapsed", "snoozed",
        "unsnoozed", "resolved", "quiet_over", "reopened",
    ),
    moves={
        (Inc.OPEN, "alerts_fired"): Inc.OPEN,
        (Inc.OPEN, "alerts_cleared"): Inc.OPEN,
        (Inc.OPEN, "acknowledged"): Inc.ACKNOWLEDGED,
        (Inc.OPEN, "assigned"): Inc.ACKNOWLEDGED,
        (Inc.OPEN, "snoozed"): Inc.SNOOZED,
        (Inc.OPEN, "resolved"): Inc.RESOLVED,
        (Inc.OPEN, "quiet_over"): Inc.RESOLVED,
        (Inc.ACKNOWLEDGED, "alerts_fired"): Inc.ACKNOWLEDGED,
        (Inc.ACKNOWLEDGED, "alerts_cleared"): Inc.ACKNOWLEDGED,
        (Inc.ACKNOWLEDGED, "assigned"): Inc.ACKNOWLEDGED,
        (Inc.ACKNOWLEDGED, "unacknowledged"): Inc.OPEN,
        (Inc.ACKNOWLEDGED, "lapsed"): Inc.OPEN,
        (Inc.ACKNOWLEDGED, "snoozed"): Inc.SNOOZED,
        (Inc.ACKNOWLEDGED, "resolved"): Inc.RESOLVED,
        (Inc.ACKNOWLEDGED, "quiet_over"): Inc.RESOLVED,
        (Inc.SNOOZED, "alerts_fired"): Inc.SNOOZED,
        (Inc.SNOOZED, "alerts_cleared"): Inc.SNOOZED,
        (Inc.SNOOZED, "acknowledged"): Inc.ACKNOWLEDGED,
        (Inc.SNOOZED, "assigned"): Inc.ACKNOWLEDGED,
        (Inc.SNOOZED, "snoozed"): Inc.SNOOZED,
        (Inc.SNOOZED, "unsnoozed"): Inc.OPEN,
        (Inc.SNOOZED, "unacknowledged"): Inc.OPEN,
        (Inc.SNOOZED, "resolved"): Inc.RESOLVED,
        (Inc.SNOOZED, "quiet_over"): Inc.RESOLVED,
        (Inc.RESOLVED, "alerts_fired"): Inc.OPEN,
        (Inc.RESOLVED, "reopened"): Inc.OPEN,
    },
    late=frozenset({
        (Inc.OPEN, "lapsed"), (Inc.SNOOZED, "lapsed"), (Inc.RESOLVED, "lapsed"),
        (Inc.OPEN, "unacknowledged"), (Inc.OPEN, "unsnoozed"), (Inc.OPEN, "reopened"),
        (Inc.ACKNOWLEDGED, "acknowledged"), (Inc.ACKNOWLEDGED, "unsnoozed"), (Inc.ACKNOWLEDGED, "reopened"),
        (Inc.SNOOZED, "reopened"),
        (Inc.RESOLVED, "alerts_cleared"), (Inc.RESOLVED, "acknowledged"), (Inc.RESOLVED, "unacknowledged"),
        (Inc.RESOLVED, "snoozed"), (Inc.RESOLVED, "unsnoozed"), (Inc.RESOLVED, "resolved"),
        (Inc.RESOLVED, "quiet_over"), (Inc.RESOLVED, "assigned"),
    }),
)  # fmt: skip

ESCALATION: Machine[EscalationState] = Machine(
    name="escalation",
    states=EscalationState,
    events=(
        "level_due", "last_level_due", "repeat_due", "asked", "rested", "rearmed", "stopped", "replanned",
        "levels_added", "levels_cut", "informed",
    ),
    moves={
        (E.RESTING, "informed"): E.RESTING,
        (E.ARMED, "level_due"): E.ARMED,
        (E.ARMED, "last_level_due"): E.REPEATING,
        (E.ARMED, "rearmed"): E.ARMED,
        (E.ARMED, "rested"): E.RESTING,
        (E.ARMED, "stopped"): E.STOPPED,
        (E.ARMED, "replanned"): E.ARMED,
        (E.ARMED, "levels_cut"): E.REPEATING,
        (E.REPEATING, "repeat_due"): E.REPEATING,
        (E.REPEATING, "rested"): E.RESTING,
        (E.REPEATING, "stopped"): E.STOPPED,
        (E.REPEATING, "replanned"): E.REPEATING,
        (E.REPEATING, "levels_added"): E.ARMED,
        (E.RESTING, "asked"): E.RESTING,
        (E.RESTING, "rested"): E.RESTING,
        (E.RESTING, "rearmed"): E.ARMED,
        (E.RESTING, "stopped"): E.STOPPED,
        (E.RESTING, "replanned"): E.RESTING,
        (E.STOPPED, "rearmed"): E.ARMED,
    },
    late=frozenset({
        (E.ARMED, "informed"), (E.REPEATING, "informed"), (E.STOPPED, "informed"),
        (E.ARMED, "repeat_due"), (E.ARMED, "asked"), (E.ARMED, "levels_added"),
        (E.REPEATING, "level_due"), (E.REPEATING, "last_level_due"), (E.REPEATING, "asked"),
        (E.REPEATING, "rearmed"), (E.REPEATING, "levels_cut"),
        (E.RESTING, "level_due"), (E.RESTING, "last_level_due"), (E.RESTING, "repeat_due"),
        (E.RESTING, "levels_added"), (E.RESTING, "levels_cut"),
        *((E.STOPPED, event) for event in (
            "level_due", "last_level_due", "repeat_due", "asked", "rested", "stopped", "replanned", "levels_added",
            "levels_cut",
        )),
    }),
)  # fmt: skip

_PLAN_EVENTS = (
    "drawn", "refused", "voted", "approved", "rejected", "expired", "reread_same", "reread_moved", "step_begun",
    "incident_over", "step_done", "changes_done", "not_yet", "proven", "step_failed", "step_unknown",
)  # fmt: skip
_PLAN_MOVES = {
    (P.DRAWING, "drawn"): P.PENDING,
    (P.DRAWING, "refused"): P.REFUSED,
    (P.PENDING, "voted"): P.PENDING,
    (P.PENDING, "approved"): P.APPROVED,
    (P.PENDING, "rejected"): P.REJECTED,
    (P.PENDING, "expired"): P.EXPIRED,
    (P.DRAWING, "incident_over"): P.EXPIRED,
    (P.PENDING, "incident_over"): P.EXPIRED,
    (P.APPROVED, "reread_same"): P.RUNNING,
    (P.APPROVED, "reread_moved"): P.VOID,
    (P.APPROVED, "rejected"): P.REJECTED,
    (P.APPROVED, "expired"): P.EXPIRED,
    (P.APPROVED, "refused"): P.REFUSED,
    (P.RUNNING, "step_begun"): P.RUNNING,
    (P.RUNNING, "step_done"): P.RUNNING,
    (P.RUNNING, "changes_done"): P.WATCHING,
    (P.RUNNING, "not_yet"): P.RUNNING,
    (P.RUNNING, "proven"): P.VERIFIED,
    (P.RUNNING, "step_failed"): P.FAILED,
    (P.RUNNING, "step_unknown"): P.UNKNOWN,
    (P.WATCHING, "step_begun"): P.WATCHING,
    (P.WATCHING, "step_done"): P.WATCHING,
    (P.WATCHING, "not_yet"): P.WATCHING,
    (P.WATCHING, "proven"): P.VERIFIED,
    (P.WATCHING, "step_failed"): P.FAILED,
    (P.WATCHING, "step_unknown"): P.UNKNOWN,
}

PLAN: Machine[PlanState] = Machine(
    name="plan",
    states=PlanState,
    events=_PLAN_EVENTS,
    moves=_PLAN_MOVES,
    # Ended plans take nothing more, and a plan takes only what its phase asks for: whatever else arrives is a double
    # click, a second delivery or a timer that lost a race.
    late=frozenset({(state, event) for state in P for event in _PLAN_EVENTS} - _PLAN_MOVES.keys()),
)

DELIVERY: Machine[DeliveryState] = Machine(
    name="delivery",
    states=DeliveryState,
    events=(
        "claimed", "delivered", "refused_for_good", "try_later", "no_answer", "lease_over", "found", "not_found",
        "still_unsure", "dropped", "changed",
    ),
    moves={
        (D.PENDING, "claimed"): D.SENDING,
        (D.PENDING, "dropped"): D.DROPPED,
        (D.PENDING, "changed"): D.PENDING,
        (D.SENDING, "delivered"): D.SENT,
        (D.SENDING, "refused_for_good"): D.DEAD,
        (D.SENDING, "try_later"): D.PENDING,
        (D.SENDING, "no_answer"): D.UNKNOWN,
        (D.SENDING, "lease_over"): D.UNKNOWN,
        (D.SENDING, "dropped"): D.DROPPED,
        (D.SENDING, "changed"): D.SENDING,
        # Looking for a message is done under a claim too.
        (D.SENDING, "found"): D.SENT,
        (D.SENDING, "not_found"): D.PENDING,
        (D.SENDING, "still_unsure"): D.DEAD,
        (D.UNKNOWN, "claimed"): D.SENDING,
        (D.UNKNOWN, "try_later"): D.UNKNOWN,
        (D.UNKNOWN, "dropped"): D.DROPPED,
        (D.UNKNOWN, "changed"): D.UNKNOWN,
        (D.SENT, "changed"): D.PENDING,
        (D.DEAD, "changed"): D.PENDING,
        (D.DROPPED, "changed"): D.PENDING,
    },
    late=frozenset({
        (D.PENDING, "delivered"), (D.PENDING, "refused_for_good"), (D.PENDING, "try_later"), (D.PENDING, "no_answer"),
        (D.PENDING, "lease_over"), (D.PENDING, "found"), (D.PENDING, "not_found"), (D.PENDING, "still_unsure"),
        (D.SENDING, "claimed"),
        (D.UNKNOWN, "delivered"), (D.UNKNOWN, "refused_for_good"), (D.UNKNOWN, "no_answer"), (D.UNKNOWN, "lease_over"),
        (D.UNKNOWN, "found"), (D.UNKNOWN, "not_found"), (D.UNKNOWN, "still_unsure"),
        *((state, event) for state in (D.SENT, D.DEAD, D.DROPPED) for event in (
            "claimed", "delivered", "refused_for_good", "try_later", "no_answer", "lease_over", "found", "not_found",
            "still_unsure", "dropped",
        )),
    }),
)  # fmt: skip

AnyMachine = Machine[IncidentState] | Machine[EscalationState] | Machine[PlanState] | Machine[DeliveryState]
MACHINES: tuple[AnyMachine, ...] = (INCIDENT, ESCALATION, PLAN, DELIVERY)
