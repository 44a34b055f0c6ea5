"""Faults that tests and demos can switch on in the model server by `POST /admin/fault`.

    {"latency_seconds": 2.0}                  every /predict takes that much longer
    {"fail_predict": true}                    /predict answers 500
    {"refuse_reload": "registry is locked"}   /admin/reload-model answers 503 with this reason
    {"unload": true}                          drops the model once; /health turns to 503 until the next reload
    {"clear": true}                           everything above off

Several may be given at once; what is not named stays as it is.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import Any

from playground.system.serving import BadRequest, LoadFailed

LATENCY_CAP_SECONDS = 30.0


class InjectedFault(Exception):
    """Raised in place of an answer; the server turns it into a 500."""


class Faults:
    """The switches. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._off()

    def _off(self) -> None:
        self._latency_seconds = 0.0
        self._fail_predict = False
        self._refuse_reload: str | None = None

    def change(self, body: Any) -> bool:
        """Set what `body` names.

        Returns whether the model is to be dropped. BadRequest, and no change at all, on a wrong body.
        """
        known = {"latency_seconds", "fail_predict", "refuse_reload", "unload", "clear"}
        if not isinstance(body, dict) or not body or set(body) - known:
            raise BadRequest(f"a fault is a JSON object with some of: {', '.join(sorted(known))}")
        latency = body.get("latency_seconds", 0.0)
        if isinstance(latency, bool) or not isinstance(latency, int | float) or not 0 <= latency <= LATENCY_CAP_SECONDS:
            raise BadRequest(f"latency_seconds must be a number from 0 to {LATENCY_CAP_SECONDS:g}")
        with self._lock:
            if body.get("clear"):
                self._off()
            if "latency_seconds" in body:
                self._latency_seconds = float(latency)
            if "fail_predict" in body:
                self._fail_predict = bool(body["fail_predict"])
            if "refuse_reload" in body:
                self._refuse_reload = str(body["refuse_reload"])[:200] if body["refuse_reload"] else None
        return bool(body.get("unload"))

    def state(self) -> dict[str, Any]:
        with self._lock:
            return {
                "latency_seconds": self._latency_seconds,
                "fail_predict": self._fail_predict,
                "refuse_reload": self._refuse_reload,
            }

    def before_predict(self) -> None:
        """Slow down or fail, as set."""
        state = self.state()
        if state["latency_seconds"]:
            time.sleep(state["latency_seconds"])
        if state["fail_predict"]:
            raise InjectedFault("the fault `fail_predict` is on")

    def before_reload(self) -> None:
        reason = self.state()["refuse_reload"]
        if reason:
            raise LoadFailed(reason, kept_version=None, status=503)
