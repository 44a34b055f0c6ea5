"""The model server: `python -m playground.system.server --tracking-uri URL --port N`.

Serves the registry's `models:/intent_classifier@champion`, reads it again only when told to, and says honestly what
it serves:

    GET  /health              200 with a model loaded, 503 without
    POST /predict             {"rows": [[64 numbers], …], "true_labels": ["greeting", …]}  (the labels are optional)
    POST /feedback            {"labels": {"<prediction id>": "greeting", …}}  for labels that come later
    GET  /model/info          name, version, alias, run, loaded_at
    POST /admin/reload-model  ?model_name=…&alias=…  loads first, swaps after; on failure the old model stays
    POST /admin/fault         faults for tests, from this machine only (see `faults`)
    GET  /metrics             for Prometheus

Where PLAYGROUND_ADMIN_TOKEN is set, /admin/* wants it as bearer token. Without it the server must stay on loopback.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from playground.system.faults import Faults
from playground.system.metrics import AccuracyWindow, ServerMetrics
from playground.system.served import ServedRows
from playground.system.serving import BadRequest, Conflict, LoadFailed, ModelHost

BODY_CAP_BYTES = 2_000_000
# The first load is tried again this often until the registry has the model.
FIRST_LOAD_RETRY_SECONDS = 0.5
Answer = tuple[int, dict[str, Any]]


class ModelServer:
    """The routes. Model and counters live in `host`; this class speaks HTTP only."""

    def __init__(self, host: ModelHost, metrics: ServerMetrics, faults: Faults, admin_token: str | None) -> None:
        self._host = host
        self._metrics = metrics
        self._faults = faults
        self._admin_token = admin_token

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self._observed("/health", self._health)),
                Route("/predict", self._observed("/predict", self._predict), methods=["POST"]),
                Route("/feedback", self._observed("/feedback", self._feedback), methods=["POST"]),
                Route("/model/info", self._observed("/model/info", self._info)),
                Route("/admin/reload-model", self._observed("/admin/reload-model", self._reload), methods=["POST"]),
                Route("/admin/fault", self._observed("/admin/fault", self._fault), methods=["GET", "POST"]),
                Route("/metrics", self._scrape),
            ]
        )

    def _observed(self, endpoint: str, work: Callable[[Request, Any], Answer]) -> Callable[[Request], Any]:
        """Wrap blocking `work` for Starlette: read the body, leave the event loop, count and time the answer."""

        async def answer(request: Request) -> Response:
            began = time.perf_counter()
            raw = await _read_capped(request)
            status, body = await run_in_threadpool(_guarded, work, request, raw)
            self._metrics.requests.labels(endpoint, str(status)).inc()
            self._metrics.latency.labels(endpoint).observe(time.perf_counter() - began)
            return JSONResponse(body, status_code=status)

        return answer

    def _health(self, _request: Request, _body: Any) -> Answer:
        served = self._host.served
        if served is None:
            return 503, {"status": "no model", "model_loaded": False, "why": self._host.last_failure or "still loading"}
        return 200, {"status": "ok", "model_loaded": True, "version": served.version}

    def _predict(self, _request: Request, body: Any) -> Answer:
        self._faults.before_predict()
        return 200, self._host.predict(self._faults.on_rows(body))

    def _feedback(self, _request: Request, body: Any) -> Answer:
        return 200, self._host.feedback(body)

    def _info(self, _request: Request, _body: Any) -> Answer:
        served = self._host.served
        if served is None:
            return 503, {"error": "no model is loaded", "why": self._host.last_failure or "still loading"}
        return 200, served.info()

    def _reload(self, request: Request, _body: Any) -> Answer:
        if not self._may_administer(request):
            return 401, {"error": "reload needs the bearer token from PLAYGROUND_ADMIN_TOKEN"}
        query = request.query_params
        self._faults.before_reload()
        model_name = query.get("model_name", self._host.model_name)
        return 200, self._host.reload(model_name, query.get("alias", self._host.alias))

    def _fault(self, request: Request, body: Any) -> Answer:
        if not self._may_administer(request):
            return 401, {"error": "faults need the bearer token from PLAYGROUND_ADMIN_TOKEN"}
        if request.client is None or request.client.host not in ("127.0.0.1", "::1"):
            return 403, {"error": "faults can be set from this machine only"}
        if request.method == "POST" and self._faults.change(body):
            self._host.unload("taken out by the fault `unload`")
        return 200, self._faults.state()

    def _may_administer(self, request: Request) -> bool:
        if self._admin_token is None:
            return True
        given = request.headers.get("authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {self._admin_token}".encode())

    def _scrape(self, _request: Request) -> Response:
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _read_capped(request: Request) -> bytes | None:
    """The body, or None when it is larger than the cap; stops reading there."""
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > BODY_CAP_BYTES:
            return None
    return raw


def _guarded(work: Callable[[Request, Any], Answer], request: Request, raw: bytes | None) -> Answer:
    """Run `work`; every error becomes an answer that names its cause, so that no caller sees a bare 500."""
    if raw is None:
        return 413, {"error": f"the body is over {BODY_CAP_BYTES} bytes; send fewer rows"}
    try:
        return work(request, json.loads(raw) if raw else None)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, BadRequest) else "the body is not JSON"
        return 400, {"error": reason}
    except Conflict as error:
        return 409, {"error": str(error)}
    except LoadFailed as error:
        return error.status, {"error": str(error), "kept_version": error.kept_version}
    except Exception as error:  # the boundary: whatever went wrong inside is one failed request, not a dead server
        return 500, {"error": f"{type(error).__name__}: {error}"}


def _load_until_there(host: ModelHost) -> None:
    """Try the first load until it works. Somebody else's reload may win; then there is nothing left to do."""
    while host.served is None:
        try:
            host.reload(host.model_name, host.alias)
        except LoadFailed:
            time.sleep(FIRST_LOAD_RETRY_SECONDS)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m playground.system.server", description="The playground's model server."
    )
    parser.add_argument("--tracking-uri", required=True, metavar="URL", help="address of the MLflow server")
    parser.add_argument("--port", required=True, type=int, help="port on 127.0.0.1")
    parser.add_argument("--model", default="intent_classifier")
    parser.add_argument("--alias", default="champion")
    parser.add_argument("--window", type=int, default=200, help="labelled predictions the accuracy is measured over")
    parser.add_argument("--minimum", type=int, default=50, help="labelled predictions below which no accuracy is given")
    parser.add_argument("--served-rows", type=Path, metavar="FILE", help="where what was served is kept, as CSV")
    options = parser.parse_args(arguments)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    window = AccuracyWindow(size=options.window, minimum=options.minimum)
    metrics = ServerMetrics(window)
    host = ModelHost(options.tracking_uri, options.model, options.alias, metrics=metrics, window=window)
    host.served_rows = ServedRows(options.served_rows) if options.served_rows else None
    server = ModelServer(host, metrics, Faults(), os.environ.get("PLAYGROUND_ADMIN_TOKEN") or None)
    Thread(target=_load_until_there, args=[host], name="first-load", daemon=True).start()
    uvicorn.run(server.app(), host="127.0.0.1", port=options.port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
