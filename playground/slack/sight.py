"""Reading a person's screen: messages as they appear, and the whole screen as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from playground.slack import rendering as rd

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one act."""

    outcome: str  # acked, timeout, lost, none, http_<status>, local (the app was not told), denied
    took_ms: float = 0.0
    answer: Json | None = None
    dialog: str = ""  # words of the confirm dialog that was answered

    @property
    def is_acked(self) -> bool:
        """True when the app acknowledged in time."""
        return self.outcome == "acked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A message on the screen."""

    text: str
    channel: str  # channel id
    ts: str
    thread_ts: str | None
    sender: str
    is_ephemeral: bool
    controls: tuple[rd.Control, ...]
    raw: Json

    @property
    def buttons(self) -> list[str]:
        """Labels of its buttons."""
        return [c.label for c in self.controls if c.kind == "button"]


def flat(text: str) -> str:
    """Compare without case, emoji codes and differences in white space."""
    plain = re.sub(r":[a-z0-9_+-]+:", " ", text)
    return " ".join(plain.split()).casefold()


def matches(m: Seen, within: str | Seen | None) -> bool:
    if within is None:
        return True
    if isinstance(within, Seen):
        return (m.channel, m.ts) == (within.channel, within.ts)
    return within == m.ts or flat(within) in flat(m.text)


def seen(m: Json, names: rd.Names) -> Seen:
    blocks = list(m.get("blocks") or [])
    for attachment in m.get("attachments") or []:
        blocks += attachment.get("blocks") or []
    return Seen(
        text=rd.message_text(m, names), channel=m["channel"], ts=m["ts"],
        thread_ts=m.get("thread_ts"), sender=m["sender"], is_ephemeral=m["is_ephemeral"],
        controls=tuple(rd.controls(blocks, names)), raw=m,
    )  # fmt: skip


def open_views(screen: Json) -> dict[str, str]:
    """The words of the top modal and of the Home tab, as far as they are open."""
    names = rd.Names.of(screen)
    found: dict[str, str] = {}
    if screen["modals"]:
        found["modal"] = rd.view_text(screen["modals"][-1], names)
    if screen["home_open"] and screen["home"]:
        found["home"] = rd.view_text(screen["home"], names)
    return found


def picture(screen: Json) -> str:
    """The screen as text, one frame a channel, newest messages last."""
    names = rd.Names.of(screen)
    lines = [f"=== screen of {screen['me']['name']} ==="]
    for channel in screen["channels"]:
        if not channel["is_member"] or not channel["messages"]:
            continue
        mark = "@" if channel["kind"] == "im" else "#"
        lines.append(f"--- {mark}{channel['name']}")
        for m in channel["messages"][-12:]:
            indent = "    " if m["is_reply"] else "  "
            only = " (only visible to you)" if m["is_ephemeral"] else ""
            lines.append(f"{indent}{m['sender']}{only}:")
            lines += [f"{indent}  {n}" for n in rd.message_text(m, names).splitlines()]
            lines += [f"{indent}  [file: {screen['files'].get(f, {}).get('name', f)}]"
                      for f in m["files"]]  # fmt: skip
    for title, text in open_views(screen).items():
        lines += [f"--- {title}", *(f"  {n}" for n in text.splitlines())]
    return "\n".join(lines)
