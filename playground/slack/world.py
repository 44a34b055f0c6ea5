"""One running workspace: its state and the parts that act on it.

`World` is what every handler receives. It lives on the server's event loop; only the clock, the
log and the lint list are read from other threads.
"""

from __future__ import annotations

import copy
import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playground.slack import state as st
from playground.slack.clock import Clock
from playground.slack.faults import Faults
from playground.slack.limits import Limits
from playground.slack.manifest import AppManifest

if TYPE_CHECKING:
    from playground.slack.delivery import Delivery

Json = dict[str, Any]

TRIGGER_LIFE_S = 3.0
RESPONSE_URL_LIFE_S = 30 * 60
RESPONSE_URL_USES = 5
# Reading and filling generated ids must not repeat between two blocks of one message.
_COUNTER = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The three secrets an installed app holds."""

    bot_token: str
    app_token: str
    signing_secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One Web API call as the server saw it."""

    method: str
    args: Json  # without the token
    at: float  # workspace time, seconds since 1970
    ok: bool
    verdict: str  # "ok" or the error word
    status: int  # HTTP status; 0 when the connection was cut
    answer: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Lint:
    """Something Slack lets pass and a careful app avoids."""

    rule: str
    where: str
    detail: str


@dataclass(slots=True)
class World:
    """The workspace and its machinery."""

    manifest: AppManifest
    credentials: Credentials
    clock: Clock
    state: st.State
    limits: Limits
    faults: Faults
    base_url: str = ""
    log: list[Call] = field(default_factory=list)
    lint: list[Lint] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    guide: list[Json] | None = None  # the page's "How to play": [{text, done or when, go?}]
    verbs: dict[str, list[Json]] = field(default_factory=dict)  # command → [{usage, about}], for completion
    token_revoked: bool = False
    latency_s: float = 0.0  # how long every call takes; a tenth of a second and more in the real one
    revision: int = 0
    listeners: list[Callable[[Json], None]] = field(default_factory=list)
    _delivery: Delivery | None = None
    _last_ts: float = 0.0

    @property
    def delivery(self) -> Delivery:
        """The way events reach the app."""
        if self._delivery is None:
            raise RuntimeError("the workspace is not started")
        return self._delivery

    def attach(self, delivery: Delivery) -> None:
        """Connect the event side; called once by the server."""
        self._delivery = delivery

    # -- identifiers and time -------------------------------------------------
    def new_ts(self) -> str:
        """A message stamp, unique and rising."""
        self._last_ts = max(self.clock.now(), self._last_ts + 0.000002)
        return f"{self._last_ts:.6f}"

    def new_id(self, letter: str) -> str:
        """A fresh identifier such as V0… or F0…."""
        return f"{letter}{next(_COUNTER):05d}{secrets.token_hex(3).upper()}"

    def new_trigger(self, user: str, *, in_view: str | None = None) -> str:
        """A trigger for one modal, valid three seconds."""
        key = f"{next(_COUNTER)}.{int(self.clock.now())}.{secrets.token_hex(16)}"
        self.state.triggers[key] = st.Trigger(id=key, user=user, born_steady=self.clock.steady(), in_view=in_view)
        return key

    def new_response_url(self, user: str, channel: str, message: st.Message | None = None) -> str:
        """An address for answering one interaction."""
        key = f"{st.TEAM_ID}/{next(_COUNTER)}/{secrets.token_urlsafe(18)}"
        self.state.responses[key] = st.ResponseUrl(
            key=key, user=user, channel=channel, born=self.clock.now(),
            message_ts=message.ts if message else None,
            is_ephemeral=bool(message and message.visible_to),
            thread_ts=message.thread_ts if message else None,
        )  # fmt: skip
        return f"{self.base_url}/response/{key}"

    # -- change ---------------------------------------------------------------
    def changed(self, what: str, **detail: Any) -> None:
        """Tell every open page that something is different."""
        self.revision += 1
        note = {"rev": self.revision, "what": what, **detail}
        for listener in tuple(self.listeners):
            listener(note)

    def note_lint(self, rule: str, where: str, detail: str) -> None:
        """Remember a weakness of the app."""
        self.lint.append(Lint(rule=rule, where=where, detail=detail))
        self.changed("lint")

    def fail(self, why: str) -> None:
        """Remember something that must fail the test that caused it."""
        self.failures.append(why)

    # -- lookups --------------------------------------------------------------
    def user(self, user: str) -> st.User:
        """The user with this id; KeyError when there is none."""
        return self.state.users[user]

    def dm(self, user: str) -> st.Channel:
        """The direct message channel between this user and the app, made when first needed."""
        key = st.dm_id(user)
        if key not in self.state.channels:
            self.state.channels[key] = st.Channel(
                id=key, name=user, kind="im", created=int(self.clock.now()), creator=user,
                members=[user, st.BOT_USER_ID],
            )  # fmt: skip
        return self.state.channels[key]

    def fill_blocks(self, blocks: list[Json]) -> list[Json]:
        """A copy with the ids and flags that Slack adds to accepted blocks."""
        filled = copy.deepcopy(blocks)
        for block in filled:
            block.setdefault("block_id", secrets.token_urlsafe(4)[:5])
            _fill_elements(block)
        return filled


_INTERACTIVE = ("button", "overflow", "checkboxes", "radio_buttons", "datepicker", "timepicker")


def _fill_elements(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _fill_elements(item)
        return
    if not isinstance(node, dict):
        return
    kind = node.get("type", "")
    if kind == "plain_text":
        node.setdefault("emoji", True)
    elif kind == "mrkdwn":
        node.setdefault("verbatim", False)
    elif kind in _INTERACTIVE or str(kind).endswith(("_select", "_input", "timepicker")):
        node.setdefault("action_id", secrets.token_urlsafe(4)[:5])
    for name, value in node.items():
        if name != "option_groups" and isinstance(value, dict | list):
            _fill_elements(value)
