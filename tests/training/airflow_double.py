"""An Airflow on the wire, as strict as the real ones: shapes and refusals recorded from 3.3.2 and 2.10.5.

Nothing runs in it: a test says how far a run is. An unknown path, key or parameter is refused as the real ones do, so
that the backend cannot pass here and fail there.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

PASSWORDS = {"bot": "pw-bot", "eve": "pw-eve"}
DAG = "retraining"
TASKS = ("read_labels", "fit")
AT = "2026-11-21T06:08:53.609890"
_BODY = {
    "v1": {"dag_run_id", "logical_date", "execution_date", "data_interval_start", "data_interval_end", "conf", "note"},
    "v2": {
        "dag_run_id", "logical_date", "data_interval_start", "data_interval_end", "conf", "note", "run_after",
        "partition_key",
    },
}  # fmt: skip
_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}


@dataclass
class Double:
    """State of the server, for the test to set and to look at."""

    api: str  # "v1" or "v2"
    url: str = ""
    paused: bool = False
    import_errors: bool = False
    gone: bool = False
    version: int = 1
    scheduler: str = "healthy"
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(TASKS))  # of every run
    log: list[str] = field(default_factory=list)
    raised: str = ""  # "ValueError: too few labels"
    asked: list[str] = field(default_factory=list)
    logins: int = 0
    valid: set[str] = field(default_factory=set)  # tokens
    lose_answer: bool = False  # the next trigger is carried out and its answer is lost
    same_moment: bool = False  # v1: the next trigger meets another run of the same date
    status: int = 0  # answers everything with this

    def set(self, key: str, state: str, **tasks: str) -> None:
        """A run goes on."""
        self.runs[key]["state"] = state
        self.runs[key]["start_date"] = self.time
        if state in ("success", "failed"):
            self.runs[key]["end_date"] = self.time
        self.tasks.update(tasks)

    @property
    def time(self) -> str:
        """Now, as it writes times."""
        return datetime.now(UTC).isoformat().replace("+00:00", "Z" if self.api == "v2" else "+00:00")


@contextmanager
def airflow(api: str) -> Iterator[Double]:
    """A running double on a free loopback port."""
    state = Double(api=api)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Refused(Exception):
    def __init__(self, status: int, detail: Any, title: str = "") -> None:
        super().__init__(status)
        self.status, self.detail, self.title = status, detail, title


class _Handler(BaseHTTPRequestHandler):
    state: Double

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        state = self.state
        length = int(self.headers.get("Content-Length") or 0)
        self._sent = json.loads(self.rfile.read(length)) if length else None
        parts = urlsplit(self.path)
        self._query = parse_qsl(parts.query, keep_blank_values=True)
        state.asked.append(f"{self.command} {parts.path}")
        try:
            if state.status:
                raise _Refused(state.status, "as the test wants it")
            status, body = self._route([unquote(part) for part in parts.path.strip("/").split("/")])
        except _Refused as refused:
            status, body = refused.status, {"detail": refused.detail}
            if state.api == "v1":
                title = refused.title or _TITLES.get(refused.status, "Error")
                body = {"detail": refused.detail, "status": refused.status, "title": title, "type": "about:blank"}
        if state.lose_answer and self.command == "POST" and status == 200:
            state.lose_answer = False
            self.close_connection = True
            return
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _route(self, path: list[str]) -> tuple[int, Any]:
        state = self.state
        if path == ["auth", "token"] and state.api == "v2":
            return self._log_in()
        if path[:2] != ["api", state.api]:
            raise _Refused(404, "Not Found")
        match path[2:]:
            case ["version"]:
                return 200, {"version": "3.3.2" if state.api == "v2" else "2.10.5", "git_version": ".release:0"}
            case ["monitor", "health"] if state.api == "v2":
                return 200, self._health()
            case ["health"] if state.api == "v1":
                return 200, self._health()
            case ["dags", dag, *rest]:
                who = self._who()
                if dag != DAG:
                    ours = f"The Dag with ID: `{dag}` was not found"
                    raise _Refused(404, ours if state.api == "v2" else f"The DAG with dag_id: {dag} was not found")
                return self._dag(who, rest)
        raise _Refused(404, "Not Found")

    def _dag(self, who: str, rest: list[str]) -> tuple[int, Any]:
        state = self.state
        match rest:
            case []:
                found = {
                    "dag_id": DAG, "is_paused": state.paused, "has_import_errors": state.import_errors,
                    "max_active_runs": 1, "last_parsed_time": state.time,
                }  # fmt: skip
                return 200, found | ({"is_stale": state.gone} if state.api == "v2" else {"is_active": not state.gone})
            case ["dagVersions"] if state.api == "v2":
                self._only("limit", "order_by")
                return 200, {"dag_versions": [{"version_number": state.version, "dag_id": DAG}], "total_entries": 1}
            case ["dagRuns"] if self.command == "POST":
                return 200, self._trigger(who)
            case ["dagRuns"]:
                self._only("state", "limit", "order_by", "start_date_gte", "start_date_lte")
                found_runs = self._listed()
                return 200, {"dag_runs": found_runs, "total_entries": len(found_runs)}
            case ["dagRuns", key]:
                return 200, self._run(key)
            case ["dagRuns", key, "taskInstances"]:
                self._only("limit")
                self._run(key)
                return 200, {"task_instances": [self._task(name) for name in TASKS], "total_entries": len(TASKS)}
            case ["dagRuns", key, "taskInstances", task, "logs", "1"]:
                self._only("full_content", "map_index")
                self._run(key)
                return 200, self._log(task)
        raise _Refused(404, "Not Found")

    def _listed(self) -> list[dict[str, Any]]:
        asked = dict(self._query)
        wanted = {value for name, value in self._query if name == "state"}
        found = [run for run in self.state.runs.values() if not wanted or run["state"] in wanted]
        if "start_date_gte" in asked:
            first, last = (datetime.fromisoformat(asked[f"start_date_{end}"]) for end in ("gte", "lte"))
            found = [one for one in found if one["start_date"] and first <= _time(one["start_date"]) <= last]
        if asked.get("order_by") == "-start_date":
            found.sort(key=lambda one: _time(one["start_date"]), reverse=True)
        return found[: int(asked.get("limit", "100"))]

    def _trigger(self, who: str) -> dict[str, Any]:
        state, sent = self.state, self._sent
        if who == "eve":  # judged before the body, in both
            raise _Refused(403, "Forbidden" if state.api == "v2" else None)
        if state.import_errors and state.api == "v1":
            raise _Refused(400, f"DAG with dag_id: '{DAG}' has import errors", "DAG cannot be triggered")
        if not isinstance(sent, dict):
            raise _Refused(422 if state.api == "v2" else 400, "a body is missing")
        self._judge(sent)
        if state.import_errors:
            raise _Refused(400, f"DAG with dag_id: '{DAG}' has import errors and cannot be triggered")
        if sent["dag_run_id"] in state.runs or state.same_moment:
            state.same_moment = False
            raise _Refused(
                409,
                {"reason": "Unique constraint violation", "statement": "hidden", "orig_error": "hidden"}
                if state.api == "v2"
                else f"DAGRun with DAG ID: '{DAG}' and DAGRun ID: '{sent['dag_run_id']}' already exists",
            )
        run = {
            "dag_run_id": sent["dag_run_id"], "dag_id": DAG, "logical_date": None if state.api == "v2" else state.time,
            "start_date": None, "end_date": None, "run_type": "manual", "state": "queued",
            "conf": sent.get("conf") or {}, "note": sent.get("note"),
        }  # fmt: skip
        if state.api == "v2":
            run |= {"queued_at": state.time, "triggered_by": "rest_api", "triggering_user_name": who}
        state.runs[sent["dag_run_id"]] = run
        return run

    def _judge(self, sent: dict[str, Any]) -> None:
        """The schema, in the words of each."""
        api = self.state.api
        unknown = sorted(set(sent) - _BODY[api])
        if api == "v2":
            where = ["body", *(unknown or ["logical_date"])][:2]
            if unknown:
                raise _Refused(
                    422, [{"type": "extra_forbidden", "loc": where, "msg": "Extra inputs are not permitted"}]
                )
            if "logical_date" not in sent:
                raise _Refused(422, [{"type": "missing", "loc": where, "msg": "Field required"}])
            if sent["logical_date"] is not None and not _is_time(sent["logical_date"]):
                raise _Refused(422, [{"type": "datetime_from_date_parsing", "loc": where, "msg": "Input should be …"}])
            if ".." in sent.get("dag_run_id", ""):
                raise _Refused(400, "The run_id must not contain '..' to prevent path traversal")
            return
        if unknown:
            raise _Refused(400, f"{{'{unknown[0]}': ['Unknown field.']}}")
        if "logical_date" in sent and sent["logical_date"] is None:
            raise _Refused(400, "{'logical_date': ['Field may not be null.']}")
        if "execution_date" in sent and sent["execution_date"] != sent.get("logical_date"):
            told = f"{sent.get('logical_date')!r} != {sent['execution_date']!r}"
            raise _Refused(400, told, "logical_date conflicts with execution_date")

    def _run(self, key: str) -> dict[str, Any]:
        if key not in self.state.runs:
            told = f"The DagRun with dag_id: `{DAG}` and run_id: `{key}` was not found"
            raise _Refused(404, told if self.state.api == "v2" else f"DAGRun with DAG ID: '{DAG}' … not found")
        return self.state.runs[key]

    def _task(self, name: str) -> dict[str, Any]:
        state = self.state.tasks[name]
        return {
            "task_id": name, "dag_id": DAG, "map_index": -1, "state": state, "try_number": 1 if state else 0,
            "start_date": AT if state else None, "end_date": AT if state in ("success", "failed") else None,
        }  # fmt: skip

    def _log(self, task: str) -> dict[str, Any]:
        state = self.state
        if state.api == "v1":
            if self.headers.get("Accept") != "application/json":
                raise _Refused(406, "the real one sends plain text here")
            lines = [*state.log, *([f"{state.raised}"] if state.raised else [])]
            return {"content": str([("vm", "\n".join(lines))]), "continuation_token": None}
        events: list[dict[str, Any]] = [{"event": "::group::Log message source details"}, {"event": "::endgroup::"}]
        events += [{"event": line, "level": "info", "logger": "task.stdout"} for line in state.log]
        if state.raised:
            kind, _, value = state.raised.partition(": ")
            detail = [{"exc_type": kind, "exc_value": value, "exc_notes": [], "frames": []}]
            events.append({"event": "Task failed with exception", "level": "error", "error_detail": detail})
        events.append({"event": "::group::Post Execute", "task_id": task})
        return {"content": events, "continuation_token": None}

    def _health(self) -> dict[str, Any]:
        beat = {"status": self.state.scheduler, "latest_scheduler_heartbeat": "2026-11-21T06:07:59.455058+00:00"}
        return {"metadatabase": {"status": "healthy"}, "scheduler": beat, "triggerer": {"status": None}}

    def _log_in(self) -> tuple[int, Any]:
        sent = self._sent
        if self.command != "POST" or not isinstance(sent, dict) or set(sent) != {"username", "password"}:
            raise _Refused(422, [{"type": "missing", "msg": "Field required"}])
        if PASSWORDS.get(sent["username"]) != sent["password"]:
            raise _Refused(401, "Invalid credentials")
        self.state.logins += 1
        token = f"jwt-{sent['username']}-{self.state.logins}"
        self.state.valid.add(token)
        return 201, {"access_token": token}

    def _who(self) -> str:
        kind, _, value = (self.headers.get("Authorization") or "").partition(" ")
        if self.state.api == "v2":
            if kind != "Bearer":
                raise _Refused(401, "Not authenticated")
            if value not in self.state.valid:
                raise _Refused(403, "Invalid JWT token")
            return value.split("-")[1]
        if kind == "Bearer" and value in self.state.valid:
            return "bot"
        name, _, password = base64.b64decode(value).decode().partition(":") if kind == "Basic" else ("", "", "")
        if PASSWORDS.get(name) != password:
            raise _Refused(401, None)
        return name

    def _only(self, *names: str) -> None:
        odd = [name for name, _ in self._query if name not in names]
        if odd:
            raise _Refused(400, f"Extra query parameter(s) {odd[0]} not in spec")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _is_time(text: object) -> bool:
    try:
        return isinstance(text, str) and datetime.fromisoformat(text) is not None
    except ValueError:
        return False
