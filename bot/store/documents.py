"""Records as JSON text and back, and strangers' text in a form that both databases take.

PostgreSQL refuses NUL in text and neither database takes half a surrogate pair; both can be in a label or in what a
person typed. They become U+FFFD. Keys that are part of an index are bounded, because PostgreSQL refuses long ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pydantic import TypeAdapter

from bot.model import Alert, Incident

_INCIDENT: TypeAdapter[Incident] = TypeAdapter(Incident)
_ALERT: TypeAdapter[Alert] = TypeAdapter(Alert)
_KEY_BYTES = 500  # an index entry of PostgreSQL may have 2,700, and some of ours join three keys


def clean(text: str) -> str:
    """The text without what a database cannot keep."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "\ufffd")


def bounded(key: str) -> str:
    """The key itself when it is short, else its beginning and a hash of it: two keys stay two."""
    key = clean(key)
    raw = key.encode()
    if len(raw) <= _KEY_BYTES:
        return key
    return raw[: _KEY_BYTES - 65].decode(errors="ignore") + "#" + hashlib.sha256(raw).hexdigest()


def write_json(value: object) -> str:
    """JSON text of plain data, cleaned; keys become text. What is not plain (a datetime) becomes its text."""
    return json.dumps(_cleaned(value), ensure_ascii=False, separators=(",", ":"), default=str)


def read_mapping(text: str) -> dict[str, object]:
    """What `write_json` wrote of a mapping."""
    found = json.loads(text)
    return dict(found) if isinstance(found, dict) else {}


def read_words(text: str) -> dict[str, str]:
    """What `write_json` wrote of a mapping of texts."""
    return {key: str(value) for key, value in read_mapping(text).items()}


def write_incident(incident: Incident) -> str:
    """An incident as JSON text. Raises when a field does not hold what its type says: it could not be read again."""
    return write_json(_INCIDENT.dump_python(incident, mode="json", warnings="error"))


def read_incident(text: str) -> Incident:
    """What `write_incident` wrote, by this version of the code or an older one (missing fields take their defaults)."""
    return _INCIDENT.validate_json(text)


def write_alert(alert: Alert) -> str:
    """An alert as JSON text."""
    return write_json(_ALERT.dump_python(alert, mode="json", warnings="error"))


def read_alert(text: str) -> Alert:
    """What `write_alert` wrote."""
    return _ALERT.validate_json(text)


def _cleaned(value: object) -> object:
    match value:
        case str():
            return clean(value)
        case Mapping():
            return {clean(str(key)): _cleaned(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_cleaned(inner) for inner in value]
    return value
