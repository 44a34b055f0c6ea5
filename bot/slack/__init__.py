"""Everything that speaks to Slack, and nothing else does."""

from bot.slack.app import SlackDoor
from bot.slack.client import SlackChat
from bot.slack.manifest import manifest

__all__ = ["SlackChat", "SlackDoor", "manifest"]
