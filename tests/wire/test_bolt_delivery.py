"""What happens when the app answers late, twice or not at all, and when its line breaks."""

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from slack_bolt import App, BoltRequest
from slack_sdk import WebClient
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from playground.slack import Workspace
from playground.slack.http_mode import sign

from .conftest import make_app, on_http, on_socket
from .waiting import until

MENTION = "@mlops hello"


def hearing(app: App) -> list[dict[str, Any]]:
    """Record every mention with its retry headers."""
    heard: list[dict[str, Any]] = []

    @app.event("app_mention")
    def mention(event: Any, req: Any) -> None:
        heard.append({"text": event["text"], **{k: v[0] for k, v in req.headers.items() if "retry" in k}})

    return heard


def test_each_envelope_goes_to_exactly_one_of_two_sockets() -> None:
    """A broadcast would run every command twice as soon as a second connection is open."""
    with Workspace(limits="off") as ws:
        apps = [make_app(ws), make_app(ws)]
        counts: Counter[str] = Counter()

        def count(name: str) -> Any:
            def command(ack: Any, body: Any) -> None:
                ack()
                counts.update([body["text"], name])

            return command

        for number, app in enumerate(apps):
            app.command("/mlops")(count(f"app {number}"))
        with on_socket(ws, apps[0]), on_socket(ws, apps[1]):
            assert ws.connections == 2
            alice = ws.as_("alice")
            for n in range(20):
                assert alice.types(f"/mlops status {n}").is_acked
        assert [counts[f"status {n}"] for n in range(20)] == [1] * 20
        assert counts["app 0"] > 0
        assert counts["app 1"] > 0


def test_a_missed_acknowledgement_is_delivered_again_over_the_socket() -> None:
    """At once, after a minute, after five; each time with its number and reason; then never again."""
    with Workspace() as ws:
        app = make_app(ws)
        heard = hearing(app)
        ws.fault("slow_ack", "events_api", times=-1, seconds=9_000)
        with on_socket(ws, app):
            ws.as_("alice").types(MENTION, channel="ml-oncall", wait=False)
            for number, step_s in enumerate((0, 3.1, 63.1, 303.1)):
                ws.clock.advance(seconds=step_s)
                until(lambda number=number: len(heard) == number + 1)
            assert [h.get("x-slack-retry-num") for h in heard] == ["0", "1", "2", "3"]
            assert {h["x-slack-retry-reason"] for h in heard[1:]} == {"timeout"}
            ws.clock.advance(hours=1)
            until(ws.envelopes[-1].done.done)
            assert len(heard) == 4
            assert [a.outcome for a in ws.envelopes[-1].attempts] == ["timeout"] * 4


def test_http_mode_tries_events_again_and_commands_never() -> None:
    """A command that timed out shows the person `operation_timeout`; an event comes again with headers."""
    with Workspace() as ws:
        app = make_app(ws)
        heard = hearing(app)
        commands: list[str] = []

        @app.command("/mlops")
        def command(ack: Any, body: Any) -> None:
            commands.append(body["text"])
            ack()

        with on_http(ws, app):
            alice = ws.as_("alice")
            ws.fault("slow_ack", times=2, seconds=9_000)
            alice.types(MENTION, channel="ml-oncall", wait=False)
            until(lambda: len(heard) == 1)
            ws.clock.advance(seconds=3.1)
            until(lambda: len(heard) == 2)
            assert heard[1] == {
                "text": heard[0]["text"],
                "x-slack-retry-num": "1",
                "x-slack-retry-reason": "http_timeout",
            }
            ws.clock.advance(seconds=3.1)
            ws.heal()
            ws.fault("slow_ack", "slash_commands", seconds=9_000)
            alice.types("/mlops status", wait=False)
            until(lambda: commands)
            ws.clock.advance(seconds=3.1)
            assert alice.sees('failed with the error "operation_timeout"').is_ephemeral
            ws.clock.advance(hours=1)
            assert commands == ["status"]


def test_no_retry_header_stops_further_tries() -> None:
    """An app that answers 500 with x-slack-no-retry gets the event once."""
    calls: list[str | None] = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            calls.append(self.headers.get("X-Slack-Retry-Num"))
            self.send_response(500)
            if len(calls) == 2:
                self.send_header("x-slack-no-retry", "1")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    try:
        with Workspace(request_url=f"http://127.0.0.1:{server.server_address[1]}/") as ws:
            ws.as_("alice").types(MENTION, channel="ml-oncall")
            until(ws.envelopes[-1].done.done)
            ws.clock.advance(hours=1)
            assert calls == [None, "1"]
            assert [a.outcome for a in ws.envelopes[-1].attempts] == ["http_500", "http_500"]
    finally:
        server.shutdown()
        server.server_close()


def test_requests_are_signed_and_bolt_checks_them() -> None:
    """A wrong secret, a changed body or an old stamp is refused by Bolt's own verification."""
    with Workspace() as ws:
        app = make_app(ws)

        @app.command("/mlops")
        def command(ack: Any) -> None:
            ack("fine")

        with on_http(ws, app):
            assert ws.as_("alice").types("/mlops help").answer == {"text": "fine"}
        envelope = ws.envelopes[-1]
        body = "&".join(f"{k}={v}" for k, v in envelope.payload.items())
        now = int(time.time())

        def status(secret: str, stamp: int, sent: str) -> int:
            headers = {
                "x-slack-request-timestamp": str(stamp),
                "x-slack-signature": sign(secret, stamp, body.encode()),
                "content-type": "application/x-www-form-urlencoded",
            }
            return int(app.dispatch(BoltRequest(body=sent, headers=headers)).status)

        assert status(ws.signing_secret, now, body) == 200
        assert status("somebody-elses-secret", now, body) == 401
        assert status(ws.signing_secret, now, body + "&text=rollback") == 401
        assert status(ws.signing_secret, now - 600, body) == 401


def test_app_comes_back_after_a_refresh() -> None:
    """Slack asks sockets to go now and then: the SDK opens a new one and commands go on."""
    with Workspace(limits="off") as ws:
        app = make_app(ws)
        app.command("/mlops")(lambda ack: ack("here"))
        with on_socket(ws, app):
            assert ws.disconnect("refresh_requested") == 1
            alice = ws.as_("alice")
            until(lambda: alice.types("/mlops help").is_acked, within=15)
        assert len(ws.calls("apps.connections.open", ok=True)) == 2


def test_a_broken_line_costs_nothing_when_there_is_a_second_one() -> None:
    """The envelope that was on its way comes again over the other socket, marked as a repetition."""
    with Workspace(limits="off") as ws:
        apps = [make_app(ws), make_app(ws)]
        heard: list[str] = []
        for app in apps:
            app.command("/mlops")(lambda ack, body: (ack("here"), heard.append(body["text"])))
        with on_socket(ws, apps[0]), on_socket(ws, apps[1]):
            ws.fault("drop_socket", "slash_commands")
            assert ws.as_("alice").types("/mlops help").is_acked
            assert [a.outcome for a in ws.envelopes[-1].attempts] == ["lost", "acked"]
            assert ws.envelopes[-1].attempts[0].to != ws.envelopes[-1].attempts[1].to
        assert heard == ["help"]


def test_nobody_connected_is_told_to_the_person_at_once() -> None:
    """Without any socket the command fails visibly instead of waiting."""
    with Workspace() as ws:
        alice = ws.as_("alice")
        assert alice.types("/mlops help", channel="ml-oncall").outcome == "none"
        alice.sees('/mlops failed with the error "dispatch_failed"')


def test_duplicate_and_reordered_delivery() -> None:
    """The app sees the same command twice with one trigger, and two mentions in the wrong order."""
    with Workspace(limits="off") as ws:
        app = make_app(ws)
        triggers: list[str] = []

        @app.command("/mlops")
        def command(ack: Any, body: Any) -> None:
            ack()
            triggers.append(body["trigger_id"])

        heard = hearing(app)
        with on_socket(ws, app):
            alice = ws.as_("alice").looks_at("ml-oncall")
            ws.fault("duplicate", "slash_commands")
            alice.types("/mlops ack")
            until(lambda: len(triggers) == 2)
            assert triggers[0] == triggers[1]
            ws.fault("reorder", "events_api")
            alice.types("@mlops first", wait=False)
            alice.types("@mlops second", wait=False)
            until(lambda: len(heard) == 2)
            assert [h["text"].split()[-1] for h in heard] == ["second", "first"]


def test_rate_limit_handler_waits_as_long_as_told() -> None:
    """The second message within a second gets 429 and Retry-After; the SDK's handler then succeeds."""
    with Workspace(limits="real") as ws:
        client = WebClient(ws.bot_token, base_url=ws.api_url)
        client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=1))
        client.chat_postMessage(channel="#ml-oncall", text="one")
        client.chat_postMessage(channel="#ml-oncall", text="two")
        verdicts = [(c.verdict, c.status) for c in ws.calls("chat.postMessage")]
        assert verdicts == [("ok", 200), ("ratelimited", 429), ("ok", 200)]
        first, _, third = ws.calls("chat.postMessage")
        assert third.at - first.at >= 0.9


@pytest.mark.parametrize(("kind", "is_posted"), [("reset_before", False), ("reset_after", True)])
def test_cut_connection_and_blind_retry(kind: str, *, is_posted: bool) -> None:
    """The SDK repeats a call whose connection was cut: after the effect this doubles the message."""
    with Workspace(limits="off") as ws:
        ws.fault(kind, "chat.postMessage")
        client = WebClient(ws.bot_token, base_url=ws.api_url)
        client.chat_postMessage(channel="#ml-oncall", text="page alice")
        posted = [m for m in ws.as_("alice").messages("ml-oncall") if m.text == "page alice"]
        assert len(posted) == (2 if is_posted else 1)
        careful = WebClient(ws.bot_token, base_url=ws.api_url, retry_handlers=[])
        ws.fault(kind, "chat.postMessage")
        with pytest.raises((ConnectionError, OSError)):
            careful.chat_postMessage(channel="#ml-oncall", text="page bob")
        found = [m for m in ws.as_("alice").messages("ml-oncall") if m.text == "page bob"]
        assert len(found) == (1 if is_posted else 0)
