"""People's own media: e-mail, SMS gateways, pagers and whatever else Apprise can call.

Each call is a child process (`bot.media_child`), bounded in time and memory; the serving process never loads the
library. A page by a medium is a row of the outbox in a lane of its own, so a slow gateway holds up no message to Slack.

What is promised: a page is sent once when nothing goes wrong. A medium cannot be asked whether it has a message, so one
whose result is not known (a crash, no answer) is sent once more, marked as perhaps repeated, and then no more. A
definite failure is tried three times. One that is given up is said in the incident's thread; the page by Slack went its
own way.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bot.config.settings import Secret
from bot.engine import Engine
from bot.policy.reach import MEDIUM
from bot.render import Message
from bot.store import Job, StoreDown
from bot.words import for_terminal

log = logging.getLogger("mlops.media")

LIMIT_S = 20.0  # for one call, the start of the child included
LEASE = timedelta(seconds=60)
MARGIN = timedelta(seconds=LIMIT_S + 4)  # of the lease that must be left when a call begins
TRIES = 3
_BACK_OFF = timedelta(seconds=10)
_TITLE, _BODY = 140, 1_400  # characters; an SMS gateway cuts what is longer
_ENVIRONMENT = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")

Media = Mapping[str, Mapping[str, Secret]]  # key of the person → name of the medium → its address


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What came of one call."""

    ok: bool
    why: str = ""
    unsure: bool = False  # it may have arrived all the same
    never: bool = False  # calling again is no use


class Courier:
    """Starts the children. `environment`: what of the process' environment they may see."""

    def __init__(self, environment: Mapping[str, str], *, limit_s: float = LIMIT_S) -> None:
        named = {name: environment[name] for name in _ENVIRONMENT if environment.get(name)}
        self._environment = {
            **named, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin",
        }  # fmt: skip
        self._limit_s = limit_s

    def send(self, address: Secret, title: str, body: str) -> Called:
        """Call a medium once."""
        return self._call({"url": address.reveal(), "title": title, "body": body})

    def look(self, address: Secret) -> Called:
        """Whether the address means something, without calling anybody."""
        return self._call({"url": address.reveal(), "check": True})

    def _call(self, given: Mapping[str, object]) -> Called:
        child = subprocess.Popen(
            [sys.executable, "-m", "bot.media_child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=self._environment, cwd="/",
        )  # fmt: skip
        try:
            told, _ = child.communicate(json.dumps(given).encode(), timeout=self._limit_s)
            answer = json.loads(told[:10_000])
            return Called(
                ok=answer["ok"] is True, why=str(answer.get("why", "")), unsure=bool(answer.get("unsure")),
                never=bool(answer.get("never")),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Called(ok=False, why=f"it took longer than {self._limit_s:g} s", unsure=True)
        except (OSError, ValueError, KeyError, TypeError):
            return Called(ok=False, why="the process that calls it ended", unsure=True)
        finally:
            with contextlib.suppress(OSError):
                child.kill()
            child.communicate()


class MediaSender:
    """Claims pages by media and sends them."""

    def __init__(
        self, engine: Engine, media: Media, courier: Courier, render: Callable[[Job], Message | None], *, owner: str
    ) -> None:
        """`render`: what the page says, as in Slack; None when its incident is gone."""
        self._engine = engine
        self._store = engine.store
        self._media = media
        self._courier = courier
        self._render = render
        self._owner = owner

    def claim(self, limit: int, held: Collection[str] = ()) -> list[Job]:
        """Take what may go now, but nothing that is in hand already."""
        return self._store.claim("media", self._owner, self._engine.now(), LEASE, limit=limit, held=held)

    def send(self, job: Job) -> bool:
        """Send one claimed page. True when it is settled, False when it goes again later."""
        try:
            return self._send(job)
        except StoreDown:
            raise
        except Exception as problem:
            log.exception("page %s failed", job.id, extra={"action": "medium_broken"})
            self._store.no_answer(job, self._engine.now() + _BACK_OFF, f"inside the bot: {type(problem).__name__}")
            return False

    def _send(self, job: Job) -> bool:
        key, _, name = job.target.removeprefix(MEDIUM).partition("/")
        address = self._media.get(key, {}).get(name)
        message = self._render(job)
        if message is None:
            self._store.dead(job, self._engine.now(), "its incident is gone")
            return True
        if not address:  # edited since the page was decided, or its secret is not set
            return self._give_up(job, "it is not configured any more")
        if job.unsure and job.unanswered > 1:
            return self._give_up(job, "it was called twice without an answer, so it cannot be told whether it arrived")
        # The last look before the call: a frozen process must not call what another one has taken over.
        if not self._store.still_mine(job, self._engine.now(), MARGIN):
            self._store.try_later(job, self._engine.now(), "its lease was nearly over", tried=False)
            return False
        title, body = plain(message)
        called = self._courier.send(address, title, body)
        return self._settle(job, called)

    def _settle(self, job: Job, called: Called) -> bool:
        now = self._engine.now()
        if called.ok:
            if not self._store.delivered(job, now):
                log.warning("%s was sent after its claim had ended", job.id, extra={"action": "sent_late"})
            log.info("sent %s by a medium", job.id, extra={"action": "sent", "kind": "medium", "attempt": job.attempt})
            return True
        log.warning("%s: %s", job.target, called.why, extra={"action": "medium_problem"})
        if called.unsure:
            self._store.no_answer(job, now + _BACK_OFF, called.why)
            return False
        if called.never or job.attempt >= TRIES:
            return self._give_up(job, called.why)
        self._store.try_later(job, now + _BACK_OFF * job.attempt, called.why)
        return False

    def _give_up(self, job: Job, why: str) -> bool:
        """Say in the thread that this way does not work; the page by Slack does not depend on it."""
        key, _, name = job.target.removeprefix(MEDIUM).partition("/")
        text = f"@{key} could not be reached by {name}: {why}. The page in Slack went its own way."
        self._engine.note_medium_failed(job.incident_id, f"{job.id}:failed", text)
        self._store.dead(job, self._engine.now(), why)
        return True


def plain(message: Message) -> tuple[str, str]:
    """A message without what only Slack can show: title and body. The words stay the template's."""
    parts: list[str] = []
    for block in message.blocks:
        match block.get("type"):
            case "section":
                parts.append(str((block.get("text") or {}).get("text", "")))
            case "context":
                parts += [str(one.get("text", "")) for one in block.get("elements", ())]
    body = "\n".join(for_terminal(part).replace("*", "") for part in parts if part.strip())
    title = " ".join(for_terminal(message.text).split())
    kept = body if len(body) <= _BODY else body[: _BODY - 1] + "…"
    return (title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"), kept or title
