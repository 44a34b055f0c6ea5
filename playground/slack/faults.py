"""Trouble on request: what a test or the page may switch on, and how long it lasts.

Web API faults: `429`, `500`, `500_after`, `timeout_before`, `timeout_after`, `reset_before`, `reset_after`
("after" means the effect took place and only its answer is lost, or says 500), `revoked_token`.
Delivery faults: `duplicate`, `reorder`, `drop_socket`, `slow_ack`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

API_FAULTS = (
    "429", "500", "500_after", "timeout_before", "timeout_after", "reset_before", "reset_after", "revoked_token",
)  # fmt: skip
DELIVERY_FAULTS = ("duplicate", "reorder", "drop_socket", "slow_ack")


@dataclass(slots=True, kw_only=True)
class Fault:
    """One armed fault."""

    kind: str
    target: str = "*"  # API method or envelope type; "*" for any
    times: int = 1  # -1 for until cleared
    skip: int = 0  # let this many matching calls pass first
    seconds: float = 30.0  # Retry-After, length of a timeout, lateness of an acknowledgement

    def wire(self) -> dict[str, Any]:
        """Form for the control endpoint."""
        return {"kind": self.kind, "target": self.target, "times": self.times,
                "skip": self.skip, "seconds": self.seconds}  # fmt: skip


@dataclass(slots=True)
class Faults:
    """The armed faults, oldest first."""

    armed: list[Fault] = field(default_factory=list)

    def arm(self, fault: Fault) -> None:
        """Switch a fault on; ValueError for an unknown kind."""
        if fault.kind not in API_FAULTS + DELIVERY_FAULTS:
            known = ", ".join(API_FAULTS + DELIVERY_FAULTS)
            raise ValueError(f"unknown fault {fault.kind!r}; known are {known}")
        self.armed.append(fault)

    def clear(self) -> None:
        """Switch everything off."""
        self.armed.clear()

    def take(self, kinds: tuple[str, ...], target: str) -> Fault | None:
        """The fault that hits this call, used up by one; None for a normal course."""
        for fault in self.armed:
            if fault.kind not in kinds or fault.target not in ("*", target):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.times > 0:
                fault.times -= 1
            if fault.times == 0:
                self.armed.remove(fault)
            return fault
        return None
