"""A person using the workspace, for tests and for the scripted demo.

    alice = workspace.as_("alice")
    alice.types("/mlops rollback intent_classifier", channel="#ml-oncall")
    bob.clicks("Approve", confirm=True)
    bob.sees("verified", within=20)

Everything goes through the page's own API, so a person sees their own channels, their own ephemeral
messages and nothing more. What cannot be done or seen raises `NotOnScreen`, an AssertionError that
carries a picture in text of what is there.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

from playground.slack import rendering as rd
from playground.slack import sight
from playground.slack.sight import Outcome, Seen

Json = dict[str, Any]
T = TypeVar("T")
PATIENCE_S = 5.0
POLL_S = 0.03


class NotOnScreen(AssertionError):
    """The person does not see, or cannot do, what the story says."""


class Human:
    """One person at their screen."""

    def __init__(self, base_url: str, name: str, patience_s: float = PATIENCE_S) -> None:
        self.name = name
        self.patience_s = patience_s
        self._base = base_url.rstrip("/")
        self._last: Json | None = None
        self._current: str | None = None  # channel the person looks at

    # -- looking ------------------------------------------------------------------
    def screen(self) -> Json:
        """The raw screen (`/ui/state`); asking again is cheap while nothing changes."""
        since = self._last["rev"] if self._last else ""
        found = self._get(f"/ui/state?as={urllib.parse.quote(self.name)}&since={since}")
        if self._last is None or not found.get("unchanged"):
            self._last = found
        return self._last

    @property
    def id(self) -> str:
        """This person's user id."""
        return str(self.screen()["me"]["id"])

    def messages(self, channel: str | None = None, *, thread: str | None = None) -> list[Seen]:
        """Messages on the screen, oldest first; of one channel and one thread when asked."""
        screen = self.screen()
        names = rd.Names.of(screen)
        wanted = self._channel(screen, channel)["id"] if channel else None
        found = [
            sight.seen(m, names)
            for c in screen["channels"] if wanted in (None, c["id"])
            for m in c["messages"]
            if thread is None or m.get("thread_ts") == thread or m["ts"] == thread
        ]  # fmt: skip
        return sorted(found, key=lambda m: float(m.ts))

    def sees(
        self,
        text: str,
        *,
        within: float | None = None,
        channel: str | None = None,
        thread: str | None = None,
    ) -> Seen:
        """Wait until `text` is visible; returns the newest message with it.

        The open modal and the Home tab count too (the result then has an empty channel).
        """
        return self._wait_for(lambda: self._find(text, channel, thread), within, f"does not see {text!r}")

    def does_not_see(self, text: str, *, channel: str | None = None, after: float = 0.0) -> None:
        """Fail when `text` is visible now, or turns up within `after` seconds."""
        deadline = time.monotonic() + after
        while True:
            if self._find(text, channel, None) is not None:
                raise NotOnScreen(f"{self.name} sees {text!r} but should not\n\n{self.picture()}")
            if time.monotonic() >= deadline:
                return
            time.sleep(POLL_S)

    def dms(self) -> list[Seen]:
        """The direct messages with the app."""
        screen = self.screen()
        im = next(c for c in screen["channels"] if c["kind"] == "im")
        return self.messages(im["id"])

    def unread(self, channel: str) -> int:
        """The number on the channel's unread badge."""
        return int(self._channel(self.screen(), channel)["unread"])

    def picture(self) -> str:
        """The whole screen in text."""
        return sight.picture(self.screen())

    # -- doing --------------------------------------------------------------------
    def looks_at(self, channel: str) -> Human:
        """Go to a channel; later acts happen there. Marks it read."""
        found = self._channel(self.screen(), channel)
        self._current = found["id"]
        self._do("read", channel=found["id"])
        return self

    def types(self, line: str, *, channel: str | None = None, wait: bool = True) -> Outcome:
        """Type a line (usually a slash command) into a channel's composer."""
        return self._do("send", channel=self._place(channel), text=line, wait=wait)

    def says(self, text: str, *, thread: str | Seen | None = None, channel: str | None = None) -> Outcome:
        """Post a message; `thread` is a message (or its stamp, or words in it) to answer to."""
        root = self._message(thread, channel) if thread is not None else None
        place = root.channel if root else self._place(channel)
        stamp = (root.thread_ts or root.ts) if root else None
        return self._do("send", channel=place, text=text, thread_ts=stamp)

    def clicks(
        self,
        label: str,
        *,
        confirm: bool | None = None,
        within: str | Seen | None = None,
        wait: bool = True,
    ) -> Outcome:
        """Click the newest visible button with this label.

        A confirm dialog must be answered with `confirm=True` or `False`; answering one that does
        not open is a failure too. `within` narrows to a message, given by itself or by words in it.
        """
        spot, control = self._control(label, ("button",), within)
        return self._use(spot, control, confirm, wait=wait)

    def chooses(
        self,
        option: str | list[str],
        *,
        menu: str | None = None,
        within: str | Seen | None = None,
        confirm: bool | None = None,
        wait: bool = True,
    ) -> Outcome:
        """Pick an option (by label) of a select, overflow menu, radio or checkbox group."""
        wanted = [option] if isinstance(option, str) else option
        spot, control = self._wait_for(lambda: self._menu(wanted, menu, within), None, f"finds no menu with {wanted}")
        value = _values(control, wanted)
        return self._use(spot, control, confirm, wait=wait, value=value)

    def fills(self, fields: dict[str, Any] | None = None, **named: Any) -> Human:
        """Fill inputs by their label: text, an option's label, a list of labels, or a date."""
        for label, value in {**(fields or {}), **named}.items():
            spot, control = self._control(label, (), None)
            given = value if isinstance(value, list) else [value]
            picked = _values(control, [str(v) for v in given]) if control.options else value
            self._use(spot, control, None, wait=True, value=self._resolve(control, picked))
        return self

    def submits(self, *, wait: bool = True) -> Outcome:
        """Press submit in the open modal. Complaints next to fields raise `NotOnScreen`."""
        view = self._wait_for(self._top_modal, None, "has no modal open")
        return self._do("submit", view_id=view["id"], wait=wait)

    def closes(self) -> None:
        """Close the open modal."""
        view = self._wait_for(self._top_modal, None, "has no modal open")
        self._do("close", view_id=view["id"])

    def opens_home(self) -> str:
        """Open the app's Home tab and return its words.

        The app usually publishes anew when it is told: that is waited for, but only a second when
        there is something to see already.
        """
        before = (self.screen()["home"] or {}).get("hash")
        self._do("open_home")
        give_up = time.monotonic() + 1.0

        def look() -> Json | None:
            home: Json | None = self.screen()["home"]
            is_settled = home is not None and (home["hash"] != before or time.monotonic() > give_up)
            return home if is_settled else None

        home = self._wait_for(look, None, "finds the Home tab empty")
        return rd.view_text(home, rd.Names.of(self.screen()))

    def shortcut(self, name: str, *, on: str | Seen | None = None, channel: str | None = None) -> Outcome:
        """Use a shortcut by its name (or callback id), on a message if one is given."""
        screen = self.screen()
        known = {s["name"]: s["callback_id"] for s in screen["shortcuts"]}
        target = self._message(on, channel) if on is not None else None
        where = {"channel": target.channel, "ts": target.ts} if target else {}
        return self._do("shortcut", callback_id=known.get(name, name), **where)

    def reacts(self, emoji: str, *, to: str | Seen, channel: str | None = None) -> None:
        """Add (or take away) a reaction."""
        target = self._message(to, channel)
        self._do("react", channel=target.channel, ts=target.ts, name=emoji)

    def edits(self, message: Seen, text: str) -> None:
        """Change one's own message."""
        self._do("edit", channel=message.channel, ts=message.ts, text=text)

    def deletes(self, message: Seen) -> None:
        """Delete one's own message, or dismiss one that only this person sees."""
        self._do("delete", channel=message.channel, ts=message.ts)

    def joins(self, channel: str) -> None:
        """Join a public channel."""
        self._do("join", channel=channel.lstrip("#"))

    def invites(self, who: str, channel: str) -> None:
        """Bring a person or the app into a channel."""
        self._do("invite", channel=self._channel(self.screen(), channel)["id"], who=who)

    def opens_file(self, name: str) -> bytes:
        """Download a visible file by its name or title."""
        for file in self.screen()["files"].values():
            if name in (file["name"], file["title"]):
                with urllib.request.urlopen(self._base + file["url"], timeout=10) as answer:
                    return bytes(answer.read())
        raise NotOnScreen(f"{self.name} sees no file {name!r}\n\n{self.picture()}")

    # -- inside -------------------------------------------------------------------
    def _find(self, text: str, channel: str | None, thread: str | None) -> Seen | None:
        wanted = sight.flat(text)
        if channel is None and thread is None:
            for view_text in sight.open_views(self.screen()).values():
                if wanted in sight.flat(view_text):
                    return Seen(text=view_text, channel="", ts="", thread_ts=None, sender="",
                                is_ephemeral=False, controls=(), raw={})  # fmt: skip
        found = [m for m in self.messages(channel, thread=thread) if wanted in sight.flat(m.text)]
        return found[-1] if found else None

    def _wait_for(self, look: Callable[[], T | None], within: float | None, what: str) -> T:
        patience = self.patience_s if within is None else within
        deadline = time.monotonic() + patience
        while True:
            found = look()
            if found is not None:
                return found
            if time.monotonic() >= deadline:
                raise NotOnScreen(f"{self.name} {what} after {patience:g} s\n\n{self.picture()}")
            time.sleep(POLL_S)

    def _top_modal(self) -> Json | None:
        stack: list[Json] = self.screen()["modals"]
        return stack[-1] if stack else None

    def _control(self, label: str, kinds: tuple[str, ...], within: str | Seen | None) -> tuple[Json, rd.Control]:
        """The newest visible control with this label; kinds () means any input."""

        def look() -> tuple[Json, rd.Control] | None:
            for spot, control in reversed(self._controls(within)):
                is_kind = control.kind in kinds if kinds else control.kind != "button"
                if is_kind and sight.flat(control.label) == sight.flat(label):
                    return spot, control
            return None

        what = "button" if kinds == ("button",) else "field"
        return self._wait_for(look, None, f"finds no {what} {label!r}")

    def _menu(self, wanted: list[str], menu: str | None, within: str | Seen | None) -> tuple[Json, rd.Control] | None:
        for spot, control in reversed(self._controls(within)):
            labels = {sight.flat(text) for text, _ in control.options}
            is_named = menu is None or sight.flat(menu) in (sight.flat(control.label), control.action_id)
            if is_named and labels and {sight.flat(w) for w in wanted} <= labels:
                return spot, control
        return None

    def _controls(self, within: str | Seen | None) -> list[tuple[Json, rd.Control]]:
        """Usable controls, oldest first. An open modal covers everything else."""
        screen = self.screen()
        names = rd.Names.of(screen)
        if screen["modals"]:
            view = screen["modals"][-1]
            return [({"view_id": view["id"]}, c) for c in rd.controls(view["blocks"], names)]
        found: list[tuple[Json, rd.Control]] = []
        if screen["home_open"] and screen["home"] and within is None:
            home = screen["home"]
            found += [({"view_id": home["id"]}, c) for c in rd.controls(home["blocks"], names)]
        for m in self.messages():
            if sight.matches(m, within):
                found += [({"channel": m.channel, "ts": m.ts}, c) for c in m.controls]
        return found

    def _use(self, spot: Json, control: rd.Control, confirm: bool | None, *, wait: bool, value: Any = None) -> Outcome:
        dialog = ""
        if control.confirm is not None:
            dialog = "\n".join(control.confirm[k]["text"] for k in ("title", "text"))
            if confirm is None:
                raise NotOnScreen(
                    f"{self.name} used {control.label!r} and a confirm dialog opened; answer it "
                    f"with confirm=True or confirm=False\n\n{dialog}"
                )
        elif confirm is not None:
            raise NotOnScreen(f"{control.label!r} opened no confirm dialog to answer")
        done = self._do(
            "use", **spot, block_id=control.block_id, action_id=control.action_id, value=value,
            confirmed=confirm, wait=wait,
        )  # fmt: skip
        word = "denied" if confirm is False else done.outcome
        return Outcome(outcome=word, took_ms=done.took_ms, answer=done.answer, dialog=dialog)

    def _resolve(self, control: rd.Control, value: Any) -> Any:
        """Names of people and channels become ids where a select wants ids."""
        screen = self.screen()
        if "users_select" in control.kind:
            by_name = {p["name"]: p["id"] for p in screen["people"]}
            return by_name.get(str(value).lstrip("@"), value)
        if "channels_select" in control.kind or "conversations_select" in control.kind:
            by_name = {c["name"]: c["id"] for c in screen["channels"]}
            return by_name.get(str(value).lstrip("#"), value)
        return value

    def _message(self, given: str | Seen, channel: str | None) -> Seen:
        if isinstance(given, Seen):
            return given

        def look() -> Seen | None:
            found = [m for m in self.messages(channel)
                     if m.ts == given or sight.flat(given) in sight.flat(m.text)]  # fmt: skip
            return found[-1] if found else None

        return self._wait_for(look, None, f"finds no message {given!r}")

    def _channel(self, screen: Json, name: str) -> Json:
        plain = name.lstrip("#")
        for channel in screen["channels"]:
            is_it = plain in (channel["id"], channel["name"])
            if is_it and channel["is_member"]:
                return dict(channel)
        raise NotOnScreen(f"{self.name} is not in a channel {name!r}\n\n{sight.picture(screen)}")

    def _place(self, channel: str | None) -> str:
        if channel is None and self._current is not None:
            return self._current
        screen = self.screen()
        if channel is not None:
            return str(self._channel(screen, channel)["id"])
        mine = [c for c in screen["channels"] if c["is_member"] and c["kind"] != "im"]
        with_app = [c for c in mine if screen["app"]["user_id"] in c["members"]]
        if not mine:
            raise NotOnScreen(f"{self.name} is in no channel\n\n{sight.picture(screen)}")
        return str((with_app or mine)[0]["id"])

    def _do(self, act: str, **body: Any) -> Outcome:
        given = {k: v for k, v in body.items() if v is not None}
        status, answer = self._post("/ui/do", {"as": self.name, "act": act, **given})
        if status != 200:
            detail = {k: v for k, v in answer.items() if k not in ("ok", "why")}
            more = f" {json.dumps(detail)}" if detail else ""
            raise NotOnScreen(f"{self.name}: {answer.get('why')}{more}\n\n{self.picture()}")
        return Outcome(
            outcome=answer["outcome"], took_ms=answer.get("took_ms", 0.0),
            answer=answer.get("answer"),
        )  # fmt: skip

    def _get(self, path: str) -> Json:
        try:
            with urllib.request.urlopen(self._base + path, timeout=30) as answer:
                found: Json = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            why = json.loads(error.read() or b"{}").get("why", str(error))
            raise NotOnScreen(why) from None

    def _post(self, path: str, body: Json) -> tuple[int, Json]:
        request = urllib.request.Request(
            self._base + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status), json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")


def _values(control: rd.Control, labels: list[str]) -> Any:
    by_label = {sight.flat(label): value for label, value in control.options}
    missing = [w for w in labels if sight.flat(w) not in by_label]
    if missing:
        raise NotOnScreen(f"{control.label!r} offers {list(by_label)} and not {missing}")
    values = [by_label[sight.flat(w)] for w in labels]
    is_many = control.kind.startswith("multi_") or control.kind == "checkboxes"
    return values if is_many else values[0]
