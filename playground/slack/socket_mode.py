"""The Socket Mode side: tickets, connections, one envelope to one connection."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from playground.slack.delivery import ACK_DEADLINE_S, Envelope
from playground.slack.state import APP_ID

if TYPE_CHECKING:
    from playground.slack.world import World

MAX_CONNECTIONS = 10
TICKET_LIFE_S = 30.0
PING_EVERY_S = 10.0
KEPT_ENVELOPES = 2000  # how many can still be acknowledged late
CONNECTION_LIFE_S = 18_060  # what Slack announces; this server keeps sockets longer


@dataclass(slots=True, eq=False)
class Connection:
    """One open WebSocket."""

    id: str
    ws: web.WebSocketResponse
    waiting: dict[str, asyncio.Future[str]] = field(default_factory=dict)
    is_leaving: bool = False


class SocketMode:
    """Keeps the connections and hands envelopes over."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tickets: dict[str, float] = {}
        self.connections: list[Connection] = []
        self._envelopes: dict[str, Envelope] = {}
        self._random = random.Random(7)

    def open_url(self) -> str:
        """A one-time WebSocket address for `apps.connections.open`."""
        ticket = secrets.token_urlsafe(16)
        self._tickets[ticket] = self._world.clock.steady()
        return f"{self._world.base_url.replace('http', 'ws', 1)}/link?ticket={ticket}&app_id={APP_ID}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Handle GET /link for as long as the app stays connected."""
        born = self._tickets.pop(request.query.get("ticket", ""), None)
        if born is None or self._world.clock.steady() - born > TICKET_LIFE_S:
            return web.json_response({"ok": False, "error": "invalid_ticket"}, status=401)
        ws = web.WebSocketResponse(heartbeat=PING_EVERY_S, max_msg_size=1_000_000)
        await ws.prepare(request)
        if len(self.connections) >= MAX_CONNECTIONS:
            await ws.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await ws.close()
            return ws
        connection = Connection(id=secrets.token_hex(4), ws=ws)
        self.connections.append(connection)
        await ws.send_json(self._hello())
        self._world.changed("connections")
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    self._read(connection, message.data)
        finally:
            self._forget(connection)
        return ws

    def _hello(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "num_connections": len(self.connections),
            "connection_info": {"app_id": APP_ID},
            "debug_info": {"host": "local-workspace", "build_number": 1,
                           "approximate_connection_time": CONNECTION_LIFE_S},
        }  # fmt: skip

    def _forget(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
        for future in connection.waiting.values():
            if not future.done():
                future.set_result("lost")
        self._world.changed("connections")

    def _read(self, connection: Connection, raw: str) -> None:
        try:
            message = json.loads(raw)
        except ValueError:
            return
        key = message.get("envelope_id") if isinstance(message, dict) else None
        envelope = self._envelopes.get(key) if isinstance(key, str) else None
        if envelope is None or key is None:
            return
        fault = self._world.faults.take(("slow_ack",), envelope.kind)
        late_s = fault.seconds if fault else 0.0
        if late_s:
            self._world.delivery.background(self._accept_late(connection, envelope, message, late_s))
        else:
            self._accept(connection, envelope, message)

    async def _accept_late(self, connection: Connection, envelope: Envelope, message: Any, late_s: float) -> None:
        await self._world.clock.sleep(late_s)
        self._accept(connection, envelope, message)

    def _accept(self, connection: Connection, envelope: Envelope, message: Any) -> None:
        answer = message.get("payload")
        self._world.delivery.accept(envelope, answer if isinstance(answer, dict) else None)
        future = connection.waiting.get(envelope.id)
        if future is not None and not future.done():
            future.set_result("acked")

    async def hand_over(self, envelope: Envelope, number: int, reason: str) -> str:
        """Send to one connection chosen at random and wait for its acknowledgement."""
        ready = [c for c in self.connections if not c.ws.closed and not c.is_leaving]
        if not ready:
            return "none"
        connection = self._random.choice(ready)
        envelope.attempts[-1].to = connection.id
        if self._world.faults.take(("drop_socket",), envelope.kind):
            await self._cut(connection)
            return "lost"
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._envelopes[envelope.id] = envelope
        while len(self._envelopes) > KEPT_ENVELOPES:
            del self._envelopes[next(iter(self._envelopes))]
        connection.waiting[envelope.id] = future
        try:
            await connection.ws.send_json(envelope.wire(number, reason))
            is_in_time = await self._world.clock.wait_for(future, ACK_DEADLINE_S)
        except ConnectionError:
            return "lost"
        finally:
            connection.waiting.pop(envelope.id, None)
        return future.result() if is_in_time else "timeout"

    async def disconnect(self, reason: str) -> int:
        """Tell every connection to go, as Slack does before a restart; returns how many."""
        leaving = list(self.connections)
        for connection in leaving:
            # After "warning" a socket stays usable for a while; after the others it does not.
            connection.is_leaving = reason != "warning"
            await connection.ws.send_json(
                {"type": "disconnect", "reason": reason, "debug_info": {"host": "local-workspace"}}
            )
        return len(leaving)

    async def drop(self) -> int:
        """Cut every connection without a word; returns how many."""
        gone = list(self.connections)
        for connection in gone:
            await self._cut(connection)
        return len(gone)

    async def _cut(self, connection: Connection) -> None:
        self._forget(connection)
        transport = connection.ws._req.transport if connection.ws._req else None  # noqa: SLF001
        if transport is not None:
            transport.abort()  # no closing handshake: this is what a broken network looks like
