"""Who says to be MLflow must prove it, and lately; what it says is judged like anything a stranger sends."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.hooks import Sender, Told, Unread, Unsigned, read

NOW = datetime(2026, 3, 4, 14, 35, tzinfo=UTC)
SECRET = "a-secret-of-thirty-two-characters"
SHOP = Sender(system="shop", backend="registry", secret=SECRET)
BANK = Sender(system="bank", backend="registry", secret="another-secret-of-the-bank")
DATA = {"name": "intent", "alias": "champion", "version": "3"}


def event(**changes: Any) -> dict[str, Any]:
    whole = {
        "entity": "model_version_alias", "action": "created", "timestamp": NOW.isoformat(), "data": DATA,
    }  # fmt: skip
    return whole | changes


def signed(body: bytes, *, secret: str = SECRET, at: datetime = NOW, **changes: str) -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    mac = hmac.new(secret.encode(), f"d-1.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "x-mlflow-delivery-id": "d-1", "x-mlflow-timestamp": stamp,
        "x-mlflow-signature": f"v1,{base64.b64encode(mac).decode()}",
    } | changes  # fmt: skip


def heard(body: bytes, headers: dict[str, str], senders: tuple[Sender, ...] = (SHOP, BANK)) -> Told:
    return read(body, headers, senders, NOW)


def test_a_good_delivery_is_understood() -> None:
    body = json.dumps(event()).encode()
    told = heard(body, signed(body))
    assert (told.senders, told.model, told.alias, told.version, told.at) == ((SHOP,), "intent", "champion", "3", NOW)


def test_the_secret_says_whose_model_is_meant() -> None:
    body = json.dumps(event()).encode()
    assert heard(body, signed(body, secret=BANK.secret)).senders == (BANK,)


def test_an_alias_that_was_taken_away_has_no_version() -> None:
    body = json.dumps(event(action="deleted", data={"name": "intent", "alias": "champion"})).encode()
    assert heard(body, signed(body)).version == ""


@pytest.mark.parametrize("changes", [
    {"x-mlflow-signature": ""}, {"x-mlflow-signature": "v1,"}, {"x-mlflow-signature": "v1,!!"},
    {"x-mlflow-signature": "v2,AAAA"}, {"x-mlflow-delivery-id": "d-2"}, {"x-mlflow-timestamp": "1"},
    {"x-mlflow-timestamp": ""}, {"x-mlflow-timestamp": "٣"}, {"x-mlflow-delivery-id": ""},
])  # fmt: skip
def test_what_was_changed_on_the_way_is_refused(changes: dict[str, str]) -> None:
    body = json.dumps(event()).encode()
    with pytest.raises(Unsigned):
        heard(body, signed(body) | changes)


def test_a_body_changed_by_one_byte_is_refused() -> None:
    body = json.dumps(event()).encode()
    with pytest.raises(Unsigned, match="fits no secret"):
        heard(body.replace(b'"3"', b'"4"'), signed(body))


@pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(minutes=-6), timedelta(days=400)])
def test_a_good_signature_that_is_old_is_refused(age: timedelta) -> None:
    body = json.dumps(event()).encode()
    with pytest.raises(Unsigned, match="five minutes"):
        heard(body, signed(body, at=NOW - age))


@pytest.mark.parametrize("senders", [(), (Sender(system="shop", backend="registry", secret=""),)])
def test_without_a_secret_nobody_comes_in(senders: tuple[Sender, ...]) -> None:
    body = json.dumps(event()).encode()
    with pytest.raises(Unsigned):
        heard(body, signed(body, secret=""), senders)


@pytest.mark.parametrize("body", [
    b"", b"[]", b"\xff", b"[" * 50_000, json.dumps(event(data=None)).encode(), json.dumps(event(data={})).encode(),
    json.dumps(event(data=DATA | {"version": ["3"]})).encode(), json.dumps(event(data=DATA | {"name": 3})).encode(),
])  # fmt: skip
def test_a_signed_body_that_is_no_event_is_an_error_of_the_sender(body: bytes) -> None:
    with pytest.raises(Unread):
        heard(body, signed(body))


@pytest.mark.parametrize("changes", [{"entity": "prompt"}, {"action": "renamed"}, {"entity": None}])
def test_an_event_that_is_not_ours_names_no_model(changes: dict[str, Any]) -> None:
    body = json.dumps(event(**changes)).encode()
    assert heard(body, signed(body)).model == ""


@pytest.mark.parametrize("stamp", ["2020-01-01T00:00:00Z", "soon", None, 7])
def test_a_time_in_the_body_that_is_off_is_not_believed(stamp: object) -> None:
    body = json.dumps(event(timestamp=stamp)).encode()
    assert heard(body, signed(body)).at == NOW
