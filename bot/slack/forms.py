"""Dialogs and small private messages. They hold nothing an SRE would edit, so they are code, not templates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bot.model import Severity

REJECT, GLASS, DECLARE = "reject_reason", "glass_reason", "declare_form"
Block = dict[str, Any]


def reject(value: str, origin: tuple[str, str]) -> Block:
    """Asks why a plan is rejected."""
    ask = _input("reason", "Why?", "The requester and everybody in the thread will read this.")
    return _modal(REJECT, "Reject the plan", "Reject", value, origin, [ask])


def glass(value: str, origin: tuple[str, str]) -> Block:
    """Asks why one person must do alone what needs two."""
    text = (
        "You asked for this change, and it needs a second person. Breaking the glass approves it alone: the people who "
        "could have approved are paged now, and one of them must review it afterwards."
    )
    ask = _input("reason", "Why can't it wait?", "At least ten characters.")
    return _modal(GLASS, "Break the glass", "Approve alone", value, origin, [_section(text), ask])


def declare(text: str, origin: tuple[str, str]) -> Block:
    """Asks what an incident is about."""
    options = [{"text": _plain(str(level)), "value": str(level)} for level in Severity]
    severity: Block = {
        "type": "input", "block_id": "severity", "label": _plain("How bad is it?"),
        "element": {"type": "static_select", "action_id": "value", "options": options, "initial_option": options[2]},
    }  # fmt: skip
    title = _input(
        "title", "What is wrong?", "Name the model or service if you can.", initial=text[:150], multiline=False
    )
    return _modal(DECLARE, "Declare an incident", "Declare", "", origin, [severity, title])


def offer_glass(text: str, value: str) -> list[Block]:
    """A refusal, with the way around it for the person on call."""
    button = {
        "type": "button", "action_id": "glass", "style": "danger", "value": value, "text": _plain("Break the glass…"),
    }  # fmt: skip
    return [_section(text), {"type": "actions", "elements": [button]}]


def home(sections: Sequence[tuple[str, Sequence[str]]]) -> Block:
    """The App Home: headings with lines below them."""
    blocks: list[Block] = []
    for title, lines in sections:
        blocks.append({"type": "header", "text": _plain(title[:150])})
        blocks += [_section(line[:3000]) for line in lines[:15]]
    return {"type": "home", "blocks": blocks[:100]}


def carried(view: dict[str, Any]) -> tuple[str, str, str]:
    """What a dialog carried along: the button's value, channel, thread. Empty strings for anything we did not write."""
    try:
        found = json.loads(view.get("private_metadata") or "{}")
        return str(found.get("value", "")), str(found.get("channel", "")), str(found.get("thread", ""))
    except (ValueError, AttributeError, RecursionError):
        return "", "", ""


def said(view: dict[str, Any], field: str) -> str:
    """What a person put into a field, "" for nothing."""
    element = ((view.get("state") or {}).get("values") or {}).get(field, {}).get("value", {})
    chosen = (element.get("selected_option") or {}).get("value")
    return str(chosen or element.get("value") or "").strip()


def _modal(callback: str, title: str, submit: str, value: str, origin: tuple[str, str], blocks: list[Block]) -> Block:
    carried_along = json.dumps({"value": value, "channel": origin[0], "thread": origin[1]})
    return {
        "type": "modal", "callback_id": callback, "title": _plain(title[:24]), "submit": _plain(submit[:24]),
        "close": _plain("Cancel"), "private_metadata": carried_along, "blocks": blocks,
    }  # fmt: skip


def _input(field: str, label: str, hint: str, *, initial: str = "", multiline: bool = True) -> Block:
    element: Block = {"type": "plain_text_input", "action_id": "value", "multiline": multiline, "max_length": 1000}
    if initial:
        element["initial_value"] = initial
    return {"type": "input", "block_id": field, "label": _plain(label), "hint": _plain(hint), "element": element}


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text}
