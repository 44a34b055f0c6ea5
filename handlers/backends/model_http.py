"""A model server that is asked over HTTP: what it serves, how it is, to load anew, and for a prediction.

Settings: `url`; `token` (bearer token; a reference in the profile, never its value). Where a server's routes differ:
`info` (default /model/info), `health` (/health), `reload` (/admin/reload-model) and `pointer`, the name under which the
reload is told what to load (default alias; stage for one that follows stages). The answer of `info` is an object with
`version`, or a list of such objects with `name`, bare or under `models`.

A server that answers 503 to `info` says that it has no model; one that answers 4xx or 502 to the reload has refused it
and kept what it had.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bot.ports import Foreign, Prediction, Served
from handlers.backends._http import Answer, base_url, call, plain, where

if TYPE_CHECKING:
    import requests

LOOK_S = 3.0
RELOAD_S = 9.0  # loading takes a second or two; a step's lease leaves room for twelve
_WHO = "The model server"
_ROUTES = {"info": "/model/info", "health": "/health", "reload": "/admin/reload-model"}
_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,200}")


class HttpModelServer:
    """A ModelServer. Safe to use from several threads."""

    def __init__(self, url: str, token: str, routes: Mapping[str, str] = _ROUTES, pointer: str = "alias") -> None:
        self.url = url
        self._token = token
        self._routes = routes
        self._pointer = pointer

    def served(self, model: str) -> Served:
        """What the process says that it has loaded."""
        path = self._routes["info"]
        answer = _of_model(self._call("GET", path, LOOK_S), model)
        if answer.status == 503:
            why = answer.word("why", "error") or "it gave no reason"
            raise Foreign("not_found", f"{_WHO} at {where(self.url)} runs, but has no model loaded: {why}.")
        version, name = answer.word("version"), answer.word("name")
        if answer.status != 200 or not version:
            raise self._odd(answer, path)
        if name and name != model:
            raise Foreign("conflict", f"{_WHO} at {where(self.url)} serves {name}, not {plain(model, 80)}.")
        return Served(
            model=model, version=version, alias=answer.word("alias"), loaded_at=_time(answer.word("loaded_at"))
        )

    def reload(self, model: str, alias: str) -> str:
        """Load what the alias points at; returns the version served then. A refusal says what was kept."""
        path = self._routes["reload"]
        answer = self._call("POST", path, RELOAD_S, {"model_name": model, self._pointer: alias})
        version = answer.word("new_version", "version")
        if answer.status == 200 and version:
            return version
        why = answer.word("error", "why", "detail") or f"it answered {answer.status}"
        if answer.status in (401, 403):
            text = f"{_WHO} refused the reload: {why}. Check the setting `token` of this backend."
            raise Foreign("refused", text, happened=False)
        if answer.status == 404:
            raise Foreign("not_found", f"{_WHO} has no reload at {path}. Check `url` and `reload`.", happened=False)
        if answer.status == 409:
            raise Foreign("conflict", f"{_WHO} refused the reload: {why}.", happened=False)
        if answer.status in (429, 503):
            raise Foreign("overloaded", f"{_WHO} cannot reload now: {why}.", happened=False)
        kept = answer.word("kept_version")
        if answer.status in (400, 422, 502) or kept:
            rest = f" It still serves version {kept}." if kept else ""
            raise Foreign("refused", f"{_WHO} could not load the model: {why}.{rest}", happened=False)
        raise self._odd(answer, path)

    def is_healthy(self) -> tuple[bool, str]:
        """Whether /health says 200, and its own words."""
        path = self._routes["health"]
        answer = self._call("GET", path, LOOK_S)
        words = answer.word("why", "status", "error", "detail")
        if answer.data is None and answer.status == 200:
            raise self._odd(answer, path)
        return answer.status == 200, words or f"it answered {answer.status}"

    def predict(self, path: str, body: str, limit: timedelta) -> Prediction:
        """POST the JSON text to that path. Foreign("timeout") when the whole answer is not there within the limit."""
        began = time.monotonic()
        answer = self._call("POST", path, limit.total_seconds(), body=body)
        return Prediction(status=answer.status, data=answer.data, took=timedelta(seconds=time.monotonic() - began))

    def _call(
        self, method: str, path: str, limit_s: float, query: Mapping[str, str] | None = None, body: str | None = None
    ) -> Answer:
        with self._session() as session:
            return call(session, method, f"{self.url}{path}", who=_WHO, limit_s=limit_s, query=query, body=body)

    def _session(self) -> requests.Session:
        # A fresh one per call: sessions are not made for several threads, and a dead kept connection costs a false
        # alarm.
        import requests

        session = requests.Session()
        session.trust_env = False  # no proxy and no .netrc may come between us and the server
        if self._token:
            session.headers["Authorization"] = f"Bearer {self._token}"
        return session

    def _odd(self, answer: Answer, path: str) -> Foreign:
        what = answer.word("error", "detail") or ("no JSON" if answer.data is None else "not what was expected")
        reason = "overloaded" if answer.status in (429, 503) else "broken" if answer.status >= 500 else "invalid"
        text = f"{_WHO} at {where(self.url)} answered {answer.status} to {path}: {what}."
        return Foreign(reason, f"{text} Check that `url` is the model server.")


class ModelHttp:
    """The kind of backend as the registry of handlers knows it."""

    kind = "model-http"
    offers = ("server",)
    settings = ("url", "token", "info", "health", "reload", "pointer")

    def build(self, settings: Mapping[str, str]) -> HttpModelServer:
        """A client; makes no call. ValueError names the setting that is missing or wrong."""
        routes = {name: settings.get(name) or path for name, path in _ROUTES.items()}
        for name, path in routes.items():
            if not _PATH.fullmatch(path):
                raise ValueError(f"{self.kind}: `{name}` must be a path like {_ROUTES[name]}; got “{path[:80]}”.")
        pointer = settings.get("pointer") or "alias"
        if not pointer.isidentifier():
            raise ValueError(f"{self.kind}: `pointer` must be a plain name like alias or stage; got “{pointer[:40]}”.")
        return HttpModelServer(base_url(settings, self.kind), settings.get("token", ""), routes, pointer)

    def check(self, client: object) -> str:
        """Ask for its health; returns words for `doctor`, raises Foreign."""
        if not isinstance(client, HttpModelServer):
            raise TypeError(f"{self.kind}: not a client of this kind")
        healthy, words = client.is_healthy()
        return f"{where(client.url)} answers: {'healthy' if healthy else 'not healthy'} ({words})"


def _of_model(answer: Answer, model: str) -> Answer:
    """The part of the answer that is about the model, when it lists several; the answer itself otherwise."""
    found: Any = answer.data
    if isinstance(found, dict) and isinstance(found.get("models"), list):
        found = found["models"]
    if not isinstance(found, list):
        return answer
    mine = [one for one in found if isinstance(one, dict) and one.get("name") == model]
    return Answer(status=answer.status, data=mine[0] if len(mine) == 1 else None)


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


BACKEND = ModelHttp()
