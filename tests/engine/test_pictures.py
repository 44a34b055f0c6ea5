"""A picture that belongs to an answer is put where it was asked for, with words for those who cannot see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.desk import Asker, Reply
from bot.slack import SlackDoor
from bot.slack.client import web_client
from playground.slack import Workspace
from playground.slack.state import TEAM_ID
from tests.engine.office import ALICE, CHANNEL, Office

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 200


@pytest.fixture
def door(office: Office, ws: Workspace) -> Iterator[SlackDoor]:
    one = SlackDoor(office.desk, client=web_client(ws.bot_token, ws.api_url), signing_secret="s" * 20, team_id=TEAM_ID)
    yield one
    one.close()


def answer(tmp_path: Path) -> Reply:
    (tmp_path / "p.png").write_bytes(PNG)
    more = Reply(text="v3 is worse", picture=str(tmp_path / "p.png"), picture_alt="Bar charts: accuracy 0.94 and 0.41")
    return Reply(text="Looking…", later=lambda: more)


def test_the_picture_of_an_answer_is_uploaded_with_its_words(
    door: SlackDoor, office: Office, ws: Workspace, tmp_path: Path
) -> None:  # fmt: skip
    told: list[str] = []
    channel = office.chat.resolve(CHANNEL)
    door._and_later(answer(tmp_path), told.append, Asker(who=ALICE, channel=channel))
    assert told == ["v3 is worse"]
    [done] = ws.calls("files.completeUploadExternal", ok=True)
    assert done.args["channel_id"] == channel
    [asked] = ws.calls("files.getUploadURLExternal", ok=True)
    assert asked.args["alt_txt"] == "Bar charts: accuracy 0.94 and 0.41"


@pytest.mark.parametrize("channel", ["", "C0NOWHERE"])
def test_where_no_picture_can_be_shown_the_words_are_there_and_say_so(
    door: SlackDoor, tmp_path: Path, channel: str
) -> None:  # fmt: skip
    told: list[str] = []
    door._and_later(answer(tmp_path), told.append, Asker(who=ALICE, channel=channel))
    assert told[0] == "v3 is worse"
    assert "could not be shown here" in told[1]
