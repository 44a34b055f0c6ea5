"""The picture of a rotation, asked for by a person in Slack, through the whole bot."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.app import Bot
from bot.config import Settings
from bot.config.settings import HttpSettings, Secret, SlackSettings
from bot.model import Severity
from bot.policy.reach import Reach, Reachable
from bot.registry import load
from playground.slack import Workspace
from playground.slack.state import TEAM_ID
from playground.slack.workspace import APP_TOKEN, BOT_TOKEN
from tests.engine.office import ALICE, TEMPLATES
from tests.engine.receivers import Gateway, gateway
from tests.engine.test_on_call import rules
from tests.wire.waiting import until


@pytest.fixture
def sms() -> Iterator[Gateway]:
    with gateway() as one:
        yield one


@pytest.fixture
def bot(migrated_file: Path, tmp_path: Path, ws: Workspace, sms: Gateway) -> Iterator[Bot]:
    shutil.copy(migrated_file, tmp_path / "bot.db")
    reach = Reachable(key="alice", user_id=ALICE.user_id, rules=dict.fromkeys(Severity, Reach(by=("dm", "sms"))))
    made = rules()
    people = tuple(replace(one, reach=reach if one.who == ALICE else None) for one in made.people)
    settings = Settings(
        policy=replace(made, people=people), media={"alice": {"sms": Secret(f"json://127.0.0.1:{sms.port}/")}},
        database_url=Secret(f"sqlite:///{tmp_path / 'bot.db'}"), http=HttpSettings(port=0),
        slack=SlackSettings(
            mode="socket", api_url=ws.api_url, bot_token=Secret(BOT_TOKEN), app_token=Secret(APP_TOKEN),
            team_id=TEAM_ID,
        ),
        secret_key=Secret("a key that nobody guesses"), templates_dir=TEMPLATES,
    )  # fmt: skip
    one = Bot(settings, load())
    one.door.connect(APP_TOKEN, ws.api_url, 1)
    yield one
    one.stop()


def test_a_person_sees_the_picture_and_the_same_in_words(bot: Bot, ws: Workspace) -> None:
    bot._ticker.start(paused=True)
    alice = ws.as_("alice")
    alice.types("/mlops preview main")

    seen = alice.sees("the next 14 days (Europe/Berlin)", within=20)
    assert "@alice" in seen.text
    until(lambda: ws.calls("files.completeUploadExternal", ok=True), within=20)
    (shared,) = ws.calls("files.completeUploadExternal", ok=True)
    assert "the same is in the text" in str(shared.args)
    assert not [call for call in ws.calls("chat.postEphemeral") if "could not be shown" in str(call.args)]


def test_the_serving_bot_pages_by_slack_and_by_sms(bot: Bot, ws: Workspace, sms: Gateway) -> None:
    """Everything by the ticker, as in production: declared by one person, asked of another."""
    bot._ticker.start()
    bob = ws.as_("bob")
    bob.types("/mlops declare P0 intent answers nonsense")
    bob.types("/mlops page @alice INC-1 come quickly")

    until(lambda: [one for one in sms.got if "come quickly" in str(one)], within=25)
    until(lambda: [one for one in ws.as_("alice").dms() if "come quickly" in one.text], within=25)
    assert len([one for one in sms.got if "come quickly" in str(one)]) == 1
