"""The HTTP application: Web API, sockets, uploads, response URLs, page and control endpoints."""

from __future__ import annotations

import asyncio
import json
import mimetypes
from typing import Any

from aiohttp import web

from playground.slack import control, page_api, posting
from playground.slack.delivery import Delivery
from playground.slack.errors import ApiError
from playground.slack.faults import API_FAULTS, Fault
from playground.slack.http_mode import HttpMode
from playground.slack.socket_mode import SocketMode
from playground.slack.web_api import METHODS, Method
from playground.slack.web_api.args import Args, need_scope
from playground.slack.web_api.files import MAX_UPLOAD_BYTES, receive
from playground.slack.world import Call, World

Json = dict[str, Any]
KEPT_CALLS = 20_000  # a demo may run for days


class Server:
    """Routes requests to one `World`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.socket = SocketMode(world)
        self.http = HttpMode(world)
        world.attach(Delivery(world, self.socket, self.http))

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_UPLOAD_BYTES + 100_000, middlewares=[same_origin])
        app.router.add_route("*", "/api/{method}", self.api)
        app.router.add_get("/link", self.socket.serve)
        app.router.add_post("/response/{key:.+}", self.response_url)
        app.router.add_post("/upload/{ticket}", self.upload)
        app.router.add_get("/files-pri/{id}/{rest:.+}", self.private_file)
        page_api.add_routes(app, self.world, self.socket)
        control.add_routes(app, self.world, self.socket, self.http)
        app.on_cleanup.append(self._cleanup)
        return app

    async def _cleanup(self, _app: web.Application) -> None:
        await self.world.delivery.close()
        await self.http.close()

    # -- Web API ---------------------------------------------------------------
    async def api(self, request: web.Request) -> web.StreamResponse:
        """Any Web API method."""
        method = request.match_info["method"]
        raw = await _arguments(request)
        token = _token(request, raw)
        fault = self.world.faults.take(API_FAULTS, method)
        if fault and not fault.kind.endswith("_after"):
            return await self._broken(request, method, raw, fault)
        await self._travel()
        status, answer, headers = self._answer(method, Args(raw, token))
        await self._travel()
        lost = fault.kind if fault else None
        self._note(method, raw, answer, 0 if lost else status, lost)
        if fault:
            return await self._lose_answer(request, fault)
        return web.json_response(answer, status=status, headers=headers)

    async def _travel(self) -> None:
        """Half of the time between a call and its answer: the effect is in the middle."""
        if self.world.latency_s:
            await asyncio.sleep(self.world.latency_s / 2)

    def _answer(self, name: str, args: Args) -> tuple[int, Json, dict[str, str]]:
        method = METHODS.get(name)
        try:
            if method is None:
                self.world.fail(f"unknown method {name}: this workspace does not have it")
                raise ApiError("unknown_method", req_method=name)
            self._check_token(method, args.token)
            if method.token == "bot":
                need_scope(self.world, *method.scopes)
            wait_s = self._limited(name, method, args)
            if wait_s is not None:
                body: Json = {"ok": False, "error": "ratelimited"}
                return 429, body, {"Retry-After": str(wait_s)}
            if name == "apps.connections.open":
                return 200, {"ok": True, "url": self.socket.open_url()}, {}
            return 200, {"ok": True, **method.run(self.world, args)}, self._headers(method)
        except ApiError as error:
            return 200, error.body(), {}

    def _headers(self, method: Method) -> dict[str, str]:
        if method.token == "none":
            return {}
        granted = ",".join(sorted(self.world.manifest.bot_scopes))
        return {"x-oauth-scopes": granted, "x-accepted-oauth-scopes": ",".join(method.scopes)}

    def _check_token(self, method: Method, token: str | None) -> None:
        known = self.world.credentials
        if method.token == "none":
            return
        if not token:
            raise ApiError("not_authed")
        if token not in (known.bot_token, known.app_token):
            raise ApiError("invalid_auth")
        if self.world.token_revoked:
            raise ApiError("token_revoked")
        wanted = {"bot": known.bot_token, "app": known.app_token}.get(method.token, token)
        if token != wanted:
            raise ApiError("not_allowed_token_type")

    def _limited(self, name: str, method: Method, args: Args) -> int | None:
        channel = str(args.raw.get("channel", "")) if method.is_post else None
        return self.world.limits.ask(name, method.tier, channel, self.world.clock.steady())

    def _note(self, method: str, raw: Json, answer: Json, status: int, lost: str | None = None) -> None:
        args = {k: v for k, v in raw.items() if k != "token"}
        for name in ("blocks", "attachments", "metadata", "view", "files"):
            if isinstance(args.get(name), str):
                args[name] = _loads(args[name])
        ok = bool(answer.get("ok"))
        verdict = "ok" if ok else str(answer.get("error"))
        self.world.log.append(Call(
            method=method, args=args, at=self.world.clock.now(), ok=ok,
            verdict=f"{verdict} ({lost})" if lost else verdict, status=status, answer=answer,
        ))  # fmt: skip
        if len(self.world.log) > KEPT_CALLS:
            del self.world.log[: KEPT_CALLS // 4]
        self.world.changed("log")

    # -- faults ------------------------------------------------------------------
    async def _broken(self, request: web.Request, method: str, raw: Json, fault: Fault) -> web.StreamResponse:
        """Answer a call that a fault hits before it has any effect."""
        if fault.kind == "429":
            answer, status, headers = {"ok": False, "error": "ratelimited"}, 429, {
                "Retry-After": str(max(1, int(fault.seconds)))}  # fmt: skip
        elif fault.kind == "500":
            answer, status, headers = {"ok": False, "error": "internal_error"}, 500, {}
        elif fault.kind == "revoked_token":
            answer, status, headers = {"ok": False, "error": "token_revoked"}, 200, {}
        else:
            self._note(method, raw, {"ok": False, "error": fault.kind}, 0)
            return await self._lose_answer(request, fault)
        self._note(method, raw, answer, status)
        return web.json_response(answer, status=status, headers=headers)

    async def _lose_answer(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        """Let the client wait, or cut its connection; in both cases it gets no answer. `500_after` gets a wrong one."""
        if fault.kind == "500_after":
            return web.json_response({"ok": False, "error": "internal_error"}, status=500)
        if fault.kind.startswith("timeout"):
            await self.world.clock.sleep(fault.seconds)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=504)  # never arrives: the connection is gone

    # -- the other addresses an app uses ---------------------------------------------
    async def response_url(self, request: web.Request) -> web.Response:
        """POST to a response URL."""
        body = await _arguments(request)
        if isinstance(body.get("payload"), str):
            body = _loads(body["payload"])
        for name in ("blocks", "attachments"):
            if isinstance(body.get(name), str):
                body[name] = _loads(body[name])
        status, text = posting.answer_response_url(self.world, request.match_info["key"], body)
        entry = {"ok": status == 200, "error": text}
        self._note("response_url", body, entry, status)
        return web.Response(status=status, text=text)

    async def upload(self, request: web.Request) -> web.Response:
        """Step two of an upload: raw bytes or a multipart form."""
        if request.content_type.startswith("multipart/"):
            form = await request.post()
            parts = [v for v in form.values() if isinstance(v, web.FileField)]
            content = parts[0].file.read() if parts else b""
        else:
            content = await request.read()
        status, text = receive(self.world, request.match_info["ticket"], content)
        return web.Response(status=status, text=text)

    async def private_file(self, request: web.Request) -> web.Response:
        """A private file address, for the app's token only."""
        file = self.world.state.files.get(request.match_info["id"].partition("-")[2])
        if _token(request, {}) != self.world.credentials.bot_token:
            return web.Response(status=302, headers={"Location": "/"})
        if "files:read" not in self.world.manifest.bot_scopes or file is None:
            return web.Response(status=404)
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return web.Response(body=file.content or b"", content_type=kind)


@web.middleware
async def same_origin(request: web.Request, handler: Any) -> web.StreamResponse:
    """Keep other web pages out: the page API and the controls answer only their own origin."""
    origin = request.headers.get("Origin")
    is_guarded = request.path.startswith(("/ui/", "/_sim/"))
    if origin and is_guarded and origin.partition("://")[2] != request.host:
        return web.json_response({"ok": False, "why": "another origin asked"}, status=403)
    result: web.StreamResponse = await handler(request)
    return result


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _token(request: web.Request, raw: Json) -> str | None:
    header = request.headers.get("Authorization", "")
    if header.startswith("Bearer "):
        return header.removeprefix("Bearer ").strip()
    token = raw.get("token")
    return token if isinstance(token, str) else None


async def _arguments(request: web.Request) -> Json:
    """Merge query and body; an empty JSON body is an empty object, as SDKs send it."""
    found: Json = dict(request.query)
    if request.content_type == "application/json":
        body = _loads((await request.read()).decode("utf-8", "replace") or "{}")
        found.update(body if isinstance(body, dict) else {})
    elif request.method == "POST":
        form = await request.post()
        found.update({k: v for k, v in form.items() if isinstance(v, str)})
    return found
