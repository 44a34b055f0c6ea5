"""Alertmanager's webhook, version 4, and whatever else claims to be it.

Old versions, other senders and people with curl leave out or vary almost any field, so each field of each alert is
judged alone: a field that makes no sense is left out, and an alert that cannot be placed is set aside with the reason.
One bad alert never costs its neighbours. Only a body in which no alert can be found is refused as a whole.

Rejected: a pydantic model of the webhook. It is strict where we must be lenient, and slow for 20,000 alerts.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.model import Alert
from bot.ports import NotAWebhook, Notification
from handlers.sources._subject import key_of, links_of, subject_of
from handlers.sources._text import clean

__all__ = ["SOURCE", "key_of", "links_of", "subject_of"]

NAME = "alertmanager"
MAX_LABELS = 64
RAW_CAP = 4_000  # characters kept of an alert that is set aside
TRUNCATED_CAP = 10_000_000  # more is a typing error of the sender
CLOCK_SKEW = timedelta(days=1)  # a start further in the future is a wrong clock, not an alert
# Kept first when there are too many labels: what severity, grouping and mapping read.
_IMPORTANT = ("alertname", "severity", "system", "service", "job", "model", "model_name", "signal", "environment")
_MAX_DEPTH = 32
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class Alertmanager:
    """The source as the registry knows it."""

    name = NAME

    def parse(self, body: bytes, now: datetime) -> Notification:
        """Judge a webhook's body. Pure; raises NotAWebhook for what is not JSON with a list `alerts`."""
        data = _read(body)
        good: list[Alert] = []
        bad: list[tuple[str, str]] = []
        for raw in data["alerts"]:
            judged = _alert(raw, now)
            if isinstance(judged, str):
                bad.append((_raw(raw), judged))
            else:
                good.append(judged)
        return Notification(
            group_key=_short(data.get("groupKey")), truncated=_count(data.get("truncatedAlerts")),
            receiver=clean(data.get("receiver"), 200), external_url=_address(data.get("externalURL")),
            alerts=tuple(good), quarantined=tuple(bad),
        )  # fmt: skip


def _read(body: bytes) -> dict[str, Any]:
    # A single wrong byte in one label must not cost the other alerts, so it becomes a replacement character.
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        data = _loads(text)
    except RecursionError:
        try:
            data = _loads(_flattened(text))
        except (ValueError, RecursionError):
            raise NotAWebhook("The body is not JSON. Send Alertmanager's webhook (version 4).") from None
    except ValueError:
        raise NotAWebhook("The body is not JSON. Send Alertmanager's webhook (version 4).") from None
    if not isinstance(data, dict) or not isinstance(data.get("alerts"), list):
        raise NotAWebhook(
            "The body is JSON, but no object with a list `alerts`. Send Alertmanager's webhook (version 4)."
        )
    return data


def _loads(text: str) -> Any:
    # Python refuses to read integers of thousands of digits; nothing here needs one.
    return json.loads(text, parse_constant=str, parse_int=lambda digits: int(digits) if len(digits) < 20 else digits)


def _flattened(text: str) -> str:
    """The same JSON with everything nested deeper than any webhook is replaced by null."""
    kept: list[str] = []
    depth, start = 0, 0
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "[{":
            depth += 1
            if depth == _MAX_DEPTH:
                kept += [text[start : token.start()], "null"]
        elif sign in "]}":
            if depth == _MAX_DEPTH:
                start = token.end()
            depth -= 1
    return "".join([*kept, text[start:]])


def _alert(raw: object, now: datetime) -> Alert | str:
    """The alert, or why it is set aside."""
    if not isinstance(raw, dict):
        return "it is not an object"
    started = _time(raw.get("startsAt"))
    if started is None:
        return "startsAt is missing or is no time"
    if started > now + CLOCK_SKEW:
        return f"startsAt ({started:%Y-%m-%d %H:%M} UTC) lies in the future; check the sender's clock"
    given = raw.get("labels")
    labels = given if isinstance(given, dict) else {}
    fingerprint = _short(raw.get("fingerprint"))
    if not labels and not fingerprint:
        return "it has neither labels nor a fingerprint, so it cannot be told from others"
    ended = _time(raw.get("endsAt"))
    over = str(raw.get("status")).strip().lower() == "resolved" or (ended is not None and ended <= now)
    return Alert(
        source=NAME, fingerprint=fingerprint or _computed(labels), firing=not over, starts_at=started, ends_at=ended,
        labels=_texts(labels, one_line=True), annotations=_texts(raw.get("annotations"), one_line=False),
        url=_address(raw.get("generatorURL")),
    )  # fmt: skip


def _texts(given: object, *, one_line: bool) -> dict[str, str]:
    """Names and values as clean text. What is empty, nested or one too many is left out, the important ones never."""
    if not isinstance(given, dict):
        return {}
    names = list(given)
    if len(names) > MAX_LABELS:
        first = [name for name in _IMPORTANT if name in given]
        names = [*first, *(name for name in names if name not in _IMPORTANT)][:MAX_LABELS]
    texts = ((clean(name, 200), clean(given[name], one_line=one_line)) for name in names)
    return {name: text for name, text in texts if name and text}


def _time(value: object) -> datetime | None:
    """An aware UTC time, None for what is none. Alertmanager writes "not yet" as the year 1."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year >= 2000 else None


def _short(value: object) -> str:
    """An identifying text. One that cleaning or cutting would change is replaced by its hash, so that two stay two."""
    text = clean(value, 500)
    if not isinstance(value, str) or text == value:
        return text
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest() if text else ""


def _computed(labels: dict[str, Any]) -> str:
    """A fingerprint for an alert that came without one: the same for the same labels in any order."""
    try:
        text = json.dumps(labels, sort_keys=True)
    except RecursionError:
        text = "".join(f"{name}={clean(labels[name])}\n" for name in sorted(labels))
    return hashlib.sha256(text.encode()).hexdigest()


def _address(value: object) -> str:
    """A link to an http(s) page without blanks, "" for everything else."""
    text = clean(value)
    is_link = text.startswith(("http://", "https://")) and not text.endswith("…")
    return text if is_link and not any(sign in text for sign in ' <>|"') else ""


def _count(value: object) -> int:
    try:
        return min(max(int(str(value)[:20]), 0), TRUNCATED_CAP)
    except ValueError:
        return 0


def _raw(raw: object) -> str:
    try:
        return clean(json.dumps(raw), RAW_CAP)
    except RecursionError:
        return "(nested too deeply to be shown)"


SOURCE = Alertmanager()
