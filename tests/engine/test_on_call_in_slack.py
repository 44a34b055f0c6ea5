"""The picture of a rotation, asked for by a person in Slack, through the whole bot."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.app import Bot
from bot.config import Settings
from bot.config.settings import HttpSettings, Secret, SlackSettings
from bot.registry import load
from playground.slack import Workspace
from playground.slack.state import TEAM_ID
from playground.slack.workspace import APP_TOKEN, BOT_TOKEN
from tests.engine.office import TEMPLATES
from tests.engine.test_on_call import rules
from tests.wire.waiting import until


@pytest.fixture
def bot(migrated_file: Path, tmp_path: Path, ws: Workspace) -> Iterator[Bot]:
    shutil.copy(migrated_file, tmp_path / "bot.db")
    settings = Settings(
        policy=rules(), database_url=Secret(f"sqlite:///{tmp_path / 'bot.db'}"), http=HttpSettings(port=0),
        slack=SlackSettings(
            mode="socket", api_url=ws.api_url, bot_token=Secret(BOT_TOKEN), app_token=Secret(APP_TOKEN),
            team_id=TEAM_ID,
        ),
        secret_key=Secret("a key that nobody guesses"), templates_dir=TEMPLATES,
    )  # fmt: skip
    one = Bot(settings, load())
    one._ticker.start(paused=True)
    one.door.connect(APP_TOKEN, ws.api_url, 1)
    yield one
    one.stop()


def test_a_person_sees_the_picture_and_the_same_in_words(bot: Bot, ws: Workspace) -> None:
    alice = ws.as_("alice")
    alice.types("/mlops preview main")

    seen = alice.sees("the next 14 days (Europe/Berlin)", within=20)
    assert "@alice" in seen.text
    until(lambda: ws.calls("files.completeUploadExternal", ok=True), within=20)
    (shared,) = ws.calls("files.completeUploadExternal", ok=True)
    assert "the same is in the text" in str(shared.args)
    assert not [call for call in ws.calls("chat.postEphemeral") if "could not be shown" in str(call.args)]
