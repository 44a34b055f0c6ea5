"""The alert rules as data: from here come the rule file for Prometheus and the webhook we post without it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from playground.system.registry import MODEL_NAME

SYSTEM = "playground"
SERVICE = "intent-server"
JOB = "intent-server"
# Named in every alert; override with where your runbooks are published.
RUNBOOK_BASE = "https://runbooks.example.com/playground"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One alert.

    `hold` and `keep` are Prometheus durations, scaled down so that a demo is not a matter of quarter hours.
    """

    name: str
    expression: str
    signal: str
    severity: str
    bound: str
    summary: str
    description: str
    hold: str = "3s"
    keep: str | None = None

    def labels(self) -> dict[str, str]:
        return {
            "severity": self.severity,
            "system": SYSTEM,
            "service": SERVICE,
            "model": MODEL_NAME,
            "signal": self.signal,
            "environment": "production",
        }

    def annotations(self) -> dict[str, str]:
        return {
            "summary": self.summary,
            "description": self.description,
            "value": "{{ $value }}",
            "bound": self.bound,
            "runbook_url": f"{RUNBOOK_BASE}/{self.name}",
        }


_TWO_PLACES = '{{ $value | printf "%.2f" }}'
ACCURACY_LOW = Rule(
    name="ModelAccuracyLow",
    expression=f'model_accuracy{{job="{JOB}"}} < 0.80',
    signal="accuracy",
    severity="critical",
    bound="0.80",
    summary=f"Accuracy of {MODEL_NAME} is {_TWO_PLACES}, under the bound 0.80",
    description="Measured over the last 200 predictions whose true label is known.",
    # After a reload there is no accuracy until enough labels came in. No news must not count as good news.
    keep="5s",
)
RULES = (
    ACCURACY_LOW,
    Rule(
        name="ModelErrorRateHigh",
        expression=(
            f'sum by (job, instance) (rate(http_requests_total{{job="{JOB}",endpoint="/predict",status=~"5.."}}[15s]))'
            f' / sum by (job, instance) (rate(http_requests_total{{job="{JOB}",endpoint="/predict"}}[15s])) > 0.05'
        ),
        signal="error_rate",
        severity="critical",
        bound="0.05",
        summary=f"{_TWO_PLACES} of the predictions of {SERVICE} fail, over the bound 0.05",
        description="Share of /predict requests answered with 5xx in the last 15 seconds.",
    ),
    Rule(
        name="ModelLatencyHigh",
        expression=(
            "histogram_quantile(0.95, sum by (job, instance, le)"
            f' (rate(http_request_duration_seconds_bucket{{job="{JOB}",endpoint="/predict"}}[15s]))) > 1'
        ),
        signal="latency",
        severity="warning",
        bound="1",
        summary=f"95 of 100 predictions of {SERVICE} take up to {_TWO_PLACES} s, over the bound 1 s",
        description="95th percentile of the time to answer /predict in the last 15 seconds.",
    ),
    Rule(
        name="ModelServerDown",
        expression=f'up{{job="{JOB}"}} == 0 or absent(up{{job="{JOB}"}})',
        signal="up",
        severity="critical",
        bound="1",
        summary=f"{SERVICE} does not answer",
        description="Prometheus cannot read /metrics of the model server: nothing is being served.",
    ),
    Rule(
        name="ModelNotLoaded",
        expression=f'up{{job="{JOB}"}} == 1 unless on (job, instance) model_info',
        signal="model_loaded",
        severity="critical",
        bound="1",
        summary=f"{SERVICE} answers, but has no model loaded",
        description="The process is alive and exports no model_info; every prediction is refused.",
    ),
)
WATCHDOG = "Watchdog"


def rule_file() -> str:
    """The rules as YAML for Prometheus, with the alert that always fires so that its absence can be noticed."""
    groups = [{"name": "intent_classifier", "rules": [_entry(rule) for rule in RULES] + [_watchdog()]}]
    return yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000)


def _entry(rule: Rule) -> dict[str, Any]:
    entry: dict[str, Any] = {"alert": rule.name, "expr": rule.expression, "for": rule.hold}
    if rule.keep:
        entry["keep_firing_for"] = rule.keep
    return entry | {"labels": rule.labels(), "annotations": rule.annotations()}


def _watchdog() -> dict[str, Any]:
    return {
        "alert": WATCHDOG,
        "expr": "vector(1)",
        "labels": {"severity": "none", "system": SYSTEM},
        "annotations": {"summary": "Always firing: shows that alerts can travel at all"},
    }


def fill(template: str, value: float) -> str:
    """Put `value` where a rule's text says `{{ $value }}`, plain or with the one printf used above."""
    two_places = re.sub(r"\{\{ \$value \| printf \"%\.2f\" \}\}", f"{value:.2f}", template)
    return two_places.replace("{{ $value }}", f"{value:.4g}")
