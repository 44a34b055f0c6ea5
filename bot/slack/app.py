"""The way in from Slack: commands, mentions, clicks, dialogs. Real slack-bolt, over Socket Mode or HTTP.

Every request is acknowledged with a specific sentence within 100 ms: a quick answer is the acknowledgement itself; a
slower one is announced and follows. Redelivered requests are recognised by the id Slack gave them and do nothing.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from slack_bolt import App, BoltRequest
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError

from bot.desk import Asker, Desk, Reply
from bot.engine import key_of
from bot.model import Who
from bot.slack import forms
from bot.slack.client import web_client
from bot.slack.manifest import COMMAND, DECLARE
from bot.store import StoreDown
from handlers.interactions import OnDrift, OnIncident, OnPlan, parse_value

log = logging.getLogger("mlops.slack")

ANSWER_WITHIN_S = 0.07  # leaves room for the way back within the 100 ms that people notice
CLICK_WITHIN_S = 2.0  # Slack waits three seconds for a click's acknowledgement
_LISTENERS, _DESKS = 32, 16
_STORE_DOWN = "My database cannot be reached, so nothing was changed. Try again in a minute; the operators can see it."
_BROKEN = (
    "That failed inside the bot, and it is in the log as {code}. Nothing more is done; try again or ask the operators."
)
_MENTION = re.compile(r"^\s*(?:<@[A-Z0-9]+(?:\|[^>]*)?>\s*)+")


class SlackDoor:
    """Bolt's listeners, wired to the desk."""

    def __init__(self, desk: Desk, *, client: WebClient, signing_secret: str, team_id: str) -> None:
        self._desk = desk
        self._client = client
        self._team_id = team_id
        self._pool = ThreadPoolExecutor(max_workers=_DESKS, thread_name_prefix="desk")
        self._sockets: list[SocketModeHandler] = []
        self._connecting: SocketModeHandler | None = None
        self._is_signed = bool(signing_secret)
        self.app = App(
            # The client without its token, so that Bolt asks `authorize` instead of Slack before the first request.
            client=WebClient(base_url=client.base_url, timeout=client.timeout, retry_handlers=[]),
            authorize=lambda enterprise_id, team_id: AuthorizeResult(
                enterprise_id=enterprise_id, team_id=team_id, bot_token=client.token
            ),
            # Where none is set nobody may know the one that is used.
            signing_secret=signing_secret or secrets.token_hex(32),
            request_verification_enabled=True, logger=logging.getLogger("mlops.bolt"),
            # Bolt's five hands would all be waiting for a slow database, and the sixth request without an answer.
            listener_executor=ThreadPoolExecutor(max_workers=_LISTENERS, thread_name_prefix="bolt"),
        )  # fmt: skip
        self._listen()

    def handle_http(self, body: str, headers: Mapping[str, str]) -> tuple[int, dict[str, list[str]], str]:
        """One request of Slack's HTTP mode: status, headers, body. The signature is checked by Bolt."""
        if not self._is_signed or not _is_stamped(headers):
            return 401, {"content-type": ["text/plain"]}, "This request is not signed by Slack as it should be."
        answer = self.app.dispatch(BoltRequest(body=body, headers=dict(headers)))
        return answer.status, {name: list(values) for name, values in answer.headers.items()}, answer.body

    def connect(self, app_token: str, api_url: str, connections: int) -> None:
        """Open the Socket Mode connections that are not open yet. Raises what the SDK raises when Slack is down."""
        while len(self._sockets) < connections:
            # One that could not connect is used again: each has threads of its own, and an outage may be long.
            handler = self._connecting or SocketModeHandler(
                self.app, app_token, web_client=web_client(app_token, api_url)
            )
            self._connecting = handler
            handler.client.wss_uri = None  # an address is good for one try
            handler.connect()  # type: ignore[no-untyped-call]
            self._sockets.append(handler)
            self._connecting = None

    def disconnect(self) -> None:
        """Close the sockets; `connect` opens new ones. Side by side, because each takes its time."""
        handlers = [*self._sockets, *([self._connecting] if self._connecting else [])]
        self._sockets, self._connecting = [], None
        closing = [threading.Thread(target=handler.close, daemon=True) for handler in handlers]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(timeout=5)

    @property
    def connected(self) -> int:
        """How many sockets are connected."""
        return sum(handler.client.is_connected() for handler in self._sockets)

    def close(self) -> None:
        """Close the sockets for good; requests under way are finished."""
        self.disconnect()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _listen(self) -> None:
        app = self.app
        app.command(COMMAND)(self._on_command)
        app.event("app_mention")(self._on_mention)
        app.event("app_home_opened")(self._on_home)
        app.shortcut(DECLARE)(self._on_declare_shortcut)
        app.action("reject")(self._on_reject)
        app.action("glass")(self._on_glass)
        app.action(re.compile(r"^(?!reject$|glass$).+"))(self._on_click)
        app.view(forms.REJECT)(self._on_reject_reason)
        app.view(forms.GLASS)(self._on_glass_reason)
        app.view(forms.DECLARE)(self._on_declared)

    # listeners

    def _on_command(self, ack: Any, body: dict[str, Any], respond: Any) -> None:
        text = _typed(str(body.get("text") or ""))
        asker = self._asker(body, channel=str(body.get("channel_id") or ""))
        future = self._pool.submit(self._answer, lambda: self._say(text, asker))
        reply = _soon(future, ANSWER_WITHIN_S)
        if reply is None:
            ack(text=self._desk.at_once(text))
            reply = future.result()
            if reply.text:
                respond(text=reply.text, response_type="ephemeral", replace_original=False)
        elif reply.text:
            ack(text=reply.text)
        else:
            ack()
        self._and_later(
            reply, lambda more: respond(text=more, response_type="ephemeral", replace_original=False), asker
        )

    def _on_mention(self, event: dict[str, Any], body: dict[str, Any]) -> None:
        if event.get("bot_id"):
            return
        text = _typed(_MENTION.sub("", str(event.get("text") or "")))
        thread = str(event.get("thread_ts") or "")
        channel = str(event.get("channel") or "")
        # In a shared channel `body` names the team that we belong to; the person's own is in the event.
        team = str(event.get("user_team") or event.get("team") or body.get("team_id") or "")
        who = self._who(team, str(event.get("user") or ""))
        asker = Asker(who=who, channel=channel, thread_ts=thread, request=_request(body))
        reply = self._answer(lambda: self._say(text, asker))

        def tell(words: str) -> None:
            self._whisper(channel, who.user_id, words, thread)

        if reply.text:
            tell(reply.text)
        self._and_later(reply, tell, asker)

    def _on_home(self, event: dict[str, Any], body: dict[str, Any]) -> None:
        if event.get("tab") not in {None, "home"}:
            return
        who = self._who(str(body.get("team_id") or ""), str(event.get("user") or ""))
        self._client.views_publish(user_id=who.user_id, view=forms.home(self._desk.home(who)))

    def _on_click(self, ack: Any, body: dict[str, Any], respond: Any, action: dict[str, Any]) -> None:
        """Stored first, acknowledged after: a click that was acknowledged is never lost with the process."""
        asker = self._asker(body)
        future = self._pool.submit(self._answer, lambda: self._clicked(action, asker))
        reply = _soon(future, CLICK_WITHIN_S)
        ack()
        reply = future.result() if reply is None else reply
        if reply.text:
            blocks = forms.offer_glass(reply.text, reply.glass_for) if reply.glass_for else None
            respond(text=reply.text, blocks=blocks, response_type="ephemeral", replace_original=False, **_thread(body))
        self._and_later(
            reply,
            lambda more: respond(text=more, response_type="ephemeral", replace_original=False, **_thread(body)),
            asker,
        )

    def _clicked(self, action: dict[str, Any], asker: Asker) -> Reply:
        name = str(action.get("action_id") or "")
        value = str(action.get("value") or (action.get("selected_option") or {}).get("value") or "")
        if action.get("type") == "button" and action.get("url"):
            return Reply(text="")
        choice, _, rest = value.partition("|") if name == "more" else ("", "", value)
        target = parse_value(rest)
        match target:
            case OnPlan() if name == "approve":
                return self._desk.click_approve(target.plan_id, target.prefix, asker)
            case OnPlan() if name == "undo":
                return self._desk.click_undo(target.plan_id, asker)
            case OnIncident() if name == "ack":
                return self._desk.click_ack(target.incident_id, target.epoch, asker)
            case OnIncident() if name == "takeover":
                return self._desk.click_take_over(target.incident_id, asker)
            case OnIncident() if name == "escalate" or (name == "more" and choice == "escalate"):
                return self._desk.click_escalate(target.incident_id, target.epoch, asker)
            case OnIncident() if name == "still_on_it":
                return self._desk.click_still_on_it(target.incident_id, target.epoch, asker)
            case OnIncident() if name in {"unack", "unsubscribe"}:
                return self._say(f"{name} {target.incident_id}", asker)
            case OnIncident() if name == "resolve":
                return self._say(f"resolve {target.incident_id}", asker)
            case OnIncident() if name == "details":
                return self._say(f"incident {target.incident_id}", asker)
            case OnIncident() if name == "more":
                return self._desk.click_more(target.incident_id, choice, asker)
            case OnDrift() if name == "more" or name.startswith("drift:"):
                return self._desk.click_drift(target.report_id, choice or name.removeprefix("drift:"), asker)
            case OnIncident() if name.startswith("act:"):
                return self._desk.click_action(target.incident_id, name.removeprefix("act:"), asker)
        return Reply(text="This button is outdated; look at the current headline of the incident.", refused=True)

    def _on_reject(self, ack: Any, body: dict[str, Any], client: WebClient, action: dict[str, Any]) -> None:
        ack()
        self._open(client, body, forms.reject(str(action.get("value") or ""), _origin(body)))

    def _on_glass(self, ack: Any, body: dict[str, Any], client: WebClient, action: dict[str, Any]) -> None:
        ack()
        self._open(client, body, forms.glass(str(action.get("value") or ""), _origin(body)))

    def _on_reject_reason(self, ack: Any, body: dict[str, Any], view: dict[str, Any]) -> None:
        target = parse_value(forms.carried(view)[0])
        reason = forms.said(view, "reason")
        asker = self._asker(body)
        plan_id = target.plan_id if isinstance(target, OnPlan) else ""
        self._finish(ack, body, view, self._answer(lambda: self._desk.click_reject(plan_id, reason, asker)))

    def _on_glass_reason(self, ack: Any, body: dict[str, Any], view: dict[str, Any]) -> None:
        target = parse_value(forms.carried(view)[0])
        reason = forms.said(view, "reason")
        asker = self._asker(body)
        if not isinstance(target, OnPlan):
            self._finish(ack, body, view, Reply(text="This plan is gone; ask again.", refused=True))
            return
        reply = self._answer(
            lambda: self._desk.click_approve(target.plan_id, target.prefix, asker, break_glass=reason or " ")
        )
        self._finish(ack, body, view, reply)

    def _on_declare_shortcut(self, ack: Any, body: dict[str, Any], client: WebClient) -> None:
        ack()
        text = _typed(str((body.get("message") or {}).get("text") or ""))
        self._open(client, body, forms.declare(text, _origin(body)))

    def _on_declared(self, ack: Any, body: dict[str, Any], view: dict[str, Any]) -> None:
        asker = self._asker(body)
        level, title = forms.said(view, "severity"), forms.said(view, "title")
        self._finish(ack, body, view, self._answer(lambda: self._desk.declare(level, title, asker)), field="title")

    # answering

    def _open(self, client: WebClient, body: dict[str, Any], view: dict[str, Any]) -> None:
        """Open a dialog; when Slack will not, say so, because to the person nothing happened."""
        try:
            client.views_open(trigger_id=str(body.get("trigger_id") or ""), view=view)
        except (SlackClientError, OSError) as problem:
            log.warning("a dialog could not be opened: %s", type(problem).__name__, extra={"action": "no_dialog"})
            channel, thread = _origin(body)
            user = str((body.get("user") or {}).get("id") or "")
            self._whisper(channel, user, "Slack did not open the dialog, and nothing was done. Click again.", thread)

    def _whisper(self, channel: str, user: str, words: str, thread: str) -> None:
        """Tell one person; a channel that we cannot write to costs the words only."""
        if not channel or not user or not words:
            return
        try:
            self._client.chat_postEphemeral(channel=channel, user=user, text=words, thread_ts=thread or None)
        except (SlackClientError, OSError) as problem:
            log.warning("an answer could not be shown: %s", type(problem).__name__, extra={"action": "not_told"})

    def _finish(
        self, ack: Any, body: dict[str, Any], view: dict[str, Any], reply: Reply, field: str = "reason"
    ) -> None:
        """A refusal stays in the dialog; anything else closes it and is told where the person came from."""
        if reply.refused:
            ack(response_action="errors", errors={field: reply.text[:150]})
            return
        ack()
        _, channel, thread = forms.carried(view)
        user = str((body.get("user") or {}).get("id") or "")
        self._whisper(channel, user, reply.text, thread)

    def _say(self, text: str, asker: Asker) -> Reply:
        """Answer a command. People of other workspaces in a shared channel may not even look."""
        if self._team_id and asker.who.team_id != self._team_id and self._desk.policy.person(asker.who) is None:
            return Reply(text="I answer people of my own workspace only.", refused=True)
        return self._desk.say(text, asker)

    def _answer(self, work: Callable[[], Reply]) -> Reply:
        try:
            return work()
        except StoreDown:
            log.warning("a request could not be stored", extra={"action": "store_down"})
            return Reply(text=_STORE_DOWN, refused=True)
        except Exception as problem:
            code = key_of(type(problem).__name__, str(problem))[:8]
            log.exception("a request failed, code %s", code, extra={"action": "request_failed", "code": code})
            return Reply(text=_BROKEN.format(code=code), refused=True)

    def _and_later(self, reply: Reply, tell: Callable[[str], object], asker: Asker) -> None:
        if reply.later is None:
            return
        more = self._answer(reply.later)
        tell(more.text)
        if more.picture and not self._show(more, asker):
            tell("The picture could not be shown here; invite me to the channel and ask again.")

    def _show(self, reply: Reply, asker: Asker) -> bool:
        """Put the picture of an answer where it was asked for. Files cannot be shown to one person only."""
        if not asker.channel:
            return False
        try:
            self._client.files_upload_v2(
                file=reply.picture, filename="answer.png", channel=asker.channel, thread_ts=asker.thread_ts or None,
                title=reply.picture_alt[:100] or "picture", alt_txt=reply.picture_alt[:1000],
            )  # fmt: skip
        except (SlackClientError, OSError) as problem:
            log.warning("a picture could not be shown: %s", type(problem).__name__, extra={"action": "no_picture"})
            return False
        return True

    def _asker(self, body: dict[str, Any], channel: str = "") -> Asker:
        # A click's `team` is where it happened; the person's own team is with the person.
        found = body.get("user")
        person: dict[str, Any] = found if isinstance(found, dict) else {}
        team = str(body.get("team_id") or person.get("team_id") or (body.get("team") or {}).get("id") or "")
        user = str(body.get("user_id") or person.get("id") or "")
        origin_channel, thread = _origin(body)
        who = self._who(team, user)
        return Asker(who=who, channel=channel or origin_channel, thread_ts=thread, request=_request(body))

    def _who(self, team: str, user: str) -> Who:
        """The identity, with the configuration's name for it. Names in payloads are not trusted."""
        who = Who(team_id=team, user_id=user)
        person = self._desk.policy.person(who)
        return person.who if person else Who(team_id=team, user_id=user, name=user)


def _request(body: dict[str, Any]) -> str:
    """Slack's id of the request, the same however often it is delivered; "" when there is none."""
    return str(body.get("event_id") or body.get("trigger_id") or "")


def _is_stamped(headers: Mapping[str, str]) -> bool:
    """Whether time and signature have the form they must have; the SDK takes that for granted."""
    given = {name.lower(): value for name, value in headers.items()}
    stamp = given.get("x-slack-request-timestamp", "")
    return stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 and given.get("x-slack-signature", "").isascii()


def _typed(text: str) -> str:
    """What the person typed: Slack sends `&`, `<` and `>` escaped, and we escape again where we show it."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _soon(future: Future[Reply], within_s: float) -> Reply | None:
    try:
        return future.result(timeout=within_s)
    except FutureTimeoutError:
        return None


def _origin(body: dict[str, Any]) -> tuple[str, str]:
    """Channel and thread a click came from; a click on a thread's root counts as in the thread."""
    container = body.get("container") or {}
    message = body.get("message") or {}
    channel = str((body.get("channel") or {}).get("id") or container.get("channel_id") or "")
    return channel, str(message.get("thread_ts") or container.get("thread_ts") or message.get("ts") or "")


def _thread(body: dict[str, Any]) -> dict[str, str]:
    """An answer to a click inside a thread belongs into that thread."""
    message = body.get("message") or {}
    thread = str(message.get("thread_ts") or "")
    return {"thread_ts": thread} if thread and thread != message.get("ts") else {}
