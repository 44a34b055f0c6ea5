"""The Slack app's manifest: what `mlops-bot manifest` prints and a workspace owner pastes.

Each scope stands with what it is needed for, so that a reviewer can say no to one and know what is lost.
"""

from __future__ import annotations

COMMAND = "/mlops"
DECLARE = "declare_incident"

SCOPES: dict[str, str] = {
    "app_mentions:read": "the grammar in threads, by mentioning the bot",
    "channels:history": "looking for a message whose sending got no answer, before sending it again",
    "channels:join": "joining the incident channel that the configuration names",
    "channels:read": "finding the channel by its name",
    "chat:write": "headlines, cards, pages",
    "commands": "the slash command and the shortcut",
    "files:read": "graphs, as Slack shows them",
    "files:write": "graphs",
    "groups:history": "the same in private channels",
    "groups:read": "the same in private channels",
    "im:history": "looking for a page whose sending got no answer, before sending it again",
    "im:write": "pages to people",
    "users:read": "doctor: do the people in the configuration exist",
}
EVENTS = ("app_home_opened", "app_mention")


def manifest(*, socket_mode: bool, public_url: str = "") -> dict[str, object]:
    """The manifest for Socket Mode, or for HTTP where `public_url` is the bot's address as Slack reaches it."""
    base = public_url.rstrip("/") or "https://mlops-bot.example.com"
    url: dict[str, object] = {} if socket_mode else {"url": f"{base}/slack/events"}
    request: dict[str, object] = {} if socket_mode else {"request_url": f"{base}/slack/events"}
    return {
        "display_information": {
            "name": "mlops-bot",
            "description": "Incident response for machine-learning systems",
            "background_color": "#1f2933",
        },
        "features": {
            "bot_user": {"display_name": "mlops-bot", "always_online": True},
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": True,
            },
            "slash_commands": [
                {
                    "command": COMMAND,
                    "description": "Look, steer and act on machine-learning incidents",
                    "usage_hint": "help | status | ack | rollback <model>",
                    "should_escape": True,
                    **url,
                }
            ],
            "shortcuts": [
                {
                    "name": "Declare incident",
                    "type": "message",
                    "callback_id": DECLARE,
                    "description": "Open an incident from this message",
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": sorted(SCOPES)}},
        "settings": {
            "event_subscriptions": {"bot_events": sorted(EVENTS), **request},
            "interactivity": {"is_enabled": True, **request},
            "org_deploy_enabled": False,
            "socket_mode_enabled": socket_mode,
            "token_rotation_enabled": False,
        },
    }
