"""A workspace inside the current process: the server in a thread, ready when `with` is entered.

    with Workspace(people=["alice", "bob"], channels=["ml-oncall"]) as ws:
        app = App(client=WebClient(ws.bot_token, base_url=ws.api_url), …)
        ws.as_("alice").types("/mlops help", channel="#ml-oncall")

Leaving the block stops the server. It fails when the app called a method that does not exist or
answered with something Slack would refuse (`failures`), unless an exception is already on its way.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from playground.slack import setup
from playground.slack.clock import Clock
from playground.slack.delivery import Envelope
from playground.slack.faults import Fault, Faults
from playground.slack.human import Human
from playground.slack.limits import Limits
from playground.slack.manifest import DEFAULT_MANIFEST, read_manifest
from playground.slack.server import Server
from playground.slack.state import State
from playground.slack.world import Call, Credentials, Lint, World

Json = dict[str, Any]
T = TypeVar("T")
# Not secrets: they open nothing but a simulator on the loopback interface.
BOT_TOKEN = "xoxb-local-workspace-bot"
APP_TOKEN = "xapp-local-workspace-app"
SIGNING_SECRET = "local-workspace-signing"


class Workspace:
    """Start, inspect, disturb and stop a local workspace. Safe to use from any thread."""

    def __init__(
        self,
        *,
        manifest: Mapping[str, Any] | None = None,
        people: Iterable[setup.Person] = setup.DEFAULT_PEOPLE,
        channels: setup.Channels = setup.DEFAULT_CHANNELS,
        usergroups: Mapping[str, Any] | None = None,
        port: int = 0,
        limits: str = "real",
        request_url: str | None = None,
        fails_on_exit: bool = True,
    ) -> None:
        self.bot_token = BOT_TOKEN
        self.app_token = APP_TOKEN
        self.signing_secret = SIGNING_SECRET
        self.clock = Clock()
        self.world = World(
            manifest=read_manifest(dict(manifest or DEFAULT_MANIFEST)),
            credentials=Credentials(
                bot_token=BOT_TOKEN, app_token=APP_TOKEN, signing_secret=SIGNING_SECRET
            ),
            clock=self.clock, state=State(), limits=Limits(), faults=Faults(),
        )  # fmt: skip
        self.world.limits.set_mode(limits)
        self._fill = (list(people), channels, dict(usergroups or {}))
        self._wanted_port = port
        self._wanted_url = request_url
        self._fails_on_exit = fails_on_exit
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="local-workspace", daemon=True)
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._error: BaseException | None = None
        self._server = Server(self.world)

    # -- life ------------------------------------------------------------------------
    def start(self) -> Workspace:
        """Start the server; returns when it listens."""
        self._thread.start()
        self._started.wait(20)
        if self._error is not None:
            raise self._error
        return self

    def stop(self) -> None:
        """Stop the server and wait for its thread."""
        if self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if kind is None and self._fails_on_exit and self.failures:
            raise AssertionError("the app did what Slack refuses:\n" + "\n".join(self.failures))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self.clock.bind(self._loop)
        runner = web.AppRunner(self._server.application(), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._wanted_port)
        await site.start()
        self.port = runner.addresses[0][1]
        self.world.base_url = f"http://127.0.0.1:{self.port}"
        self.world.delivery.request_url = self._wanted_url
        setup.fill(self.world, *self._fill)
        self._started.set()
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    # -- addresses --------------------------------------------------------------------
    @property
    def url(self) -> str:
        """Address of the page."""
        return self.world.base_url

    @property
    def api_url(self) -> str:
        """What SLACK_API_URL has to be."""
        return f"{self.url}/api/"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point an app at this workspace."""
        return {
            "SLACK_API_URL": self.api_url, "SLACK_BOT_TOKEN": self.bot_token,
            "SLACK_APP_TOKEN": self.app_token, "SLACK_SIGNING_SECRET": self.signing_secret,
        }  # fmt: skip

    # -- people -------------------------------------------------------------------------
    def as_(self, name: str) -> Human:
        """A person at their screen."""
        if self.world.state.user_named(name) is None:
            raise KeyError(f"nobody is called {name!r}")
        return Human(self.url, name)

    # -- what the app did ----------------------------------------------------------------
    @property
    def log(self) -> list[Call]:
        """Every Web API call so far, oldest first."""
        return list(self.world.log)

    def calls(self, method: str, *, channel: str | None = None, ok: bool | None = None) -> list[Call]:
        """Calls of one method, narrowed to a channel or person (name or id) and a verdict."""
        wanted = self._ids(channel) if channel else None
        return [
            c for c in self.log
            if c.method == method and (ok is None or c.ok == ok)
            and (wanted is None or c.args.get("channel") in wanted
                 or c.answer.get("channel") in wanted)
        ]  # fmt: skip

    def _ids(self, name: str) -> set[str]:
        state = self.world.state
        found = {name}
        channel, user = state.channel_named(name), state.user_named(name)
        if channel is not None:
            found.add(channel.id)
        if user is not None:
            found |= {user.id, "D" + user.id[1:]}
        return found

    @property
    def lint(self) -> list[Lint]:
        """Weaknesses that Slack lets pass, such as a missing text fallback."""
        return list(self.world.lint)

    @property
    def failures(self) -> list[str]:
        """Things the app did that must fail a test."""
        return list(self.world.failures)

    @property
    def envelopes(self) -> list[Envelope]:
        """Recent events, commands and interactions with their delivery attempts."""
        return list(self.world.delivery.recent)

    # -- trouble -----------------------------------------------------------------------------
    def fault(self, kind: str, target: str = "*", *, times: int = 1, skip: int = 0, seconds: float = 30.0) -> None:
        """Arm a fault (see `faults`); `target` is an API method or an envelope type."""
        fault = Fault(kind=kind, target=target, times=times, skip=skip, seconds=seconds)
        self.world.faults.arm(fault)

    def heal(self) -> None:
        """Clear every fault and give a revoked token back."""
        self.world.faults.clear()
        self.world.token_revoked = False

    def revoke_token(self) -> None:
        """From now on the app's tokens are refused."""
        self.world.token_revoked = True

    def drop_sockets(self) -> int:
        """Cut every Socket Mode connection without a goodbye."""
        return self._on_loop(self._server.socket.drop())

    def disconnect(self, reason: str = "refresh_requested") -> int:
        """Ask every Socket Mode connection to go, as Slack does."""
        return self._on_loop(self._server.socket.disconnect(reason))

    @property
    def connections(self) -> int:
        """Open Socket Mode connections."""
        return len(self._server.socket.connections)

    def set_request_url(self, url: str | None, *, verify: bool = False) -> None:
        """Switch to HTTP mode (or back, with None); `verify` plays the challenge first."""
        if url is not None and verify and not self._on_loop(self._server.http.verify(url)):
            raise AssertionError(f"{url} did not return the challenge")
        self.world.delivery.request_url = url
