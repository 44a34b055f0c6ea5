"""Each backend against a foreign system on a bad day: a bounded wait, a reason of the closed set, words, and no
secret."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.ports import Foreign, ModelVersion
from handlers.backends import _mlflow, mlflow, mlflow_stages, model_http, prometheus
from tests.handlers.odd_server import answering, hang_up, nobody, raw, silence, trickle

REASONS = {"unreachable", "timeout", "refused", "not_found", "conflict", "invalid", "overloaded", "broken"}
SECRET = "canary-4711"
REAL = {
    "CALL_S": _mlflow.CALL_S,
    "LOOK_S": model_http.LOOK_S,
    "RELOAD_S": model_http.RELOAD_S,
    "ANSWER_S": prometheus.ANSWER_S,
}
SHORT_S = 1  # the limits under test are shortened, so that the suite is quick; their real values are asserted below


def registry(url: str) -> Any:
    return mlflow.BACKEND.build({"url": url, "username": "bot", "password": SECRET})


def stages(url: str) -> Any:
    return mlflow_stages.BACKEND.build({"url": url, "username": "bot", "password": SECRET})


def server(url: str) -> Any:
    return model_http.BACKEND.build({"url": url, "token": SECRET})


def metrics(url: str) -> Any:
    return prometheus.BACKEND.build({"url": url, "token": SECRET})


CALLS: dict[str, Callable[[str], object]] = {
    "mlflow alias": lambda url: registry(url).alias("m", "champion"),
    "mlflow versions": lambda url: registry(url).versions("m"),
    "mlflow move": lambda url: registry(url).move_alias("m", "champion", expected="1", to="2"),
    "mlflow run": lambda url: registry(url).evaluation(
        "m", ModelVersion(version="1", status="READY", created_at=datetime.now(UTC), run_id="r")
    ),
    "stages alias": lambda url: stages(url).alias("m", "Production"),
    "stages move": lambda url: stages(url).move_alias("m", "Production", expected="1", to="2"),
    "mlflow check": lambda url: mlflow.BACKEND.check(registry(url)),
    "server served": lambda url: server(url).served("m"),
    "server reload": lambda url: server(url).reload("m", "champion"),
    "server health": lambda url: server(url).is_healthy(),
    "server check": lambda url: model_http.BACKEND.check(server(url)),
    "prometheus instant": lambda url: metrics(url).instant("up"),
    "prometheus over": lambda url: metrics(url).over(
        "up", datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC), timedelta(seconds=5)
    ),
    "prometheus check": lambda url: prometheus.BACKEND.check(metrics(url)),
}
READS = {
    "get": json.dumps({"registered_model": {"name": "m", "aliases": [{"alias": "champion", "version": "1"}]}}).encode(),
    "search": json.dumps(
        {"model_versions": [{"name": "m", "version": "1", "creation_timestamp": 1, "current_stage": "Production"}]}
    ).encode(),
}
HTML = b"<html><body><form action=/login>Please log in</form></body></html>"


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """Importing MLflow takes seconds on a busy machine; that is not what is measured here."""
    registry("http://127.0.0.1:1")._client()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mlflow, "CALL_S", SHORT_S)
    monkeypatch.setattr(model_http, "LOOK_S", SHORT_S)
    monkeypatch.setattr(model_http, "RELOAD_S", SHORT_S)
    monkeypatch.setattr(prometheus, "ANSWER_S", SHORT_S)


def test_the_real_limits_leave_room_in_a_time_box() -> None:
    """A step's calls must fit into twelve seconds, a diagnostic's into ten."""
    assert REAL["CALL_S"] * 4 <= 12
    assert REAL["RELOAD_S"] < 12
    assert max(REAL["LOOK_S"], REAL["ANSWER_S"], REAL["CALL_S"]) <= 5


def failing(call: str, url: str) -> Foreign:
    began = time.monotonic()
    with pytest.raises(Foreign) as raised:
        CALLS[call](url)
    assert time.monotonic() - began < SHORT_S + 2.5, "the wait is bounded by the backend itself"
    problem = raised.value
    assert problem.reason in REASONS
    assert problem.sentence.endswith((".", ")"))
    assert SECRET not in problem.sentence + repr(problem) + str(problem.__cause__)
    return problem


@pytest.mark.parametrize("call", CALLS)
def test_nobody_listens(call: str) -> None:
    with nobody() as url:
        problem = failing(call, url)
    assert (problem.reason, problem.happened) == ("unreachable", False)


@pytest.mark.parametrize("call", ["mlflow alias", "server served", "server reload", "prometheus instant"])
def test_it_never_answers(call: str) -> None:
    with raw(silence) as url:
        problem = failing(call, url)
    assert problem.reason == "timeout"


@pytest.mark.parametrize("call", ["server served", "server reload", "prometheus instant"])
def test_it_answers_by_drops(call: str) -> None:
    """No single read waits long, so only a limit on the whole helps. (MLflow's client has none; its caller boxes the
    time.)"""
    with raw(trickle) as url:
        problem = failing(call, url)
    assert problem.reason == "timeout"


@pytest.mark.parametrize("call", CALLS)
def test_the_connection_breaks(call: str) -> None:
    with raw(hang_up) as url:
        problem = failing(call, url)
    assert problem.reason == "unreachable"
    if call == "server reload":
        assert problem.happened is None, "it may have taken the request before it broke"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "status, reasons",
    [
        (500, {"broken"}),
        (503, {"overloaded", "not_found"}),
        (429, {"overloaded"}),
        (401, {"refused"}),
        (403, {"refused"}),
        (404, {"not_found"}),
    ],
)
def test_it_answers_an_error(call: str, status: int, reasons: set[str]) -> None:
    if call in ("server health", "server check"):
        with answering(status, {"status": "bad"}) as asked:
            assert server(asked.url).is_healthy() == (False, "bad")
        return
    if call == "server served":
        reasons = reasons | {"invalid"}
    with answering(
        status, b"something <b>bad</b> happened" if call.startswith(("mlflow", "stages")) else {"error": "bad"}
    ) as asked:
        problem = failing(call, asked.url)
    assert problem.reason in reasons
    assert asked.requests, "it was asked"


@pytest.mark.parametrize("call", CALLS)
def test_a_login_page_is_no_answer(call: str) -> None:
    with answering(200, HTML, headers={"Content-Type": "text/html"}) as asked:
        problem = failing(call, asked.url)
    assert problem.reason == "invalid"
    assert "url" in problem.sentence


@pytest.mark.parametrize("call", ["mlflow alias", "server served", "prometheus instant"])
def test_json_of_another_shape_is_no_answer(call: str) -> None:
    bodies: list[object] = [[], {}, 7, "text", {"status": "success"}]
    bodies += [{"status": "success", "data": {"result": [{"metric": {}}]}}]
    for body in bodies:
        with answering(200, body) as asked:
            problem = failing(call, asked.url)
        assert problem.reason in {"invalid", "not_found", "broken"}, body


def test_redirects_are_not_followed_with_the_token() -> None:
    with answering(200, {"name": "m", "version": "1"}) as other:
        with answering(302, b"", headers={"Location": f"{other.url}/steal"}) as asked:
            assert failing("server served", asked.url).reason == "invalid"
            assert failing("prometheus instant", asked.url).reason in REASONS
        assert other.requests == []


def test_mlflow_refuses_our_name_for_it() -> None:
    """The trap of newer MLflow: /health is green, and every call is refused because of the Host header."""
    with answering(403, b"Invalid Host header - possible DNS rebinding attack detected") as asked:
        problem = failing("mlflow alias", asked.url)
    assert problem.reason == "refused"
    assert "--allowed-hosts" in problem.sentence


def test_an_error_that_is_not_mlflows_own() -> None:
    with answering(401, {"detail": "the proxy does not know you"}) as asked:
        problem = failing("mlflow alias", asked.url)
    assert (problem.reason, problem.happened) == ("broken", None)
    assert "the proxy does not know you" in problem.sentence


def test_mlflow_gets_its_password_and_nobody_reads_it() -> None:
    with answering(
        404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"no model at http://bot:{SECRET}@x"}
    ) as asked:
        problem = failing("mlflow alias", asked.url)
    assert problem.reason == "not_found"
    assert asked.requests[0][2]["Authorization"].startswith("Basic ")


def test_mlflow_setting_an_alias_with_a_lost_answer_is_unclear() -> None:
    """Reads work, the change gets no answer: whether it happened cannot be told, and that is what is said."""
    model = {"registered_model": {"name": "m", "aliases": [{"alias": "champion", "version": "1"}]}}
    with answering(200, model) as asked:
        client = registry(asked.url)
        with pytest.raises(Foreign) as raised:
            client.move_alias("m", "champion", expected="1", to="2")
    calls = [f"{method} {path.partition('?')[0].rpartition('/')[2]}" for method, path, _ in asked.requests]
    assert (calls[0], calls[-2:]) == ("GET get", ["POST alias", "GET get"]), "read, compare, set, read back"
    assert (raised.value.reason, raised.value.happened) == ("conflict", None)


@pytest.mark.parametrize("binding", ["alias", "stage"])
def test_mlflow_that_dies_right_after_the_change_leaves_it_unclear(binding: str) -> None:
    """The change was answered, the read-back finds nobody: to call that "nothing was changed" would be a lie."""
    changed = threading.Event()

    def answer(connection: socket.socket, _: threading.Event) -> None:
        body = b"{}"
        if changed.is_set():
            return  # hangs up on whoever comes later
        if seen[-1].startswith(b"GET"):
            body = READS["search" if b"search" in seen[-1] else "get"]
        else:
            changed.set()
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    seen: list[bytes] = []
    with raw(answer, seen) as url:
        one, pointer = (registry(url), "champion") if binding == "alias" else (stages(url), "Production")
        with pytest.raises(Foreign) as raised:
            one.move_alias("m", pointer, expected="1", to="2")
    assert changed.is_set(), "the change was made"
    assert (raised.value.reason, raised.value.happened) == ("unreachable", None)


def test_prometheus_says_that_its_answer_is_partial() -> None:
    result = {"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]}
    with answering(200, {"status": "success", "warnings": ["remote read of store-2 failed"], "data": result}) as asked:
        problem = failing("prometheus instant", asked.url)
    assert problem.reason == "broken"
    assert "remote read of store-2 failed" in problem.sentence
    remark = ["PromQL info: metric might not be a counter"]
    with answering(200, {"status": "success", "warnings": remark, "data": result}) as asked:
        assert [one.value for one in metrics(asked.url).instant("up")] == [1]


def test_prometheus_own_words_are_passed_on_and_a_503_is_tried_twice() -> None:
    with answering(
        400, {"status": "error", "errorType": "bad_data", "error": "parse error: unexpected <eof>"}
    ) as asked:
        assert "parse error: unexpected" in failing("prometheus instant", asked.url).sentence
        assert len(asked.requests) == 1
    with answering(503, {"status": "error", "errorType": "unavailable", "error": "TSDB not ready"}) as asked:
        assert "TSDB not ready" in failing("prometheus instant", asked.url).sentence
        assert len(asked.requests) == 2
        assert asked.requests[0][2]["Authorization"] == f"Bearer {SECRET}"


def test_prometheus_scalars_and_special_values() -> None:
    with answering(
        200, {"status": "success", "data": {"resultType": "scalar", "result": [1764000000.5, "3"]}}
    ) as asked:
        [sample] = metrics(asked.url).instant("3")
    assert (sample.value, sample.labels) == (3.0, {})
    found = [{"metric": {"version": value}, "value": [1, value]} for value in ("NaN", "+Inf", "0")]
    with answering(200, {"status": "success", "data": {"resultType": "vector", "result": found}}) as asked:
        assert [one.value for one in metrics(asked.url).instant("x")] == [float("inf"), 0.0]


def test_label_values_cannot_leave_their_quotes() -> None:
    hostile = 'a"} or vector(1) #\\\n'
    query = prometheus.filled('up{job="${job}"}', job=hostile)
    assert query == 'up{job="a\\"} or vector(1) #\\\\\\n"}'
    with pytest.raises(KeyError):
        prometheus.filled('up{job="${jib}"}', job="x")


def test_the_model_server_has_no_model() -> None:
    with answering(503, {"error": "no model is loaded", "why": "cannot load models:/m@champion"}) as asked:
        problem = failing("server served", asked.url)
    assert problem.reason == "not_found"
    assert "cannot load models:/m@champion" in problem.sentence


def test_the_model_server_serves_another_model() -> None:
    with answering(200, {"name": "other", "version": "1"}) as asked:
        assert failing("server served", asked.url).reason == "conflict"


@pytest.mark.parametrize(
    "status, body, reason, happened",
    [
        (401, {"error": "needs the token"}, "refused", False),
        (409, {"error": "serves another model"}, "conflict", False),
        (502, {"error": "cannot load", "kept_version": "3"}, "refused", False),
        (500, {"error": "boom"}, "broken", None),
        (200, {"status": "reloaded"}, "invalid", None),
        (503, {"error": "busy"}, "overloaded", False),
    ],
)
def test_a_reload_that_did_not_work_says_what_is_known(
    status: int, body: object, reason: str, happened: bool | None
) -> None:
    with answering(status, body) as asked:
        problem = failing("server reload", asked.url)
    assert (problem.reason, problem.happened) == (reason, happened)
    [(method, path, headers)] = asked.requests
    assert (method, path) == ("POST", "/admin/reload-model?model_name=m&alias=champion")
    assert headers["Authorization"] == f"Bearer {SECRET}"
    if status == 502:
        assert "It still serves version 3" in problem.sentence


@pytest.mark.parametrize(
    "backend", [mlflow.BACKEND, model_http.BACKEND, prometheus.BACKEND], ids=lambda one: str(one.kind)
)
@pytest.mark.parametrize("url", ["", "nonsense", "file:///etc/passwd", "http://", "http://user:pw@host:1"])
def test_a_wrong_address_is_refused_when_it_is_configured(backend: Any, url: str) -> None:
    with pytest.raises(ValueError, match="url") as raised:
        backend.build({"url": url})
    assert "pw" not in str(raised.value)
    with pytest.raises(TypeError):
        backend.check(object())


def test_half_a_login_is_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        mlflow.BACKEND.build({"url": "http://x:1", "username": "bot"})
