"""What a Kubernetes API says when it does not do what it was asked, in our closed set of reasons.

A 4xx answer means that nothing was written. After anything else (no answer, 5xx) it cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.ports import Foreign, Thing
from handlers.backends._http import plain

DOCS = "docs/reference/kubernetes-permissions.md"
# The API's words when a `test` operation of a JSON patch fails; other 422 answers name a field.
_TEST_FAILED = "the server rejected our request due to an error in our request"
_RBAC = re.compile(r"cannot \w+ resource")
_VERBS = {"GET": "get", "LIST": "list", "PATCH": "patch", "POST": "create", "DELETE": "delete", "PUT": "update"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call, for words about it."""

    method: str  # GET, LIST, PATCH, POST, DELETE
    thing: Thing
    sub: str = ""

    @property
    def rule(self) -> str:
        """The permission it needs: patch deployments/scale in apps, namespace shop."""
        kind = self.thing.kind
        resource = f"{kind.plural}/{self.sub}" if self.sub else kind.plural
        group = f" in {kind.group}" if kind.group else ""
        return f"{_VERBS[self.method]} {resource}{group}, namespace {self.thing.namespace}"


def missing_rule(rule: str) -> str:
    """The sentence about a permission we lack."""
    return f"Kubernetes does not let this bot do it: its role lacks the rule “{rule}”. Add it; see {DOCS}."


def foreign(place: str, asked: Asked, status: int, body: Any) -> Foreign:
    """An answer that is no success."""
    said = plain(str(body.get("message") or "")) if isinstance(body, Mapping) else ""
    what = asked.thing.label + (f" ({asked.sub})" if asked.sub else "")
    if status == 401:
        text = f"{place} does not know us: the token is wrong or has expired. Renew the credentials of this backend."
        return Foreign("refused", text, happened=False)
    if status == 403:
        if not said or _RBAC.search(said):
            return Foreign("refused", missing_rule(asked.rule), happened=False)
        return Foreign("refused", f"{place} refused it: {said.rstrip('.')}.", happened=False)
    if status == 404:
        return Foreign("not_found", f"{place} has no {what}.", happened=False)
    if status in (409, 410, 412):
        return Foreign("conflict", f"{what} was changed by somebody else meanwhile ({said or status}).", happened=False)
    if status == 422 and _TEST_FAILED in said:
        text = f"{what} is not as it was when this was planned: somebody changed it."
        return Foreign("conflict", text, happened=False)
    if 400 <= status < 500 and status != 429:
        text = f"{place} did not accept the change of {what}: {said.rstrip('.') or f'it answered {status}'}."
        return Foreign("invalid", text, happened=False)
    if status in (429, 503):
        text = f"{place} is overloaded or starting ({status}). It is asked again in a moment."
        # 429 is said before anything is done; a 503 may come from something in between.
        return Foreign("overloaded", text, happened=False if status == 429 else None)
    if status == 504:
        return Foreign("timeout", f"{place} did not finish in time (504).")
    return Foreign("broken", f"{place} failed with {status}{f': {said}' if said else ''}.")
