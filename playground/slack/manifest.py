"""What the app declared about itself: scopes, commands, shortcuts, events.

The workspace grants exactly this and nothing else, so a forgotten scope or command shows up here
first and not on the day of installation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DEFAULT_BOT_SCOPES = (
    "app_mentions:read", "bookmarks:read", "bookmarks:write", "channels:history", "channels:join",
    "channels:manage", "channels:read", "chat:write", "commands", "files:read", "files:write",
    "groups:history", "groups:read", "im:history", "im:read", "im:write", "pins:read", "pins:write",
    "reactions:read", "reactions:write", "team:read", "usergroups:read", "usergroups:write",
    "users:read", "users:read.email",
)  # fmt: skip

DEFAULT_MANIFEST: dict[str, Any] = {
    "display_information": {"name": "mlops"},
    "features": {
        "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True},
        "bot_user": {"display_name": "mlops", "always_online": True},
        "shortcuts": [
            {"name": "Declare incident", "type": "message", "callback_id": "declare_incident",
             "description": "Open an incident from this message"},
        ],
        "slash_commands": [
            {"command": "/mlops", "description": "Incidents and models", "usage_hint": "help",
             "should_escape": False},
        ],
    },
    "oauth_config": {"scopes": {"bot": list(DEFAULT_BOT_SCOPES)}},
    "settings": {
        "event_subscriptions": {"bot_events": ["app_home_opened", "app_mention", "message.im"]},
        "interactivity": {"is_enabled": True},
        "socket_mode_enabled": True,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One declared slash command."""

    command: str  # with its slash
    description: str
    usage_hint: str
    escapes: bool  # True: @name and #channel arrive as <@U…|name> and <#C…|name>


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """One declared shortcut."""

    name: str
    callback_id: str
    kind: str  # "message" or "global"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppManifest:
    """The parts of an app manifest that decide what the app may do."""

    name: str
    bot_name: str
    bot_scopes: frozenset[str]
    bot_events: frozenset[str]
    commands: dict[str, Command] = field(default_factory=dict)
    shortcuts: tuple[Shortcut, ...] = ()
    has_home: bool = False
    is_interactive: bool = False
    socket_mode: bool = False


def read_manifest(raw: dict[str, Any]) -> AppManifest:
    """Take Slack's manifest form (a dict); raise ValueError naming what is missing or too long."""
    name = _need(raw, "display_information", "name")
    if len(name) > 35:
        raise ValueError(f"manifest: display_information.name is {len(name)} long; at most 35")
    features = raw.get("features", {})
    settings = raw.get("settings", {})
    bot_user = features.get("bot_user") or {}
    return AppManifest(
        name=name,
        bot_name=bot_user.get("display_name") or name,
        bot_scopes=frozenset(raw.get("oauth_config", {}).get("scopes", {}).get("bot", ())),
        bot_events=frozenset(settings.get("event_subscriptions", {}).get("bot_events", ())),
        commands={c.command: c for c in map(_command, features.get("slash_commands", ()))},
        shortcuts=tuple(map(_shortcut, features.get("shortcuts", ()))),
        has_home=bool((features.get("app_home") or {}).get("home_tab_enabled")),
        is_interactive=bool((settings.get("interactivity") or {}).get("is_enabled")),
        socket_mode=bool(settings.get("socket_mode_enabled")),
    )


def _need(raw: dict[str, Any], *path: str) -> str:
    value: Any = raw
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise ValueError(f"manifest: {'.'.join(path)} is missing; Slack needs it to install the app")
    return value


def _command(raw: dict[str, Any]) -> Command:
    name = raw.get("command", "")
    if not name.startswith("/") or not 2 <= len(name) <= 32:
        raise ValueError(f"manifest: slash command {name!r} must start with / and be 2 to 32 long")
    description = raw.get("description") or ""
    if not 1 <= len(description) <= 2000:
        raise ValueError(f"manifest: slash command {name} needs a description of 1 to 2000")
    if len(raw.get("usage_hint") or "") > 1000:
        raise ValueError(f"manifest: usage_hint of {name} is longer than 1000")
    return Command(
        command=name,
        description=description,
        usage_hint=raw.get("usage_hint") or "",
        escapes=bool(raw.get("should_escape")),
    )


def _shortcut(raw: dict[str, Any]) -> Shortcut:
    if raw.get("type") not in ("message", "global"):
        raise ValueError(f"manifest: shortcut type {raw.get('type')!r}; use message or global")
    if len(raw.get("name") or "") > 24 or not raw.get("callback_id"):
        raise ValueError("manifest: a shortcut needs a name of at most 24 and a callback_id")
    return Shortcut(name=raw["name"], callback_id=raw["callback_id"], kind=raw["type"])
