"""What the rest of the bot needs of Slack to deliver, and how a call to it can fail."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Protocol

from bot.render import Message


class SlackProblem(Exception):
    """A call to Slack that did not succeed.

    `kind`: limited (wait `retry_after_s`), no_answer (it may have happened), temporary (it did not happen), gone (the
    message or channel is not there), refused (it never will). `code` is Slack's own word.
    """

    def __init__(self, kind: str, code: str, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{kind}: {code}")
        self.kind = kind
        self.code = code
        self.retry_after_s = retry_after_s


class Chat(Protocol):
    """What is needed of Slack for delivery. Every method raises SlackProblem."""

    def post(
        self, channel: str, message: Message, *, thread_ts: str, delivery_id: str, latest_s: float
    ) -> tuple[str, str]:
        """Post once; returns (channel id, ts). Nothing is sent after that moment of the steady clock."""

    def update(self, channel: str, ts: str, message: Message) -> None:
        """Replace a message."""

    def find(self, channel: str, *, thread_ts: str, delivery_id: str, since: datetime) -> str:
        """The ts of the message with this delivery id, "" when it is not there."""

    def resolve(self, channel: str) -> str:
        """The id of a channel given by name ("#ml-oncall"); ids come back as they are."""

    def direct(self, user_id: str) -> str:
        """The channel id of the direct conversation with a person."""

    def upload(self, file: Path | bytes, title: str, alt: str, *, name: str = "") -> str:
        """Upload a picture, not shared yet; returns its file id. `name`: what it is called, for bytes."""

    def share(self, body: bytes, *, name: str, title: str, channel: str, thread_ts: str) -> None:
        """Upload a file and post it there."""

    def find_file(self, channel: str, *, thread_ts: str, name: str) -> str:
        """The ts of our message with a file of that name in a thread, "" when it is not there."""
