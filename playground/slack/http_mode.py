"""HTTP mode: signed POSTs to the app's request URL."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp

from playground.slack.delivery import ACK_DEADLINE_S, Envelope

if TYPE_CHECKING:
    from playground.slack.world import World

FORM = "application/x-www-form-urlencoded"


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Slack's `v0` request signature."""
    base = b"v0:%d:%s" % (timestamp, body)
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def encode(envelope: Envelope) -> tuple[bytes, str]:
    """Body and content type, which differ for events, commands and interactions."""
    if envelope.kind == "events_api":
        return json.dumps(envelope.payload).encode(), "application/json"
    if envelope.kind == "slash_commands":
        return urlencode(envelope.payload).encode(), FORM
    return urlencode({"payload": json.dumps(envelope.payload)}).encode(), FORM


class HttpMode:
    """Posts envelopes to the request URL."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._session: aiohttp.ClientSession | None = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def hand_over(self, envelope: Envelope, number: int, reason: str) -> str:
        """POST once; anything but a 2xx within three seconds is a miss."""
        body, content_type = encode(envelope)
        headers = {"Content-Type": content_type}
        if number and envelope.kind == "events_api":
            headers |= {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": reason}
        work = asyncio.ensure_future(self._post(envelope, body, headers))
        if not await self._world.clock.wait_for(work, ACK_DEADLINE_S):
            work.cancel()
            return "timeout"
        return work.result()

    async def _post(self, envelope: Envelope, body: bytes, headers: dict[str, str]) -> str:
        # The stamp is the machine's time: the app compares it with its own clock.
        stamp = int(time.time())
        headers |= {
            "User-Agent": "Slackbot 1.0 (local workspace)",
            "X-Slack-Request-Timestamp": str(stamp),
            "X-Slack-Signature": sign(self._world.credentials.signing_secret, stamp, body),
        }
        url = self._world.delivery.request_url or ""
        envelope.attempts[-1].to = url
        try:
            async with self._client().post(url, data=body, headers=headers) as response:
                text = await response.text()
                fault = self._world.faults.take(("slow_ack",), envelope.kind)
                if fault:
                    await self._world.clock.sleep(fault.seconds)
                envelope.stop = response.headers.get("x-slack-no-retry") == "1"
                if not 200 <= response.status < 300:
                    return f"http_{response.status}"
                answer = _answer(text, response.content_type)
        except (aiohttp.ClientError, OSError):
            return "lost"
        self._world.delivery.accept(envelope, answer)
        return "acked"

    async def verify(self, url: str) -> bool:
        """Slack's handshake when a request URL is entered: the challenge must come back."""
        challenge = hashlib.sha256(url.encode()).hexdigest()
        body = json.dumps({"type": "url_verification", "challenge": challenge, "token": ""}).encode()
        stamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "X-Slack-Request-Timestamp": str(stamp),
            "X-Slack-Signature": sign(self._world.credentials.signing_secret, stamp, body),
        }
        try:
            async with self._client().post(url, data=body, headers=headers) as response:
                return response.status == 200 and challenge in await response.text()
        except (aiohttp.ClientError, OSError):
            return False

    async def close(self) -> None:
        """Close the client."""
        if self._session is not None:
            await self._session.close()


def _answer(text: str, content_type: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    if "json" in content_type:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        return value if isinstance(value, dict) else {}
    return {"text": text}
