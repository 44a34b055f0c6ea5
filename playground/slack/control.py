"""Control endpoints (`/_sim/…`): clock, faults, limits, sockets, log. For tests and the demo."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from playground.slack import setup, wire
from playground.slack.faults import Fault
from playground.slack.http_mode import HttpMode
from playground.slack.page_api import describe
from playground.slack.socket_mode import SocketMode
from playground.slack.world import World

Json = dict[str, Any]


def add_routes(app: web.Application, world: World, socket: SocketMode, http: HttpMode) -> None:
    """Hang the control addresses into the application."""
    control = Control(world, socket, http)
    app.router.add_get("/_sim/ready", control.ready)
    app.router.add_get("/_sim/log", control.log)
    app.router.add_get("/_sim/state", control.state)
    app.router.add_post("/_sim/fault", control.fault)
    app.router.add_delete("/_sim/fault", control.clear_faults)
    app.router.add_get("/_sim/clock", control.clock)
    app.router.add_post("/_sim/clock", control.clock)
    app.router.add_post("/_sim/limits", control.limits)
    app.router.add_post("/_sim/socket", control.sockets)
    app.router.add_post("/_sim/config", control.config)


class Control:
    """Handlers over one world."""

    def __init__(self, world: World, socket: SocketMode, http: HttpMode) -> None:
        self._world = world
        self._socket = socket
        self._http = http

    async def ready(self, _request: web.Request) -> web.Response:
        """Is the server up, and is the app connected?"""
        return web.json_response({
            "ok": True, "connections": len(self._socket.connections),
            "request_url": self._world.delivery.request_url,
        })  # fmt: skip

    async def log(self, request: web.Request) -> web.Response:
        """Every Web API call since `?since=` (an index), lint, failures and envelopes."""
        since = int(request.query.get("since", "0"))
        return web.json_response({
            "calls": [asdict(c) for c in self._world.log[since:]],
            "lint": [asdict(n) for n in self._world.lint],
            "failures": self._world.failures,
            "envelopes": [describe(e) for e in self._world.delivery.recent],
            "would_have_limited": self._world.limits.would_have_limited,
        })  # fmt: skip

    async def state(self, _request: web.Request) -> web.Response:
        """The whole truth, metadata and ephemerals included: for tests, not for screens."""
        world = self._world
        return web.json_response({
            "users": {u.name: u.id for u in world.state.users.values()},
            "channels": [
                wire.channel(world, c) | {
                    "members": c.members,
                    "messages": [wire.message(world, m, with_metadata=True)
                                 | {"visible_to": m.visible_to} for m in c.messages],
                }
                for c in world.state.channels.values()
            ],
        })  # fmt: skip

    async def fault(self, request: web.Request) -> web.Response:
        """Arm a fault: {kind, target?, times?, skip?, seconds?}."""
        body = await request.json()
        try:
            self._world.faults.arm(Fault(**body))
        except (TypeError, ValueError) as error:
            return web.json_response({"ok": False, "why": str(error)}, status=400)
        self._world.changed("faults")
        return web.json_response({"ok": True})

    async def clear_faults(self, _request: web.Request) -> web.Response:
        """Switch all faults off."""
        self._world.faults.clear()
        self._world.token_revoked = False
        self._world.changed("faults")
        return web.json_response({"ok": True})

    async def clock(self, request: web.Request) -> web.Response:
        """Read the clock, or {advance_s?, speed?}."""
        clock = self._world.clock
        if request.method == "POST":
            body = await request.json()
            try:
                if "speed" in body:
                    clock.set_speed(float(body["speed"]))
                clock.advance(seconds=float(body.get("advance_s", 0)))
            except (TypeError, ValueError) as error:
                return web.json_response({"ok": False, "why": str(error)}, status=400)
            self._world.changed("clock")
        return web.json_response({"ok": True, "now": clock.now(), "speed": clock.speed, "advanced_s": clock.advanced_s})

    async def limits(self, request: web.Request) -> web.Response:
        """{mode: off | soft | real}."""
        try:
            self._world.limits.set_mode(str((await request.json()).get("mode")))
        except ValueError as error:
            return web.json_response({"ok": False, "why": str(error)}, status=400)
        return web.json_response({"ok": True})

    async def sockets(self, request: web.Request) -> web.Response:
        """{do: "disconnect", reason} says goodbye, {do: "drop"} cuts the line."""
        body = await request.json()
        if body.get("do") == "drop":
            count = await self._socket.drop()
        else:
            count = await self._socket.disconnect(str(body.get("reason", "refresh_requested")))
        return web.json_response({"ok": True, "connections": count})

    async def config(self, request: web.Request) -> web.Response:
        """{request_url?, verify?, token_revoked?, retry_everything?, people?, channels?, guide?, verbs?}."""
        body = await request.json()
        delivery = self._world.delivery
        if "request_url" in body:
            url = body["request_url"]
            if url and body.get("verify") and not await self._http.verify(url):
                why = "the request URL did not return the challenge"
                return web.json_response({"ok": False, "why": why}, status=409)
            delivery.request_url = url
        self._world.token_revoked = bool(body.get("token_revoked", self._world.token_revoked))
        delivery.retry_everything = bool(body.get("retry_everything", delivery.retry_everything))
        self._world.guide = body.get("guide", self._world.guide)
        self._world.verbs.update(body.get("verbs") or {})
        setup.fill(self._world, body.get("people") or [], body.get("channels") or {},
                   body.get("usergroups") or {})  # fmt: skip
        self._world.changed("config")
        return web.json_response({"ok": True})
