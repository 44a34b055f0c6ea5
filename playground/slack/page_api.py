"""The page's API (`/ui/…`); its contract for page authors is UI_API.md."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from aiohttp import web

from playground.slack import wire
from playground.slack.acts import ACTS
from playground.slack.delivery import Envelope
from playground.slack.errors import ApiError, CannotDo
from playground.slack.screen import may_see_file, screen
from playground.slack.socket_mode import SocketMode
from playground.slack.world import World

Json = dict[str, Any]
STATIC = Path(__file__).parent / "static"
KEEP_ALIVE_S = 15.0


def add_routes(app: web.Application, world: World, socket: SocketMode) -> None:
    """Hang the page's addresses into the application."""
    page = PageApi(world, socket)
    app.router.add_get("/", page.index)
    app.router.add_get("/archives/{rest:.+}", page.index)
    app.router.add_get("/ui/state", page.state)
    app.router.add_get("/ui/stream", page.stream)
    app.router.add_post("/ui/do", page.do)
    app.router.add_get("/ui/envelopes", page.envelopes)
    app.router.add_get("/ui/file/{id}", page.file)
    app.router.add_static("/static/", STATIC)
    app.on_response_prepare.append(_always_ask)
    app.on_shutdown.append(page.hang_up)


async def _always_ask(request: web.Request, response: web.StreamResponse) -> None:
    """Let browsers ask whether a module is still the same; a stale one beside fresh ones breaks the page."""
    if request.path.startswith("/static/"):
        response.headers["Cache-Control"] = "no-cache"


class PageApi:
    """Handlers over one world."""

    def __init__(self, world: World, socket: SocketMode) -> None:
        self._world = world
        self._socket = socket
        self._streams: set[asyncio.Queue[Json | None]] = set()

    async def hang_up(self, _app: web.Application) -> None:
        """End every stream, so that the server can stop while pages are open."""
        for queue in self._streams:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(None)

    async def index(self, _request: web.Request) -> web.StreamResponse:
        """The page itself."""
        path = STATIC / "index.html"
        if not path.exists():
            return web.Response(text="The page is not part of this installation.", status=404)
        return web.FileResponse(path, headers={"Cache-Control": "no-store"})

    def _who(self, key: Any) -> str:
        people = (u for u in self._world.state.users.values() if not u.is_bot)
        user = self._world.state.user_named(str(key)) if key else next(people, None)
        if user is None or user.is_bot:
            names = ", ".join(u.name for u in self._world.state.users.values() if not u.is_bot)
            raise CannotDo(f"nobody is called {key!r}; there are {names}")
        return user.id

    async def state(self, request: web.Request) -> web.Response:
        """GET /ui/state?as=…; without `as`, what the first person sees."""
        try:
            user = self._who(request.query.get("as"))
        except CannotDo as error:
            return _refusal(error, 404)
        if request.query.get("since") == str(self._world.revision):
            return web.json_response({"rev": self._world.revision, "unchanged": True})
        body = screen(self._world, user)
        body["connections"] = len(self._socket.connections)
        body["mode"] = "http" if self._world.delivery.request_url else "socket"
        return web.json_response(body)

    async def do(self, request: web.Request) -> web.Response:
        """POST /ui/do {as, act, …}; waits for the first delivery unless {wait: false}."""
        try:
            body = await request.json()
            act = ACTS.get(str(body.get("act"))) if isinstance(body, dict) else None
            if act is None:
                raise CannotDo(f"unknown act; there are {', '.join(ACTS)}")
            envelope = act(self._world, self._who(body.get("as")), body)
        except CannotDo as error:
            return _refusal(error, 409)
        except ApiError as error:
            return _refusal(CannotDo(error.code), 409)
        except ValueError:
            return _refusal(CannotDo("the body is not JSON"), 400)
        if envelope is None:
            return web.json_response({"ok": True, "outcome": "local"})
        if body.get("wait") is False:
            return web.json_response({"ok": True, "outcome": "sent", "envelope_id": envelope.id})
        return web.json_response(await _first_outcome(envelope))

    async def envelopes(self, request: web.Request) -> web.Response:
        """GET /ui/envelopes?limit=…: newest first, with attempts and answers, and recent calls."""
        limit = min(500, int(request.query.get("limit", "100")))
        newest = list(self._world.delivery.recent)[::-1][:limit]
        calls = self._world.log[::-1][:limit]
        return web.json_response({
            "envelopes": [describe(e) for e in newest],
            "calls": [{"method": c.method, "at": c.at, "ok": c.ok, "verdict": c.verdict,
                       "status": c.status, "args": c.args, "answer": c.answer} for c in calls],
            "lint": [{"rule": n.rule, "where": n.where, "detail": n.detail}
                     for n in self._world.lint],
            "failures": self._world.failures,
        })  # fmt: skip

    async def file(self, request: web.Request) -> web.Response:
        """GET /ui/file/<id>?as=…: the bytes, when that person may see them."""
        key = request.match_info["id"]
        try:
            user = self._who(request.query.get("as"))
        except CannotDo as error:
            return _refusal(error, 404)
        if not may_see_file(self._world, user, key):
            return web.Response(status=404)
        file = self._world.state.files[key]
        kind = wire.file(self._world, file)["mimetype"]
        # An uploaded HTML report must not run with the page's rights.
        safe = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=file.content or b"", content_type=kind, headers=safe)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """GET /ui/stream: server-sent events, one per change."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        queue: asyncio.Queue[Json | None] = asyncio.Queue(maxsize=1000)

        def listen(note: Json) -> None:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(note)

        self._world.listeners.append(listen)
        self._streams.add(queue)
        try:
            await response.write(_event({"rev": self._world.revision, "what": "hello"}))
            while True:
                try:
                    note = await asyncio.wait_for(queue.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    await response.write(b": still here\n\n")
                    continue
                if note is None:
                    return response
                await response.write(_event(note))
        except ConnectionError:
            return response
        finally:
            self._world.listeners.remove(listen)
            self._streams.discard(queue)


def _event(note: Json) -> bytes:
    return f"data: {json.dumps(note)}\n\n".encode()


def _refusal(error: CannotDo, status: int) -> web.Response:
    return web.json_response({"ok": False, "why": error.why, **error.extra}, status=status)


async def _first_outcome(envelope: Envelope) -> Json:
    outcome = await envelope.first
    took = envelope.attempts[0].took_s
    return {
        "ok": outcome == "acked", "outcome": outcome, "envelope_id": envelope.id,
        "took_ms": round((took or 0) * 1000, 1), "answer": envelope.answer or {},
        "why": "" if outcome == "acked" else f"the app did not acknowledge: {outcome}",
    }  # fmt: skip


def describe(e: Envelope) -> Json:
    """One envelope for the inspector."""
    return {
        "id": e.id, "kind": e.kind, "payload": e.payload, "answer": e.answer,
        "attempts": [{"at": a.at, "outcome": a.outcome, "took_s": a.took_s, "to": a.to}
                     for a in e.attempts],
    }  # fmt: skip
