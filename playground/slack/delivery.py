"""How events, commands and clicks reach the app, and what happens when it does not answer.

Every piece is an `Envelope`. It goes to exactly one Socket Mode connection, or as a signed POST in
HTTP mode. Three seconds without acknowledgement count as a miss: the next try comes at once, after
one minute and after five, carrying its number and reason. In HTTP mode only events are tried again
(a person sees `operation_timeout` instead); over the socket everything is, unless it could not be
sent at all: a click that reached nobody is reported to the person and forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from playground.slack.faults import DELIVERY_FAULTS

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]

ACK_DEADLINE_S = 3.0
RETRY_AFTER_S = (0.0, 60.0, 300.0)
REASONS = {"timeout": "timeout", "lost": "connection_failed", "none": "connection_failed"}


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try to hand an envelope over."""

    at: float
    outcome: str = "waiting"  # waiting, acked, timeout, lost, none (nobody there), or http_<status>
    took_s: float | None = None
    to: str = ""


@dataclass(slots=True, kw_only=True)
class Envelope:
    """One thing the app is told."""

    id: str
    kind: str  # events_api, slash_commands or interactive
    payload: Json
    accepts_response: bool
    attempts: list[Attempt] = field(default_factory=list)
    answer: Json | None = None
    first: asyncio.Future[str]  # outcome of the first try, for the person who is waiting
    done: asyncio.Future[str]  # final outcome
    on_answer: Callable[[Json], None] | None = None
    stop: bool = False  # the app asked for no further tries

    def wire(self, number: int, reason: str) -> Json:
        """The Socket Mode form; the first try of an event says attempt 0, as Slack does."""
        body: Json = {
            "envelope_id": self.id, "payload": self.payload, "type": self.kind,
            "accepts_response_payload": self.accepts_response,
        }  # fmt: skip
        if number or self.kind == "events_api":
            body |= {"retry_attempt": number, "retry_reason": reason}
        return body


class Transport(Protocol):
    """A way to hand one envelope over once."""

    async def hand_over(self, envelope: Envelope, number: int, reason: str) -> str:
        """Return an outcome word as in `Attempt`."""
        ...


class Delivery:
    """Sends envelopes in order and keeps the recent ones for the inspector."""

    def __init__(self, world: World, socket: Transport, http: Transport) -> None:
        self._world = world
        self._socket = socket
        self._http = http
        self.request_url: str | None = None
        self.retry_everything = True
        self.recent: deque[Envelope] = deque(maxlen=500)
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[tuple[Envelope, int]] = []

    def send(
        self,
        kind: str,
        payload: Json,
        *,
        accepts_response: bool = False,
        on_answer: Callable[[Json], None] | None = None,
    ) -> Envelope:
        """Queue an envelope; returns at once. `on_answer` gets the acknowledgement's payload."""
        loop = asyncio.get_running_loop()
        envelope = Envelope(
            id=str(uuid.uuid4()), kind=kind, payload=payload, accepts_response=accepts_response,
            first=loop.create_future(), done=loop.create_future(), on_answer=on_answer,
        )  # fmt: skip
        self.recent.append(envelope)
        fault = self._world.faults.take(DELIVERY_FAULTS[:2], kind)
        if fault and fault.kind == "reorder":
            self._held.append((envelope, 1))
            self._start(self._release_later(envelope))
            return envelope
        for _ in range(2 if fault else 1):
            self._start(self._run(envelope))
        held, self._held = self._held, []
        for late, _ in held:
            self._start(self._run(late))
        return envelope

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work that ends with the workspace."""
        self._start(work)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _release_later(self, envelope: Envelope) -> None:
        # A held envelope that nobody overtakes must still arrive.
        await self._world.clock.sleep(2.0)
        for pair in tuple(self._held):
            if pair[0] is envelope:
                self._held.remove(pair)
                self._start(self._run(envelope))

    async def _run(self, envelope: Envelope) -> None:
        reason = ""
        clock = self._world.clock
        started = clock.steady()
        for number in range(len(RETRY_AFTER_S) + 1):
            if number:
                # Counted from the last try, so that one jump of the clock reaches the next one.
                waited_s = ACK_DEADLINE_S if envelope.attempts[-1].outcome == "timeout" else 0.0
                await clock.sleep(started + waited_s + RETRY_AFTER_S[number - 1] - clock.steady())
                started = clock.steady()
            attempt = Attempt(at=clock.now())
            envelope.attempts.append(attempt)
            outcome = await self._try(envelope, attempt, number, reason)
            self._world.changed("envelope", id=envelope.id)
            if outcome == "acked" or not self._again(envelope, outcome):
                break
            reason = REASONS.get(outcome, "http_error")
            if outcome == "timeout" and self.request_url:
                reason = "http_timeout"
        if not envelope.done.done():
            envelope.done.set_result(envelope.attempts[-1].outcome)

    async def _try(self, envelope: Envelope, attempt: Attempt, number: int, reason: str) -> str:
        start = asyncio.get_running_loop().time()
        transport = self._http if self.request_url else self._socket
        attempt.outcome = await transport.hand_over(envelope, number, reason)
        attempt.took_s = asyncio.get_running_loop().time() - start
        # A line that broke is not yet an answer for the person: the next try follows at once.
        is_lost_once = attempt.outcome == "lost" and number == 0 and self._again(envelope, "lost")
        if not envelope.first.done() and not is_lost_once:
            envelope.first.set_result(attempt.outcome)
        return attempt.outcome

    def _again(self, envelope: Envelope, outcome: str) -> bool:
        if envelope.stop:
            return False
        if envelope.kind == "events_api":
            return True
        # Interactions: a person is told at once when nobody was there; the socket retries misses.
        return self.request_url is None and self.retry_everything and outcome != "none"

    def accept(self, envelope: Envelope, answer: Json | None) -> None:
        """An acknowledgement arrived; only the first one's payload counts."""
        if envelope.answer is not None:
            return
        envelope.answer = answer or {}
        if envelope.on_answer is not None:
            envelope.on_answer(envelope.answer)

    async def close(self) -> None:
        """Stop all tries."""
        for task in tuple(self._tasks):
            task.cancel()
        for task in tuple(self._tasks):
            with contextlib.suppress(asyncio.CancelledError):
                await task
