"""Debian's Chromium, headless, before the page of a local workspace in which a real Bolt app lives."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient

from playground.parts import need
from playground.slack import Workspace, channel_id

from .player_app import CHANNEL, Player

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
# No sandbox and no GPU in a container; the rest keeps the browser from calling home or asking questions.
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
SWITCHES += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
Scheme = Literal["light", "dark"]
PATIENCE_MS = 10_000  # two busy cores stall now and then
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests; its profile is new and goes away with it."""
    # Its start script complains on stderr about a machine without a desktop.
    os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(need("chromium")), headless=True, args=SWITCHES)
        yield chromium
        chromium.close()


@contextmanager
def open_page(browser: Browser, url: str, *, width: int = 1280, scheme: Scheme = "light") -> Iterator[Page]:
    """A new window. Leaving it fails when the page complained in its console; a refusal (409) is no complaint."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" and "409" not in m.text else None)
    page.goto(url)
    page.locator("#sidebar .place").first.wait_for(state="attached")
    yield page
    context.close()
    assert complaints == []


@dataclass
class Stage:
    """A workspace with the app in it, and a way to look at it."""

    ws: Workspace
    player: Player
    browser: Browser

    def looking(
        self, who: str = "alice", *, width: int = 1280, scheme: Scheme = "light"
    ) -> AbstractContextManager[Page]:
        """A window of that width in which that person acts."""
        return open_page(self.browser, f"{self.ws.url}/?as={who}", width=width, scheme=scheme)


@pytest.fixture(scope="session")
def farewell() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Closing the SDK's socket client takes it a second: let it do so while the next test runs."""
    closing: list[threading.Thread] = []

    def close(work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        closing.append(thread)

    yield close
    for thread in closing:
        thread.join()


@pytest.fixture
def stage(browser: Browser, farewell: Callable[[Callable[[], None]], None]) -> Iterator[Stage]:
    """A fresh workspace for each test, so that tests do not see each other's messages."""
    with Workspace(limits="off") as ws:
        app = App(client=WebClient(ws.bot_token, base_url=ws.api_url), signing_secret=ws.signing_secret)
        player = Player(app, channel_id(CHANNEL))
        handler = SocketModeHandler(app, ws.app_token, web_client=WebClient(ws.app_token, base_url=ws.api_url))
        handler.connect()
        try:
            yield Stage(ws=ws, player=player, browser=browser)
        finally:
            handler.client.auto_reconnect_enabled = False
            ws.drop_sockets()
            farewell(handler.close)


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the page for people to look at; the folder is not in git."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")


@pytest.fixture(scope="module")
def marked(browser: Browser) -> Iterator[Page]:
    """A page whose modules a test can ask; nobody acts in it."""
    with Workspace(limits="off") as ws:
        context = browser.new_context(timezone_id="UTC")
        page = context.new_page()
        page.goto(ws.url)
        page.locator("#sidebar .place").first.wait_for(state="attached")
        yield page
        context.close()
