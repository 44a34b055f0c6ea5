"""Airflow 2 and 3 over REST: a DAG's run is triggered under a name of ours and followed to its end.

Settings: `url`; `username` and `password`, or `token`; `api` (`v1` for Airflow 2, `v2` for Airflow 3; asked when it is
left out). Airflow 3 gives a token for user and password at /auth/token; Airflow 2 takes them with each call, or a
bearer token where something before it does.

One name is one run: both refuse a second run of a name (409), whoever tries again looks for it and finds it. Airflow 2
answers 409 also when another run has the same date to the microsecond; then there is no run of our name, and it is
tried again.

Whether we may trigger is asked of Airflow itself before anybody is asked to approve, by a trigger that cannot be
carried out: the permission is judged first (403), the contradiction in the body after it (400 or 422). Tried on Airflow
3.3.2 and 2.10.5.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bot.policy.training import TrainingProfile
from bot.ports import Foreign, Ready, Run, RunState
from handlers.backends._airflow_words import (
    conf_of,
    detail_of,
    log_of,
    object_of,
    objects_of,
    part,
    progress,
    runs_path,
    time_of,
    why_not,
    yes_or_no,
)
from handlers.backends._http import Answer, base_url, call, plain, where

if TYPE_CHECKING:
    import requests

CALL_S = 3.0
ALL_S = 10.0  # of one question, however many calls it takes; a step's lease leaves room for twelve
_WHO = "Airflow"
_HEALTH = {"v1": "/api/v1/health", "v2": "/api/v2/monitor/health"}
# Refused by the schema, after the permission was judged: a date that contradicts itself, and one that is none.
_IMPOSSIBLE: Mapping[str, Mapping[str, Any]] = {
    "v1": {"logical_date": "2000-01-01T00:00:00+00:00", "execution_date": "2001-01-01T00:00:00+00:00"},
    "v2": {"logical_date": "mlops-bot asks whether it may trigger"},
}
_STATES: Mapping[str, RunState] = {
    "queued": "waiting", "running": "running", "success": "succeeded", "failed": "failed",
}  # fmt: skip


class Airflow:
    """Trainings in an Airflow. Safe to use from several threads."""

    place = ""  # every replica sees the same Airflow

    def __init__(self, url: str, api: str, user: tuple[str, str] | None, token: str) -> None:
        self.url = url
        self._api = api
        self._user = user
        self._given = token
        self._token = token
        self._lock = threading.Lock()

    def ready(self, training: TrainingProfile, values: Mapping[str, str]) -> Ready:
        """Whether the DAG could run now, and whether we may trigger it. Raises Foreign when that cannot be told."""
        ask = _Talk(self)
        dag = ask.get(f"/dags/{part(training.dag)}")
        if dag.status == 404:
            return Ready(refusal=f"{self._place} has no DAG {training.dag}. Correct `dag` of {training.name}.")
        found = object_of(self._good(dag, f"the DAG {training.dag}"))
        query = [("state", "running"), ("state", "queued"), ("limit", "5")]
        runs = self._good(ask.get(f"{runs_path(training)}", query), f"the runs of {training.dag}")
        active = [str(one.get("dag_run_id")) for one in objects_of(runs, "dag_runs")]
        facts = {
            "paused": yes_or_no(found.get("is_paused")), "import errors": yes_or_no(found.get("has_import_errors")),
            "running": ", ".join(sorted(active)) or "none", **self._version(ask, training),
        }  # fmt: skip
        refusal = why_not(training, found, active) or self._scheduler(ask) or self._permission(ask, training)
        version = f", version {facts['version']}" if "version" in facts else ""
        conf = conf_of(training, values)
        told = f" with {', '.join(f'{key} = {value}' for key, value in conf.items())}" if conf else ""
        start = f"Airflow at {where(self.url)}: trigger one run of DAG {training.dag}{told}."
        return Ready(refusal=refusal, what=f"DAG {training.dag}{version}", start=start, facts=facts)

    def start(self, training: TrainingProfile, key: str, values: Mapping[str, str], note: str) -> None:
        """Trigger the run of that name. A run that is there already is what was wanted. Raises Foreign."""
        ask = _Talk(self)
        body: dict[str, Any] = {"dag_run_id": key, "conf": conf_of(training, values), "note": plain(note, 900)}
        if self.api(ask) == "v2":
            body["logical_date"] = None  # required there, and refused by Airflow 2
        answer = ask.post(runs_path(training), body)
        if answer.status == 409:
            if ask.get(f"{runs_path(training)}/{part(key)}").status == 200:
                return
            text = f"{self._place} had another run of that moment."
            raise Foreign("overloaded", text, happened=False)  # Airflow 2: same date by chance; tried again
        if answer.status not in (200, 201):
            raise self._odd(answer, f"a trigger of {training.dag}", happened=False if answer.status < 500 else None)

    def run(self, training: TrainingProfile, key: str) -> Run | None:
        """The run of that name with its tasks; of a failed one also the end of the failed task's log."""
        ask = _Talk(self)
        answer = ask.get(f"{runs_path(training)}/{part(key)}")
        if answer.status == 404:
            return None
        found = object_of(self._good(answer, f"the run {key}"))
        state = _STATES.get(str(found.get("state")))
        if state is None:
            raise self._odd(answer, f"the run {key}")
        began_at = time_of(found.get("start_date")) or time_of(found.get("queued_at"))
        if state == "succeeded":
            return Run(state=state, began_at=began_at, ended_at=time_of(found.get("end_date")))
        tasks = objects_of(
            ask.get(f"{runs_path(training)}/{part(key)}/taskInstances", [("limit", "100")]), "task_instances"
        )
        if state == "failed":
            return self._failed(ask, training, key, tasks, found)
        # A run of Airflow 2 has no time of its own before it begins, so the plan's counts.
        return Run(state=state, began_at=began_at, task=progress(tasks), trouble=self._scheduler(ask))

    def ran(
        self, training: TrainingProfile, since: datetime, until: datetime, most: int
    ) -> Sequence[tuple[datetime, datetime | None]]:
        """Begin and end of the DAG's runs, scheduled ones too, newest first. Raises Foreign."""
        query = [
            ("start_date_gte", since.isoformat()), ("start_date_lte", until.isoformat()),
            ("order_by", "-start_date"), ("limit", str(most)),
        ]  # fmt: skip
        found = self._good(_Talk(self).get(runs_path(training), query), f"the runs of {training.dag}")
        times = [
            (time_of(one.get("start_date")), time_of(one.get("end_date"))) for one in objects_of(found, "dag_runs")
        ]
        return [(began_at, ended_at) for began_at, ended_at in times if began_at is not None]

    def version(self) -> str:
        """What Airflow says it is. Raises Foreign."""
        ask = _Talk(self)
        return self._good(ask.get("/version"), "its version").word("version")

    def api(self, ask: _Talk) -> str:
        """Which API it speaks: what the profile says, or what answers."""
        if not self._api:
            for api in ("v2", "v1"):
                answer = ask.call("GET", f"/api/{api}/version", is_open=True)
                if answer.status == 200 and answer.word("version"):
                    self._api = api
                    break
                if answer.status >= 500:  # something before it answers while it is down: `url` is right
                    raise self._odd(answer, "the question for its version", happened=False)
            else:
                text = f"{self._place} answers neither /api/v2 nor /api/v1. Check `url`."
                raise Foreign("invalid", text, happened=False)
        return self._api

    def authorise(self, session: requests.Session, ask: _Talk) -> None:
        """Put the credentials on; Airflow 3 gives a token for user and password first."""
        if self._user is not None and not self._given and self.api(ask) == "v1":
            session.auth = self._user
            return
        with self._lock:
            if not self._token and self._user is not None:
                self._token = self._log_in(ask, *self._user)
            token = self._token
        if token:
            session.headers["Authorization"] = f"Bearer {token}"

    def forget(self) -> bool:
        """Drop a token that was refused; True when a new one can be had."""
        with self._lock:
            if self._given or self._user is None or not self._token:
                return False
            self._token = ""
            return True

    @property
    def _place(self) -> str:
        return f"{_WHO} at {where(self.url)}"

    def _log_in(self, ask: _Talk, name: str, password: str) -> str:
        body = {"username": name, "password": password}
        answer = ask.call("POST", "/auth/token", body=body, is_open=True)
        token = answer.data.get("access_token") if isinstance(answer.data, dict) else None
        if answer.status in (200, 201) and isinstance(token, str):
            return token
        if answer.status in (400, 401, 403):
            text = f"{self._place} refused the login of {name}. Check `username` and `password` of this backend."
            raise Foreign("refused", text, happened=False)
        raise self._odd(answer, "the login")

    def _version(self, ask: _Talk, training: TrainingProfile) -> dict[str, str]:
        """Airflow 3 numbers what it parsed, so an approval can be bound to it; Airflow 2 does not."""
        if self.api(ask) == "v1":
            return {}
        query = [("limit", "1"), ("order_by", "-version_number")]
        found = objects_of(ask.get(f"/dags/{part(training.dag)}/dagVersions", query), "dag_versions")
        return {"version": str(found[0].get("version_number"))} if found else {}

    def _scheduler(self, ask: _Talk) -> str:
        """Why nothing would go on, "" when the scheduler is alive or nobody can say."""
        answer = ask.call("GET", _HEALTH[self.api(ask)], is_open=True)
        found = answer.data.get("scheduler") if isinstance(answer.data, dict) else None
        if not isinstance(found, dict) or found.get("status") != "unhealthy":
            return ""
        since = time_of(found.get("latest_scheduler_heartbeat"))
        told = f" since {since:%H:%M} UTC" if since else ""
        return f"Airflow's scheduler gives no sign of life{told}: nothing goes on until it is started again."

    def _permission(self, ask: _Talk, training: TrainingProfile) -> str:
        answer = ask.post(runs_path(training), _IMPOSSIBLE[self.api(ask)])
        if answer.status in (400, 422):
            return ""
        if answer.status in (401, 403):
            who = self._user[0] if self._user else "the token's user"
            text = f"{self._place} does not let {who} trigger {training.dag}."
            return f"{text} Give that user the right to create its runs, then ask again."
        raise self._odd(answer, "the question whether we may trigger")

    def _failed(
        self,
        ask: _Talk,
        training: TrainingProfile,
        key: str,
        tasks: Sequence[Mapping[str, Any]],
        run: Mapping[str, Any],
    ) -> Run:
        bad = sorted((t for t in tasks if t.get("state") == "failed"), key=lambda one: str(one.get("end_date") or ""))
        began_at, ended_at = time_of(run.get("start_date")), time_of(run.get("end_date"))
        if not bad:
            stopped = "No task of it failed: it was marked as failed, or its time was over."
            return Run(state="failed", began_at=began_at, ended_at=ended_at, log=stopped, where="")
        task = str(bad[0].get("task_id"))
        path = f"{runs_path(training)}/{part(key)}/taskInstances/{part(task)}/logs/{bad[0].get('try_number') or 1}"
        index = bad[0].get("map_index")
        query = [
            ("full_content", "true"),
            *([("map_index", str(index))] if isinstance(index, int) and index >= 0 else []),
        ]
        try:
            log = log_of(ask.get(path, query))
        except Foreign:
            log = ""  # what it failed of cannot be read now; that it failed is certain
        text = f"The whole log: task {plain(task, 80)} of run {key} in Airflow."
        return Run(state="failed", began_at=began_at, ended_at=ended_at, task=task, log=log, where=text)

    def _good(self, answer: Answer, what: str) -> Answer:
        if answer.status == 200 and isinstance(answer.data, dict):
            return answer
        raise self._odd(answer, what)

    def _odd(self, answer: Answer, what: str, *, happened: bool | None = None) -> Foreign:
        said = detail_of(answer)
        if answer.status in (401, 403):
            text = f"{self._place} refused {what} ({said}). Check user, password or token of this backend."
            return Foreign("refused", text, happened=False)
        if answer.status == 404:
            return Foreign("not_found", f"{self._place} does not know {what}: {said}.", happened=False)
        if answer.status in (429, 503):
            return Foreign("overloaded", f"{self._place} cannot answer now ({answer.status}).", happened=happened)
        if answer.status >= 500:
            return Foreign("broken", f"{self._place} answered {answer.status} to {what}.", happened=happened)
        text = f"{self._place} answered {answer.status} to {what}: {said}. Check that `url` is Airflow."
        return Foreign("invalid", text, happened=happened)


class _Talk:
    """The calls of one question; together they end within ALL_S."""

    def __init__(self, airflow: Airflow) -> None:
        self._airflow = airflow
        self._until = time.monotonic() + ALL_S

    def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Answer:
        """A call with our credentials below the API's root."""
        return self._with_login("GET", path, query, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """The same with a body."""
        return self._with_login("POST", path, (), body)

    def call(
        self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: Mapping[str, Any] | None = None,
        is_open: bool = False,
    ) -> Answer:  # fmt: skip
        """One call. `is_open`: without credentials."""
        import requests

        with requests.Session() as session:
            session.trust_env = False  # no proxy and no .netrc may come between us and Airflow
            session.headers["Accept"] = "application/json"  # Airflow 2 would send a log as plain text
            if not is_open:
                self._airflow.authorise(session, self)
            left = self._until - time.monotonic()
            if left <= 0:
                raise Foreign("timeout", f"{_WHO} at {where(self._airflow.url)} is too slow to be asked all of it.")
            url = f"{self._airflow.url}{path}"
            text = None if body is None else json.dumps(body)
            return call(session, method, url, who=_WHO, limit_s=min(CALL_S, left), query=list(query), body=text)

    def _with_login(
        self, method: str, path: str, query: Sequence[tuple[str, str]], body: Mapping[str, Any] | None
    ) -> Answer:
        path = f"/api/{self._airflow.api(self)}{path}"
        answer = self.call(method, path, query=query, body=body)
        is_stale = answer.status == 401 or (answer.status == 403 and "token" in detail_of(answer).lower())
        if is_stale and self._airflow.forget():
            answer = self.call(method, path, query=query, body=body)
        return answer


class AirflowBackend:
    """The kind of backend as the registry of handlers knows it."""

    kind = "airflow"
    offers = ("dags",)
    settings = ("url", "username", "password", "token", "api")

    def build(self, settings: Mapping[str, str]) -> Airflow:
        """A client; makes no call. ValueError names the setting that is missing or wrong."""
        api = settings.get("api", "")
        if api not in ("", "v1", "v2"):
            raise ValueError(f"{self.kind}: `api` is v1 (Airflow 2) or v2 (Airflow 3), or left out.")
        name, password, token = (settings.get(key, "") for key in ("username", "password", "token"))
        if bool(name) != bool(password):
            raise ValueError(f"{self.kind}: `username` and `password` belong together.")
        return Airflow(base_url(settings, self.kind), api, (name, password) if name else None, token)

    def check(self, client: object) -> str:
        """Ask for its version and scheduler; returns words for `doctor`, raises Foreign."""
        if not isinstance(client, Airflow):
            raise TypeError(f"{self.kind}: not a client of this kind")
        ask = _Talk(client)
        version = client.version()
        trouble = client._scheduler(ask)  # noqa: SLF001 - the same module
        return f"Airflow {version} at {where(client.url)} answers; {trouble or 'its scheduler is alive'}"


BACKEND = AirflowBackend()
