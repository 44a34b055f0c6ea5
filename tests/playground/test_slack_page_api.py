"""The page's API keeps the contract in UI_API.md."""

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slack_sdk import WebClient

import playground.slack
from playground.slack import Workspace, channel_id, user_id
from playground.slack.acts import ACTS
from playground.slack.faults import API_FAULTS, DELIVERY_FAULTS

CONTRACT = (Path(playground.slack.__file__).parent / "UI_API.md").read_text()
OPS = channel_id("ops")


@pytest.fixture
def ws() -> Iterator[Workspace]:
    with Workspace(people=["alice", "bob"], channels=["ops"], limits="off") as workspace:
        yield workspace


def ask(ws: Workspace, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(ws.url + path, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_every_member_and_act_is_in_the_contract(ws: Workspace) -> None:
    """A page author can work from the contract alone: nothing in the answers is missing there."""
    WebClient(ws.bot_token, base_url=ws.api_url).chat_postMessage(channel=OPS, text="x")
    _, state = ask(ws, "/ui/state?as=alice")
    words = set(re.findall(r"\w+", CONTRACT))
    missing = [k for k in state if not re.search(rf"`{k}(\[\])?`", CONTRACT)]
    missing += [k for k in (*state["channels"][0], *state["channels"][0]["messages"][0]) if k not in words]
    missing += [a for a in ACTS if f"`{a}`" not in CONTRACT]
    missing += [f for f in (*API_FAULTS, *DELIVERY_FAULTS) if f not in words]
    assert set(missing) <= {"type", "team", "app_id"}  # plain members of Slack's own message object


def test_state_is_cheap_when_nothing_changed_and_refuses_strangers(ws: Workspace) -> None:
    _, state = ask(ws, "/ui/state?as=alice")
    assert ask(ws, f"/ui/state?as=alice&since={state['rev']}")[1] == {"rev": state["rev"], "unchanged": True}
    status, answer = ask(ws, "/ui/state?as=mallory")
    assert (status, answer["why"]) == (404, "nobody is called 'mallory'; there are alice, bob")
    assert ask(ws, "/ui/do", {"as": "alice", "act": "dance"})[0] == 409
    assert ask(ws, "/ui/do", {"as": "mlops", "act": "send", "channel": OPS, "text": "x"})[0] == 409


def test_another_web_page_cannot_act(ws: Workspace) -> None:
    """A page from elsewhere that posts to the loopback address is refused."""
    body = {"as": "alice", "act": "send", "channel": OPS, "text": "forged"}
    assert ask(ws, "/ui/do", body, Origin="https://evil.example")[0] == 403
    assert ask(ws, "/_sim/clock", {"advance_s": 1}, Origin="https://evil.example")[0] == 403
    ws.as_("alice").does_not_see("forged")
    assert ask(ws, "/ui/do", body, Origin=ws.url)[0] == 200


def test_the_stream_tells_of_each_change(ws: Workspace) -> None:
    """Server-sent events: hello first, then one note per change with a rising revision."""
    line = http.client.HTTPConnection("127.0.0.1", ws.port, timeout=5)
    line.request("GET", "/ui/stream")
    answer = line.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"

    def note() -> dict[str, Any]:
        while not (text := answer.readline()).startswith(b"data: "):
            pass
        return dict(json.loads(text[6:]))

    assert note()["what"] == "hello"
    ws.as_("alice").says("hi", channel="ops")
    told = note()
    assert (told["what"], told["channel"]) == ("message", OPS)
    client = WebClient(ws.bot_token, base_url=ws.api_url)
    client.views_publish(user_id=user_id("alice"), view={"type": "home", "blocks": [{"type": "divider"}]})
    found = [told, note()]
    while found[-1]["what"] != "home":
        found.append(note())
    assert [n["rev"] for n in found] == sorted({n["rev"] for n in found})
    answer.close()
    line.close()


def test_clicks_ask_for_the_confirm_dialog_first(ws: Workspace) -> None:
    texts = {k: {"type": "plain_text", "text": k} for k in ("title", "text", "confirm", "deny")}
    button = {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "Go"}, "confirm": texts}
    client = WebClient(ws.bot_token, base_url=ws.api_url)
    sent = client.chat_postMessage(
        channel=OPS, text="x", blocks=[{"type": "actions", "block_id": "b", "elements": [button]}]
    )
    body = {"as": "alice", "act": "use", "channel": OPS, "ts": sent["ts"], "block_id": "b", "action_id": "a"}
    status, answer = ask(ws, "/ui/do", body)
    assert status == 409
    assert answer["confirm"]["title"]["text"] == "title"
    assert ask(ws, "/ui/do", {**body, "confirmed": False})[1] == {"ok": True, "outcome": "local"}
    status, answer = ask(ws, "/ui/do", {**body, "confirmed": True})
    assert (status, answer["ok"], answer["outcome"]) == (200, False, "none")
    assert ask(ws, "/ui/envelopes?limit=1")[1]["envelopes"][0]["payload"]["actions"][0]["action_id"] == "a"


def test_files_come_sandboxed_and_only_to_members(ws: Workspace) -> None:
    """An uploaded HTML report must not run with the rights of the page."""
    client = WebClient(ws.bot_token, base_url=ws.api_url)
    client.conversations_create(name="inc-1")
    client.conversations_invite(channel=channel_id("inc-1"), users=user_id("bob"))
    done = client.files_upload_v2(channel=channel_id("inc-1"), content="<script>1</script>", filename="r.html")
    url = f"{ws.url}/ui/file/{done['file']['id']}"
    with urllib.request.urlopen(f"{url}?as=bob", timeout=5) as answer:
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.read() == b"<script>1</script>"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}?as=alice", timeout=5)
    assert caught.value.code == 404
    caught.value.close()
    private = done["file"]["url_private"]
    request = urllib.request.Request(private, headers={"Authorization": f"Bearer {ws.bot_token}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.read() == b"<script>1</script>"
