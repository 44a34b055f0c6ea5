"""Links to stored reports: signed, with an end, and worth nothing for any other file.

    Links(key=…, base="https://bot.example", lasts=…).to("DRF-3-html", since) → address, "" when no base is known
    opened(key, token, now) → id of the file, or BadLink

A token is `<id>.<end in seconds since 1970>.<signature>`. The id is looked up in the database, never in a file system,
so no token can name a path. The signing key is derived from the bot's secret key for this one purpose: a signature of
the audit chain is none of a link, and the other way round. Pure: no clock, no I/O.

Rejected: an id that cannot be guessed and no signature. It would never end, and it would stand in the database of
whoever can read that, but not the secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

LASTS = timedelta(days=7)  # long enough for a Monday reader of Friday's report
_PURPOSE = b"mlops-bot report link 1"
_TOKEN = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


class BadLink(Exception):
    """A token that opens nothing. `is_over`: it was ours, and its time has passed."""

    def __init__(self, *, is_over: bool = False) -> None:
        super().__init__("the link has ended" if is_over else "no such link")
        self.is_over = is_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Makes links for one place where people reach the bot."""

    key: bytes  # the bot's secret key; the signing key is derived from it
    base: str = ""  # "https://bot.example", without a slash at the end; "" when it is not known
    lasts: timedelta = LASTS

    def to(self, file_id: str, since: datetime) -> str:
        """The address of a file for as long as links last from `since` on; "" when nobody could reach it."""
        return f"{self.base}/reports/{signed(self.key, file_id, since + self.lasts)}" if self.base and self.key else ""


def signed(key: bytes, file_id: str, until: datetime) -> str:
    """The token for one file until then. ValueError for an id that no file of ours has."""
    end = str(int(until.timestamp()))
    token = f"{file_id}.{end}.{_signature(key, file_id, end)}"
    if not key or not _TOKEN.fullmatch(token):
        raise ValueError("a report's link needs a key and an id of letters, digits and dashes")
    return token


def opened(key: bytes, token: str, now: datetime) -> str:
    """The id of the file that the token opens now. Raises BadLink for every other text, whatever is in it."""
    found = _TOKEN.fullmatch(token)
    if found is None or not key:
        raise BadLink
    file_id, end, signature = found.groups()
    # First whether it is ours, in constant time; only then may anything be said about its end.
    if not hmac.compare_digest(signature, _signature(key, file_id, end)):
        raise BadLink
    if now.timestamp() >= int(end):
        raise BadLink(is_over=True)
    return file_id


def _signature(key: bytes, file_id: str, end: str) -> str:
    own = hmac.new(key, _PURPOSE, hashlib.sha256).digest()
    made = hmac.new(own, f"{file_id}\x00{end}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")
