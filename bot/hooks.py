"""What MLflow tells by itself: a webhook, verified before a word of it is believed.

MLflow signs id, time and body of a delivery with the secret that both sides know (HMAC-SHA256). A delivery without a
good signature, or older than five minutes, is refused; one that was taken before is answered and does nothing. Stage
changes send no webhook and no payload names a person, so polling stays the base and this only makes it quicker.

A secret belongs to a backend of a system, so it also says whose model is meant where two systems use one name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

FRESH = timedelta(minutes=5)
KEEP_IDS = timedelta(minutes=15)  # longer than a delivery stays fresh, on either side of our clock
_ID_CAP = 200
_VERSION = "v1,"
SECRET_KEY = "webhook_secret"  # noqa: S105 - the name of a setting


class Unsigned(Exception):
    """Nobody we know has sent this, or not now. The message says what is wrong and holds no secret."""


class Unread(ValueError):
    """The sender is known, but what it sent is no event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A backend that may send webhooks."""

    system: str
    backend: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One verified delivery. Without a model it is none that the ledger needs."""

    delivery_id: str
    senders: tuple[Sender, ...]  # whose secret fits; several may share a server
    what: str  # "model_version_alias.created"
    at: datetime
    model: str = ""
    alias: str = ""
    version: str = ""  # "" when the alias was taken away


def read(body: bytes, headers: Mapping[str, str], senders: Sequence[Sender], now: datetime) -> Told:
    """A delivery, verified and understood. Raises Unsigned or Unread. `headers` are by lower-case name."""
    delivery_id, stamp = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
    fits = _signers(body, delivery_id, stamp, headers.get("x-mlflow-signature", ""), senders)
    if not senders:
        raise Unsigned(f"No backend has a `{SECRET_KEY}`, so nobody may send webhooks here. Set it in system.yaml.")
    if not fits:
        raise Unsigned("The signature fits no secret. Give MLflow's webhook and the backend the same one.")
    if not delivery_id or len(delivery_id) > _ID_CAP:
        raise Unsigned("The delivery has no id, so it could be sent twice.")
    sent_at = datetime.fromtimestamp(int(stamp), UTC) if _is_time(stamp) else None
    if sent_at is None or abs(now - sent_at) > FRESH:
        raise Unsigned("The delivery is older than five minutes, or the clocks differ. Set the clocks.")
    return _understood(body, delivery_id, fits, sent_at)


def _signers(body: bytes, delivery_id: str, stamp: str, given: str, senders: Sequence[Sender]) -> tuple[Sender, ...]:
    try:
        signature = base64.b64decode(given.removeprefix(_VERSION), validate=True) if given.startswith(_VERSION) else b""
    except (binascii.Error, ValueError):
        signature = b""
    signed = f"{delivery_id}.{stamp}.".encode("utf-8", "surrogatepass") + body
    # Every secret is tried, so that the time taken tells nothing. An empty secret is none.
    fits = [
        hmac.compare_digest(hmac.new(one.secret.encode(), signed, hashlib.sha256).digest(), signature)
        for one in senders
    ]
    return tuple(one for one, is_good in zip(senders, fits, strict=True) if is_good and one.secret)


def _is_time(stamp: str) -> bool:
    return stamp.isascii() and stamp.isdigit() and len(stamp) <= 11


def _understood(body: bytes, delivery_id: str, fits: tuple[Sender, ...], sent_at: datetime) -> Told:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise Unread("The body is not JSON.") from None
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
        raise Unread("The body is no event of MLflow: it has no `data`.")
    what = f"{event.get('entity')}.{event.get('action')}"[:100]
    data: Mapping[str, Any] = event["data"]
    told = Told(delivery_id=delivery_id, senders=fits, what=what, at=_at(event.get("timestamp"), sent_at))
    if what not in ("model_version_alias.created", "model_version_alias.deleted"):
        return told
    model, alias = data.get("name"), data.get("alias")
    version = data.get("version", "") if what.endswith("created") else ""
    if not (isinstance(model, str) and isinstance(alias, str) and isinstance(version, (str, int)) and model and alias):
        raise Unread("The event names no model, alias and version.")
    return Told(
        delivery_id=delivery_id, senders=fits, what=what, at=told.at, model=model[:500], alias=alias[:500],
        version=str(version)[:100],
    )  # fmt: skip


def _at(given: object, sent_at: datetime) -> datetime:
    """When it happened: the event's own time where it is near the signed one, which it is signed with."""
    try:
        found = datetime.fromisoformat(given) if isinstance(given, str) else sent_at
    except ValueError:
        return sent_at
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return found if abs(found - sent_at) <= FRESH else sent_at
