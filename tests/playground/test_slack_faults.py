"""Trouble on request: what the app sees, what took effect, and that it ends when it should."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from playground.slack import Workspace, channel_id

OPS = channel_id("ops")


@pytest.fixture
def ws() -> Iterator[Workspace]:
    with Workspace(people=["alice"], channels=["ops"], limits="off") as workspace:
        yield workspace


def client(ws: Workspace, timeout_s: int = 5) -> WebClient:
    return WebClient(ws.bot_token, base_url=ws.api_url, retry_handlers=[], timeout=timeout_s)


def posted(ws: Workspace) -> list[str]:
    return [m.text for m in ws.as_("alice").messages("ops")]


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [("429", 429, "ratelimited"), ("500", 500, "internal_error"), ("revoked_token", 200, "token_revoked")],
)
def test_refused_before_any_effect(ws: Workspace, kind: str, status: int, error: str) -> None:
    ws.fault(kind, "chat.postMessage", seconds=7)
    with pytest.raises(SlackApiError) as caught:
        client(ws).chat_postMessage(channel=OPS, text="x")
    answer = caught.value.response
    assert (answer.status_code, answer["error"]) == (status, error)
    assert answer.headers.get("Retry-After") == ("7" if kind == "429" else None)
    assert posted(ws) == []
    assert client(ws).chat_postMessage(channel=OPS, text="y")["ok"]
    assert [(c.ok, c.status) for c in ws.calls("chat.postMessage")] == [(False, status), (True, 200)]


@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after", "reset_before", "reset_after"])
def test_an_answer_that_never_comes(ws: Workspace, kind: str) -> None:
    """The client cannot tell whether its message was posted; the log can."""
    ws.fault(kind, "chat.postMessage", seconds=20)
    with pytest.raises(OSError, match=r"timed out|reset|closed"):
        client(ws, timeout_s=1 if "timeout" in kind else 5).chat_postMessage(channel=OPS, text="x")
    is_done = kind.endswith("after")
    assert posted(ws) == (["x"] if is_done else [])
    assert [(c.ok, c.status) for c in ws.calls("chat.postMessage")] == [(is_done, 0)]


def test_target_times_skip_and_heal(ws: Workspace) -> None:
    """A fault hits its method only, as often as asked, after as many as asked; heal ends it."""
    ws.fault("500", "users.list", times=2, skip=1)
    verdicts: list[Any] = []
    for _ in range(4):
        answer = urllib.request.Request(ws.api_url + "users.list", headers={"Authorization": f"Bearer {ws.bot_token}"})
        try:
            with urllib.request.urlopen(answer, timeout=5) as page:
                verdicts.append(page.status)
        except urllib.error.HTTPError as error:
            verdicts.append(error.code)
            error.close()
    assert verdicts == [200, 500, 500, 200]
    ws.fault("500", times=-1)
    ws.heal()
    assert client(ws).users_list()["ok"]
    with pytest.raises(ValueError, match="unknown fault 'gremlins'; known are 429, 500"):
        ws.fault("gremlins")


def test_controls_over_http(ws: Workspace) -> None:
    """Another process can arm faults, move the clock, read the log; wrong orders are answered in words."""

    def ask(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(ws.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            return dict(json.loads(error.read()))

    before = ask("/_sim/clock")["now"]
    assert ask("/_sim/clock", {"advance_s": 900})["now"] >= before + 900
    assert ask("/_sim/clock", {"advance_s": -1})["why"] == "the clock cannot go back (-1.0 s); give a positive span"
    assert ask("/_sim/clock", {"speed": 60})["speed"] == 60
    assert ask("/_sim/fault", {"kind": "500", "target": "auth.test"})["ok"]
    with pytest.raises(SlackApiError):
        client(ws).auth_test()
    assert "unknown fault" in ask("/_sim/fault", {"kind": "nonsense"})["why"]
    assert ask("/_sim/limits", {"mode": "soft"})["ok"]
    assert "use one of" in ask("/_sim/limits", {"mode": "hard"})["why"]
    assert ask("/_sim/config", {"people": ["zoe"], "channels": {"inc-1": ["zoe", "bot"]}})["ok"]
    assert ws.as_("zoe").messages("inc-1") == []
    mark = {"event_type": "d", "event_payload": {}}
    client(ws).chat_postMessage(channel=channel_id("inc-1"), text="hello", metadata=mark)
    truth = {c["id"]: c for c in ask("/_sim/state")["channels"]}
    assert truth[channel_id("inc-1")]["messages"][0]["metadata"]["event_type"] == "d"
    methods = [c["method"] for c in ask("/_sim/log")["calls"]]
    assert methods == ["auth.test", "chat.postMessage"]
    assert ask("/_sim/ready") == {"ok": True, "connections": 0, "request_url": None}


def test_clock_speed_moves_peoples_time_but_not_the_apps_deadlines(ws: Workspace) -> None:
    """At sixty times speed a trigger still lives three real seconds."""
    clock = ws.clock
    now, steady = clock.now(), clock.steady()
    clock.set_speed(3600)
    urllib.request.urlopen(ws.url + "/_sim/ready", timeout=5).close()
    assert clock.now() - now > 3 * (clock.steady() - steady)
    clock.set_speed(1)
    clock.advance(minutes=15)
    assert clock.steady() - steady >= 900
