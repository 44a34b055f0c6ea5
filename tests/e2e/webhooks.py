"""Alertmanager's webhook as its documentation gives it, for tests that need no Alertmanager."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

_number = itertools.count(1)


def alert(*, resolved: bool = False, fingerprint: str = "", starts_at: str = "", **labels: str) -> dict[str, Any]:
    """One alert about the model server unless labels say otherwise."""
    now = datetime.now(UTC).isoformat()
    return {
        "status": "resolved" if resolved else "firing",
        "labels": {
            "alertname": "ModelNotLoaded", "system": "playground", "service": "intent-server", "severity": "critical",
            "model": "intent_classifier", "signal": "model_loaded", **labels,
        },
        "annotations": {"summary": "No model is loaded", "value": "0"},
        "startsAt": starts_at or now,
        "endsAt": now if resolved else "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1:9/graph",
        "fingerprint": fingerprint or f"{next(_number):016x}",
    }  # fmt: skip


def webhook(*alerts: object, truncated: int = 0) -> dict[str, Any]:
    """A notification with these alerts."""
    return {
        "version": "4", "groupKey": '{}:{alertname="ModelNotLoaded"}', "truncatedAlerts": truncated, "status": "firing",
        "receiver": "mlops-bot", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9", "alerts": list(alerts),
    }  # fmt: skip
