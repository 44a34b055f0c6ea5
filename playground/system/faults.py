"""Faults that tests and demos can switch on in the model server by `POST /admin/fault`.

    {"latency_seconds": 2.0}                  every /predict takes that much longer
    {"fail_predict": true}                    /predict answers 500
    {"refuse_reload": "registry is locked"}   /admin/reload-model answers 503 with this reason
    {"blank_feature": 0.3}                    that share of the rows has -1 in one feature, as from a broken feed
    {"unload": true}                          drops the model once; /health turns to 503 until the next reload
    {"clear": true}                           everything above off

Several may be given at once; what is not named stays as it is.
"""

from __future__ import annotations

import random
import time
from threading import Lock
from typing import Any

from playground.system.serving import BadRequest, LoadFailed

LATENCY_CAP_SECONDS = 30.0
BLANKED, BLANK = 28, -1.0  # pixel_3_4, in the middle; what a feed writes for "no value"


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
        self._blank_feature = 0.0

    def change(self, body: Any) -> bool:
        """Set what `body` names.

        Returns whether the model is to be dropped. BadRequest, and no change at all, on a wrong body.
        """
        known = {"latency_seconds", "fail_predict", "refuse_reload", "blank_feature", "unload", "clear"}
        if not isinstance(body, dict) or not body or set(body) - known:
            raise BadRequest(f"a fault is a JSON object with some of: {', '.join(sorted(known))}")
        latency = body.get("latency_seconds", 0.0)
        if isinstance(latency, bool) or not isinstance(latency, int | float) or not 0 <= latency <= LATENCY_CAP_SECONDS:
            raise BadRequest(f"latency_seconds must be a number from 0 to {LATENCY_CAP_SECONDS:g}")
        blank = body.get("blank_feature", 0.0)
        if isinstance(blank, bool) or not isinstance(blank, int | float) or not 0 <= blank <= 1:
            raise BadRequest("blank_feature must be a share from 0 to 1")
        with self._lock:
            if body.get("clear"):
                self._off()
            if "latency_seconds" in body:
                self._latency_seconds = float(latency)
            if "blank_feature" in body:
                self._blank_feature = float(blank)
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
                "blank_feature": self._blank_feature,
            }

    def on_rows(self, body: Any) -> Any:
        """The request as a broken feed would have sent it: -1 for one feature of a share of the rows."""
        share = self.state()["blank_feature"]
        rows = body.get("rows") if share and isinstance(body, dict) else None
        if not isinstance(rows, list):
            return body
        broken = [
            [*row[:BLANKED], BLANK, *row[BLANKED + 1 :]]
            if isinstance(row, list) and len(row) > BLANKED and random.random() < share else row
            for row in rows
        ]  # fmt: skip
        return {**body, "rows": broken}

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
