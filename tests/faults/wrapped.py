"""Starts the production program with something changed from outside.

The program has no switches for tests, so this one replaces functions of its modules in memory before it serves.

A mark kills the process (SIGKILL, by itself) at a named place, the n-th time it comes by: `--mark sent:3`;
`--mark freeze-sent:3` stops it there instead. A plant is a
bug that the suite must find: `--plant no-lease-check`.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

import bot.app
import bot.deliver
import bot.effects
import bot.engine
import bot.slack.client
import bot.store.database
import bot.store.outbox
import bot.store.store
import bot.store.tx
from bot.cli import run


def die() -> None:
    """As `kill -9` from outside, at exactly this place."""
    os.kill(os.getpid(), signal.SIGKILL)


def freeze() -> None:
    """As a paused machine: every thread stands still here until somebody outside says go on."""
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.001)  # a signal stops the process a moment after the call returned


class Countdown:
    """Does it when it is called for the n-th time."""

    def __init__(self, times: int, act: Callable[[], None] = die) -> None:
        self._left = itertools.count(times - 1, -1)
        self._act = act

    def __call__(self) -> None:
        if next(self._left) == 0:
            self._act()


def before(owner: Any, name: str, act: Callable[[], None]) -> None:
    """Call `act` before a function."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def changed(*given: Any, **named: Any) -> Any:
        act()
        return original(*given, **named)

    setattr(owner, name, changed)


def after(owner: Any, name: str, act: Callable[[], None], *, when: Callable[[Any], bool] = bool) -> None:
    """Call `act` after a function whose result `when` likes."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def changed(*given: Any, **named: Any) -> Any:
        result = original(*given, **named)
        if when(result):
            act()
        return result

    setattr(owner, name, changed)


def _always(_: Any) -> bool:
    return True


def _around_commit(act: Callable[[], None], *, early: bool) -> None:
    """At the commit of transactions that write: just before it, or just after."""
    original = bot.store.database.Database.write

    def changed(self: Any) -> Any:
        return _Around(original(self), act, early=early)

    bot.store.database.Database.write = changed  # type: ignore[method-assign]


class _Around:
    def __init__(self, inner: Any, act: Callable[[], None], *, early: bool) -> None:
        self._inner, self._act, self._early = inner, act, early

    def __enter__(self) -> Any:
        return self._inner.__enter__()

    def __exit__(self, *what: object) -> Any:
        if self._early and what[0] is None:
            self._act()
        result = self._inner.__exit__(*what)
        if not self._early and what[0] is None:
            self._act()
        return result


def _in_call(act: Callable[[], None]) -> None:
    """A few milliseconds into a post: the request may or may not have arrived."""
    original = bot.slack.client.SlackChat.post

    def changed(self: Any, *given: Any, **named: Any) -> Any:
        threading.Timer(0.004, act).start()
        return original(self, *given, **named)

    bot.slack.client.SlackChat.post = changed  # type: ignore[method-assign]


MARKS: dict[str, Callable[[Callable[[], None]], None]] = {
    "stored-not-answered": lambda act: after(bot.engine.Engine, "take_in", act),
    "before-commit": lambda act: _around_commit(act, early=True),
    "after-commit": lambda act: _around_commit(act, early=False),
    "timer-taken": lambda act: after(bot.store.tx.Tx, "take_timers", act),
    "claimed": lambda act: after(bot.store.store.Store, "claim", act),
    "looked": lambda act: after(bot.store.store.Store, "still_mine", act),
    "in-call": _in_call,
    "sent": lambda act: after(bot.slack.client.SlackChat, "post", act),
    "page-sent": lambda act: after(bot.slack.client.SlackChat, "post", act, when=lambda at: at[0].startswith("D")),
    "marked": lambda act: after(bot.store.store.Store, "delivered", act),
    "reconciling": lambda act: before(bot.slack.client.SlackChat, "find", act),
}


# Bugs that the suite must find.


def _no_lease_check() -> None:
    """Nobody looks again before the call whether the row is still theirs."""

    def still_mine(self: Any, job: Any, now: Any, margin: timedelta) -> bool:
        del now, margin
        with self._database.write() as connection:
            connection.execute(sa.update(bot.store.outbox.outbox).where(
                bot.store.outbox.outbox.c.id == job.id).values(calling=True))  # fmt: skip
        return True

    bot.store.store.Store.still_mine = still_mine  # type: ignore[method-assign]


def _no_reconciliation() -> None:
    """A message without an answer is sent again without looking for it."""
    bot.deliver.Deliverer._settled_by_looking = lambda *_: False  # type: ignore[method-assign]


def _page_outside() -> None:
    """The page is stored in a transaction of its own, after the one that marks the timer done."""
    original_send = bot.store.tx.Tx._send
    kept = threading.local()

    def send(self: Any, incident: Any, effect: Any, now: Any) -> None:
        if isinstance(effect, bot.effects.Page) and getattr(kept, "pages", None) is not None:
            kept.pages.append((incident, effect, now))
            return
        original_send(self, incident, effect, now)

    original_fire = bot.engine.Engine._fire

    def fire(self: Any, timers: Any) -> Any:
        kept.pages = []
        done = original_fire(self, timers)
        pages, kept.pages = kept.pages, None
        for incident, effect, now in pages:
            with self.store.begin() as tx:
                original_send(tx, incident, effect, now)
        return done

    bot.store.tx.Tx._send = send  # type: ignore[method-assign]
    bot.engine.Engine._fire = fire  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    "no-lease-check": _no_lease_check,
    "no-reconciliation": _no_reconciliation,
    "page-outside": _page_outside,
}


def _sleep_under_faketime() -> None:
    """libfaketime breaks Python's own sleep (EINVAL), not its waits."""

    def sleep(seconds: float) -> None:
        threading.Event().wait(seconds)

    time.sleep = sleep


def main() -> int:
    """Change what is asked for, then serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mark", default="")
    parser.add_argument("--plant", default="")
    given = parser.parse_args()
    if given.plant:
        PLANTS[given.plant]()
    if given.mark:
        name, _, times = given.mark.partition(":")
        act = freeze if name.startswith("freeze-") else die
        MARKS[name.removeprefix("freeze-")](Countdown(int(times or "1"), act))
    if "LD_PRELOAD" in os.environ:
        _sleep_under_faketime()
    return run(["serve", "--log-level", "warning"])


if __name__ == "__main__":
    sys.exit(main())
