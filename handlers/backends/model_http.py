"""A model server that is asked over HTTP: GET /model/info, GET /health, POST /admin/reload-model.

Settings: `url`; `token` (bearer token for the reload; a reference in the profile, never its value). A server that
answers 503 to /model/info says that it has no model; one that answers 4xx or 502 to the reload has refused it and kept
what it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bot.ports import Foreign, Served
from handlers.backends._http import Answer, base_url, call, plain, where

if TYPE_CHECKING:
    import requests

LOOK_S = 3.0
RELOAD_S = 9.0  # loading takes a second or two; a step's lease leaves room for twelve
_WHO = "The model server"


class HttpModelServer:
    """A ModelServer. Safe to use from several threads."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token

    def served(self, model: str) -> Served:
        """What the process says that it has loaded."""
        answer = self._call("GET", "/model/info", LOOK_S)
        if answer.status == 503:
            why = answer.word("why", "error") or "it gave no reason"
            raise Foreign("not_found", f"{_WHO} at {where(self.url)} runs, but has no model loaded: {why}.")
        version, name = answer.word("version"), answer.word("name")
        if answer.status != 200 or not version:
            raise self._odd(answer, "/model/info")
        if name and name != model:
            raise Foreign("conflict", f"{_WHO} at {where(self.url)} serves {name}, not {plain(model, 80)}.")
        return Served(
            model=model, version=version, alias=answer.word("alias"), loaded_at=_time(answer.word("loaded_at"))
        )

    def reload(self, model: str, alias: str) -> str:
        """Load what the alias points at; returns the version served then. A refusal says what was kept."""
        answer = self._call("POST", "/admin/reload-model", RELOAD_S, {"model_name": model, "alias": alias})
        version = answer.word("new_version", "version")
        if answer.status == 200 and version:
            return version
        why = answer.word("error", "why", "detail") or f"it answered {answer.status}"
        if answer.status in (401, 403):
            text = f"{_WHO} refused the reload: {why}. Check the setting `token` of this backend."
            raise Foreign("refused", text, happened=False)
        if answer.status == 404:
            raise Foreign("not_found", f"{_WHO} has no reload at /admin/reload-model. Check `url`.", happened=False)
        if answer.status == 409:
            raise Foreign("conflict", f"{_WHO} refused the reload: {why}.", happened=False)
        if answer.status in (429, 503):
            raise Foreign("overloaded", f"{_WHO} cannot reload now: {why}.", happened=False)
        kept = answer.word("kept_version")
        if answer.status in (400, 422, 502) or kept:
            rest = f" It still serves version {kept}." if kept else ""
            raise Foreign("refused", f"{_WHO} could not load the model: {why}.{rest}", happened=False)
        raise self._odd(answer, "/admin/reload-model")

    def is_healthy(self) -> tuple[bool, str]:
        """Whether /health says 200, and its own words."""
        answer = self._call("GET", "/health", LOOK_S)
        words = answer.word("why", "status", "error", "detail")
        if answer.data is None and answer.status == 200:
            raise self._odd(answer, "/health")
        return answer.status == 200, words or f"it answered {answer.status}"

    def _call(self, method: str, path: str, limit_s: float, query: Mapping[str, str] | None = None) -> Answer:
        with self._session() as session:
            return call(session, method, f"{self.url}{path}", who=_WHO, limit_s=limit_s, query=query)

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
    settings = ("url", "token")

    def build(self, settings: Mapping[str, str]) -> HttpModelServer:
        """A client; makes no call. ValueError names the setting that is missing or wrong."""
        return HttpModelServer(base_url(settings, self.kind), settings.get("token", ""))

    def check(self, client: object) -> str:
        """Ask for its health; returns words for `doctor`, raises Foreign."""
        if not isinstance(client, HttpModelServer):
            raise TypeError(f"{self.kind}: not a client of this kind")
        healthy, words = client.is_healthy()
        return f"{where(client.url)} answers: {'healthy' if healthy else 'not healthy'} ({words})"


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


BACKEND = ModelHttp()
