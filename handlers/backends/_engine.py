"""One call to a Docker engine, over its socket or HTTP, that ends in time; failures in our closed set of reasons."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from bot.ports import Foreign
from handlers.backends._http import ANSWER_CAP_BYTES, Answer, decoded, plain

_WHO = "The Docker engine"


class Engine:
    """An engine by its address: `unix:///var/run/docker.sock`, or `http://host:port` (a proxy before the socket)."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        is_socket = parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc
        if not is_socket and (parts.scheme != "http" or not parts.hostname):
            raise ValueError(
                f"compose needs `url`, like unix:///var/run/docker.sock or http://host:port; got “{url[:80]}”."
            )
        self.place = parts.path if is_socket else parts.netloc
        self._socket = parts.path if is_socket else ""
        self._address = (parts.hostname or "engine", parts.port or 2375)

    def call(
        self, method: str, path: str, limit_s: float, *, query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[Answer, bytes]:  # fmt: skip
        """The answer and its raw body. Raises Foreign("unreachable", "timeout" or "refused")."""
        target = f"{path}?{urlencode(query)}" if query else path
        sent = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if sent is not None else {}
        connection = http.client.HTTPConnection(*self._address, timeout=limit_s)
        try:
            self._connect(connection, limit_s)
            connection.request(method, target, sent, headers)
            answer = connection.getresponse()
            raw = _read(answer, time.monotonic() + limit_s)
        except TimeoutError:
            raise Foreign("timeout", f"{_WHO} at {self.place} did not answer within {limit_s:g} s.") from None
        except (OSError, http.client.HTTPException) as problem:
            text = f"{_WHO} at {self.place} broke the connection ({type(problem).__name__})."
            raise Foreign("unreachable", text) from None
        finally:
            connection.close()
        return Answer(status=answer.status, data=decoded(raw)), raw

    def odd(self, answer: Answer, what: str) -> Foreign:
        """A failure in the engine's words. A status below 500 means that nothing was done."""
        said = plain(answer.word("message")) or f"status {answer.status}"
        reasons = {400: "invalid", 401: "refused", 403: "refused", 404: "not_found", 409: "conflict"}
        happened = False if answer.status < 500 else None
        text = f"{_WHO} at {self.place} refused {what}: {said.rstrip('.')}."
        return Foreign(reasons.get(answer.status, "broken"), text, happened=happened)

    def _connect(self, connection: http.client.HTTPConnection, limit_s: float) -> None:
        """Raises Foreign when no connection comes about, so that nothing can have happened."""
        try:
            if self._socket:
                connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                connection.sock.settimeout(limit_s)
                connection.sock.connect(self._socket)
            else:
                connection.connect()
        except PermissionError:
            text = f"The bot may not use the socket {self.place}. Give its user the group of the socket."
            raise Foreign("refused", text, happened=False) from None
        except OSError as problem:
            why = problem.strerror or type(problem).__name__
            text = f"{_WHO} at {self.place} cannot be reached: {why}."
            raise Foreign("unreachable", text, happened=False) from None


def _read(answer: http.client.HTTPResponse, until: float) -> bytes:
    pieces, size = [], 0
    while piece := answer.read1(65_536):
        pieces.append(piece)
        size += len(piece)
        if size > ANSWER_CAP_BYTES:
            break  # a log line without end; its beginning is enough
        if time.monotonic() > until:
            raise TimeoutError
    return b"".join(pieces)


def unframed(raw: bytes) -> str:
    """A container's log as text: without a terminal the engine sends frames with an eight-byte head each."""
    if raw[:1] not in (b"\x00", b"\x01", b"\x02") or raw[1:4] != b"\x00\x00\x00":
        return raw.decode(errors="replace")
    found, at = [], 0
    while at + 8 <= len(raw):
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        found.append(raw[at + 8 : at + 8 + size])
        at += 8 + size
    return b"".join(found).decode(errors="replace")
