"""The notification Alertmanager would post, built without it, for a demo on a machine that lacks the programs.

Same fields, same labels, same fingerprint. What it does not do: group, repeat, retry. The tests use the real
Alertmanager.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from playground.system.monitoring import Webhook
from playground.system.rules import ACCURACY_LOW, JOB, Rule, fill
from playground.system.wire import call

_NO_END = "0001-01-01T00:00:00Z"  # how Alertmanager writes "not ended"


def build_webhook(
    value: float,
    *,
    started_at: datetime,
    ended_at: datetime | None = None,
    instance: str = "127.0.0.1:8000",
    source_url: str = "http://127.0.0.1:9090",
    rule: Rule = ACCURACY_LOW,
) -> dict[str, Any]:
    """The body for one alert of `rule` with the measured `value`;

    resolved when `ended_at` is given. `source_url` fills the links.
    """
    labels = {"alertname": rule.name, "instance": instance, "job": JOB, **rule.labels()}
    annotations = {name: fill(text, value) for name, text in rule.annotations().items()}
    status = "resolved" if ended_at else "firing"
    group = {"alertname": rule.name, "model": labels["model"], "system": labels["system"]}
    group_text = ", ".join(f'{name}="{text}"' for name, text in sorted(group.items()))
    alert = {
        "status": status,
        "labels": dict(sorted(labels.items())),
        "annotations": dict(sorted(annotations.items())),
        "startsAt": _stamp(started_at),
        "endsAt": _stamp(ended_at) if ended_at else _NO_END,
        "generatorURL": f"{source_url}/graph",
        "fingerprint": fingerprint(labels),
    }
    return {
        "receiver": "mlops-bot",
        "status": status,
        "alerts": [alert],
        "groupLabels": group,
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": source_url,
        "version": "4",
        "groupKey": "{}:{" + group_text + "}",
        "truncatedAlerts": 0,
    }


def post_webhook(webhook: Webhook, body: dict[str, Any]) -> Any:
    """Deliver `body` once;

    returns the answer. Raises CallFailed on anything but 2xx; trying again is the caller's choice.
    """
    return call("POST", webhook.url, body=body, bearer=webhook.token)


def fingerprint(labels: dict[str, str]) -> str:
    """Alertmanager's own: 64-bit FNV-1a over the sorted names and values, each closed by a byte 255."""
    total = 0xCBF29CE484222325
    for name in sorted(labels):
        for byte in (*name.encode(), 0xFF, *labels[name].encode(), 0xFF):
            total = ((total ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{total:016x}"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
