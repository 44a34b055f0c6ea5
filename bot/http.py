"""The HTTP door: Alertmanager's webhooks, Slack's HTTP mode, reports behind signed links, health and metrics.

2xx is said only for what is committed. "Not now" is 503, because Alertmanager retries 5xx and nothing else. Bodies
are read with a cap, parsed and stored in threads; the event loop only moves bytes.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bot.hooks import Unread, Unsigned
from bot.reports import BadLink
from bot.store import StoreDown

log = logging.getLogger("mlops.http")

# Webhooks being stored at once; more are told to come again. Fewer than there are threads to wait in: when the database
# is slow, health, metrics and Slack must still find one.
MAX_WAITING = 24
READ_WITHIN_S = 10.0  # for a whole body; a sender that trickles must not keep a place for ever
_SLACK_READING = 64  # bodies for Slack's door being read at once, before anybody knows who sent them
_SLACK_CAP = 1024 * 1024
_MLFLOW_CAP = 256 * 1024
# A report shows data of strangers and brings scripts of its own for its charts. `sandbox` without `allow-same-origin`
# gives it an origin of its own, so that no script in it can read or ask anything of ours; the rest lets nothing in or
# out.
_REPORT_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address itself is the key
    "Cache-Control": "private, no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}


class BadBody(ValueError):
    """The body can never be taken: it is not JSON, or not a webhook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What /healthz and /readyz tell."""

    ok: bool
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A stored file behind a signed link."""

    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What the HTTP door calls. `take_in` raises BadBody or StoreDown."""

    webhook_token: str
    max_body_bytes: int
    take_in: Callable[[bytes], Mapping[str, object]]
    slack: Callable[[str, Mapping[str, str]], tuple[int, dict[str, list[str]], str]] | None
    alive: Callable[[], Health]
    ready: Callable[[], Health]
    metrics: Callable[[], str]
    heartbeat: Callable[[str], bool] = lambda _: False  # False: none of that name is waited for
    mlflow: Callable[[bytes, Mapping[str, str]], str] | None = None  # raises Unsigned, Unread or StoreDown
    report: Callable[[str], Page] | None = None  # token → file; raises BadLink


class TooLarge(Exception):
    """The body is over the cap."""


class TooSlow(Exception):
    """The body did not come within the time for it."""


def build(door: Door) -> Starlette:
    """The ASGI application."""
    waiting = threading.BoundedSemaphore(MAX_WAITING)
    reading = threading.BoundedSemaphore(_SLACK_READING)

    async def alertmanager(request: Request) -> Response:
        if not _has_token(request, door.webhook_token):
            return _problem(401, "A webhook needs `Authorization: Bearer <token>` with the configured token.")
        if not waiting.acquire(blocking=False):
            return _problem(503, "Too many webhooks at once; nothing of this one was stored. Send it again.")
        try:
            body = await _read(request, door.max_body_bytes)
            return JSONResponse(dict(await run_in_threadpool(door.take_in, body)))
        except TooLarge:
            log.warning("a webhook was over the size cap", extra={"action": "webhook_too_large"})
            return _problem(413, f"The body is over {door.max_body_bytes} bytes; lower max_alerts in Alertmanager.")
        except BadBody as problem:
            return _problem(400, str(problem))
        except StoreDown as problem:
            log.warning("a webhook could not be stored: %s", problem, extra={"action": "webhook_not_stored"})
            return _problem(503, "The database cannot take this now; nothing was stored. Send it again.")
        finally:
            waiting.release()

    async def slack(request: Request) -> Response:
        if door.slack is None:
            return _problem(404, "HTTP mode is off; the bot uses Socket Mode.")
        if not _may_be_slack(request):
            return _problem(401, "This door is for requests that Slack signed.")
        if not reading.acquire(blocking=False):
            return _problem(503, "Too many requests at once; nothing of this one was done.")
        try:
            body = await _read(request, _SLACK_CAP)
        finally:
            reading.release()
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return _problem(400, "The body is not UTF-8.")
        status, headers, answer = await run_in_threadpool(door.slack, text, dict(request.headers))
        flat = {name: ", ".join(values) for name, values in headers.items() if name.lower() != "content-length"}
        return Response(answer, status_code=status, headers=flat)

    async def alive(_: Request) -> Response:
        # Asked on the event loop itself: it must be answered when every thread waits for the database.
        return _health_answer(door.alive())

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(
            await run_in_threadpool(door.metrics), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    return Starlette(
        routes=[
            Route("/webhooks/alertmanager", alertmanager, methods=["POST"]),
            Route("/webhooks/mlflow", _from_mlflow(door, reading), methods=["POST"]),
            Route("/webhooks/heartbeat/{name}", _heartbeat(door), methods=["POST"]),
            Route("/slack/events", slack, methods=["POST"]),
            Route("/healthz", alive),
            Route("/readyz", _health(door.ready)),
            Route("/metrics", metrics),
            Route("/reports/{token}", _report(door), methods=["GET"]),
        ],
        exception_handlers={
            TooLarge: _too_large,
            TooSlow: _too_slow,
            ClientDisconnect: _gone,
            StoreDown: _down,
        },
    )


def _heartbeat(door: Door) -> Callable[[Request], Awaitable[Response]]:
    """A sign of life by name, from who has the token. 2xx only when it is stored."""

    async def answer(request: Request) -> Response:
        if not _has_token(request, door.webhook_token):
            return _problem(401, "A heartbeat needs `Authorization: Bearer <token>` with the configured token.")
        name = str(request.path_params["name"])
        if not await run_in_threadpool(door.heartbeat, name):
            return _problem(404, "No heartbeat of this name is waited for; list it under `heartbeats` in mlops.yaml.")
        return JSONResponse({"ok": True})

    return answer


def _from_mlflow(door: Door, reading: threading.BoundedSemaphore) -> Callable[[Request], Awaitable[Response]]:
    """MLflow's deliveries. Only who signed is heard, and only what is stored is answered with 2xx."""

    async def answer(request: Request) -> Response:
        if door.mlflow is None:
            return _problem(404, "Webhooks of MLflow are off.")
        if "x-mlflow-signature" not in request.headers:
            return _problem(401, "This door is for deliveries that MLflow signed. Give its webhook a secret.")
        if not reading.acquire(blocking=False):
            return _problem(503, "Too many requests at once; nothing of this one was stored. Send it again.")
        try:
            body = await _read(request, _MLFLOW_CAP)
        finally:
            reading.release()
        try:
            said = await run_in_threadpool(door.mlflow, body, dict(request.headers))
        except Unsigned as problem:
            log.warning("a delivery of MLflow was refused: %s", problem, extra={"action": "webhook_refused"})
            return _problem(401, str(problem))
        except Unread as problem:
            return _problem(400, str(problem))
        return JSONResponse({"ok": True, "said": said})

    return answer


def _report(door: Door) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if door.report is None:
            return _problem(404, "There are no reports here.")
        try:
            page = await run_in_threadpool(door.report, request.path_params["token"])
        except BadLink as problem:
            if problem.is_over:
                return _problem(410, "This link has ended. Ask the bot for a new report in Slack.")
            return _problem(404, "There is no such report, or the link is not whole. Copy it from Slack again.")
        return Response(page.body, media_type=page.media_type, headers=_REPORT_HEADERS)

    return answer


def _health(ask: Callable[[], Health]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return _health_answer(await run_in_threadpool(ask))

    return answer


def _health_answer(health: Health) -> Response:
    return JSONResponse({"ok": health.ok, **health.facts}, status_code=200 if health.ok else 503)


def _may_be_slack(request: Request) -> bool:
    """Whether it is worth reading: signed at all, with a time that is one. Whether it is genuine, Bolt says."""
    stamp = request.headers.get("x-slack-request-timestamp", "")
    signature = request.headers.get("x-slack-signature", "")
    return stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 and signature.isascii() and bool(signature)


def _has_token(request: Request, token: str) -> bool:
    given = request.headers.get("authorization", "")
    scheme, _, value = given.partition(" ")
    # Compared even when it is plainly wrong, so that the time taken tells nothing. No token set: nobody comes in.
    same = hmac.compare_digest(value.strip().encode(), token.encode())
    return bool(token) and scheme.lower() == "bearer" and same


async def _read(request: Request, cap: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > cap:
        raise TooLarge
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            async for part in request.stream():
                size += len(part)
                if size > cap:
                    raise TooLarge
                parts.append(part)
    except TimeoutError:
        raise TooSlow from None
    return b"".join(parts)


def _problem(status: int, text: str) -> Response:
    return JSONResponse({"ok": False, "error": text}, status_code=status)


async def _too_large(_: Request, __: Exception) -> Response:
    return _problem(413, "The body is too large.")


async def _too_slow(_: Request, __: Exception) -> Response:
    # 5xx, because Alertmanager sends again after nothing else.
    return _problem(503, f"The body did not arrive within {READ_WITHIN_S:.0f} s; nothing was stored. Send it again.")


async def _gone(_: Request, __: Exception) -> Response:
    return _problem(400, "The connection ended before the body did.")


async def _down(_: Request, __: Exception) -> Response:
    return _problem(503, "The database cannot be reached. Send it again.")
