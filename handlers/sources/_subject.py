"""What an alert is about, as far as the profiles know it.

Labels are strangers' words, and what they name is looked at and acted on later. So a label never becomes a system,
service or model; it only selects one that a profile lists. Everything else is "unmapped".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from bot.model import Alert, Subject
from bot.policy import System
from bot.ports import Notification

UNMAPPED = "unmapped"
_MODEL_LABELS = ("model", "model_name")
_SERVICE_LABELS = ("service", "job")


def subject_of(alert: Alert, systems: Mapping[str, System]) -> tuple[str, Subject]:
    """Name of the system ("unmapped" for none) and what of it the alert is about.

    The label `system` decides. Without it, a model or service that exactly one system lists decides: two systems may
    well have a model of the same name, and a guess would page the wrong people.
    """
    labels = alert.labels
    if "system" in labels:
        system = systems.get(labels["system"])
    else:
        knowing = [one for one in systems.values() if _model(labels, one) or _service(labels, one)]
        system = knowing[0] if len(knowing) == 1 else None
    if system is None:
        return UNMAPPED, Subject(system=UNMAPPED)
    model, service = _model(labels, system), _service(labels, system)
    profile = system.model(model) if model else None
    if profile is not None and not service:
        service = profile.service
    return system.name, Subject(system=system.name, service=service, model=model)


def key_of(subject: Subject, group_key: str, alert: Alert) -> str:
    """Alerts with the same key belong to the same incident.

    System and model (or service) where they are known, else the sender's own group, else the rule's name.
    """
    if subject.model or subject.service:
        return f"{subject.system}/{subject.label}"
    group = hashlib.sha256((group_key or f"{alert.source}:{alert.name}").encode()).hexdigest()[:16]
    return f"{subject.system}/group:{group}"


def _model(labels: Mapping[str, str], system: System) -> str:
    return next((labels[name] for name in _MODEL_LABELS if name in labels and system.model(labels[name])), "")


def _service(labels: Mapping[str, str], system: System) -> str:
    known = {*system.services, *(model.service for model in system.models)} - {""}
    return next((labels[name] for name in _SERVICE_LABELS if labels.get(name) in known), "")


def links_of(alert: Alert, note: Notification) -> tuple[tuple[str, str], ...]:
    """Where a person can look further. Only web addresses: anything else in a label must not become a link."""
    given = (
        ("Runbook", alert.annotations.get("runbook_url", "")),
        ("Dashboard", alert.annotations.get("dashboard_url", "")),
        ("Prometheus", alert.url),
        ("Alertmanager", note.external_url),
    )
    return tuple((label, url) for label, url in given if url.startswith(("https://", "http://")) and len(url) <= 2_000)
