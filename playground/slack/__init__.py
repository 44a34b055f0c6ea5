"""A local workspace that behaves like Slack towards an app, and a scripted human inside it."""

from playground.slack.human import Human, NotOnScreen
from playground.slack.sight import Outcome, Seen
from playground.slack.state import channel_id, dm_id, user_id
from playground.slack.workspace import Workspace

__all__ = [
    "Human", "NotOnScreen", "Outcome", "Seen", "Workspace", "channel_id", "dm_id", "user_id",
]  # fmt: skip
