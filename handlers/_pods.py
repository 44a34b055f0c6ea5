"""Looking at the pods of a scene's service: what every diagnostic of a cluster shares."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from bot.policy import WorkloadProfile
from bot.ports import Foreign, Json, Scene, Thing, Workloads
from handlers._kube import POD, selector_of, thing_of

# What looks like a secret in a line that a stranger's program wrote. Generous on purpose: a log that lost a word too
# many still helps, a password in a channel does not.
_SECRETS = (
    re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"),
    re.compile(
        r"(?i)([\"']?[\w.-]*(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|credential)[\w.-]*[\"']?\s*[=:]\s*)"
        r"(\"[^\"]*\"|'[^']*'|[^\s,;&}]+)"
    ),
    re.compile(r"://[^/\s:@]+:[^@\s/]+@"),
    re.compile(r"\b(?:xox[abeoprs]|xapp|ghp|gho|github_pat|glpat|sk|rk|pk)[-_][A-Za-z0-9_-]{8,}"),
    re.compile(r"\bAKIA[0-9A-Z]{12,}\b"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    re.compile(r"\b[0-9a-fA-F]{40,}\b"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The service of a scene and the cluster that runs it."""

    profile: WorkloadProfile
    port: Workloads
    thing: Thing

    @property
    def pods(self) -> Thing:
        """All pods of the namespace."""
        return Thing(kind=POD, namespace=self.thing.namespace)

    def live(self) -> Json:
        """The workload as it is now."""
        return {"kind": self.thing.kind.name, **self.port.get(self.thing)}

    def own_pods(self, live: Json) -> list[Json]:
        """Its pods, by name."""
        found = self.port.list(self.pods, labels=selector_of(live))
        return sorted(found, key=lambda pod: str(pod.get("metadata", {}).get("name")))


def place_of(scene: Scene) -> Place:
    """The scene's service in its cluster. Foreign("not_found") when the profile does not say which."""
    service = scene.service or (scene.model.service if scene.model is not None else "")
    profile = scene.system.workload(service)
    port = scene.backends.get(profile.backend) if profile is not None else None
    if profile is None or port is None:
        why = f"The profile of {scene.system.name} does not say which cluster runs {service or 'this'}."
        raise Foreign("not_found", f"{why} Give the service a `backend` in system.yaml.")
    return Place(profile=profile, port=cast("Workloads", port), thing=thing_of(profile))


def redacted(line: str) -> str:
    """The line without what looks like a secret."""
    for pattern in _SECRETS:
        line = pattern.sub(_hide, line)
    return line


def _hide(match: re.Match[str]) -> str:
    if match.re.groups == 2:
        return f"{match[1]}…"
    if match.re.groups == 1:
        return f"{match[1]} …"
    return "://…@" if match[0].startswith("://") else "…"
