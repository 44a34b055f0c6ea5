"""Calendars in mlops.yaml: what they become, and how the check tells what is wrong with them and inside them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from bot.check import check_everything
from bot.config import load
from tests.config.folder import MAIN, NAMES, Folder

LAYERS = """\
rotations:
  main:
    zone: Europe/Berlin
    layers:
    - name: team calendar
      calendar: {file: rota.ics, refresh: 5m}
    - people: [alice, bob]
      starts_on: 2026-11-02
"""
WITH = MAIN.replace("oncall: [alice]", "oncall: ['rota:main']") + LAYERS
BELOW = "    - people: [alice, bob]\n      starts_on: 2026-11-02\n"
ICS = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//x//EN
BEGIN:VEVENT
UID:1
DTSTAMP:20261101T000000Z
DTSTART;TZID=Europe/Berlin:20261123T090000
DTEND;TZID=Europe/Berlin:20261128T090000
SUMMARY:carol
END:VEVENT
END:VCALENDAR
"""
TODAY = date(2026, 11, 23)


def told(folder: Folder, ics: str = ICS, *, warnings: bool = False) -> list[str]:
    (folder.root / "rota.ics").write_text(ics, encoding="utf-8")
    found = check_everything(folder.write(), folder.env, NAMES, TODAY)
    return [folder.told(problem) for problem in found if problem.warning == warnings]


def test_a_calendar_is_a_layer_with_a_source(tmp_path: Path) -> None:
    folder = Folder(tmp_path, main=WITH)
    settings = load(folder.write(), folder.env, NAMES)

    (source,) = settings.calendars
    assert (source.name, source.zone, source.refresh) == ("main/team calendar", "Europe/Berlin", timedelta(minutes=5))
    assert source.file == tmp_path / "rota.ics"
    assert [layer.calendar for layer in settings.policy.rotas["main"].layers] == [True, False]
    assert told(folder) == []


def test_a_private_address_is_a_secret(tmp_path: Path) -> None:
    folder = Folder(tmp_path, main=WITH.replace("file: rota.ics", "url: '${env:ROTA}'"))
    folder.env["ROTA"] = "https://calendar.example/private-canary/rota.ics"
    settings = load(folder.write(), folder.env, NAMES)

    assert settings.calendars[0].url.reveal() == folder.env["ROTA"]
    assert folder.env["ROTA"] in [secret.reveal() for secret in settings.secrets]
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(("old", "new", "said"), [
    ("file: rota.ics", "file: none.ics",
     'mlops.yaml:22: rotation "main", layer "team calendar": the calendar is of no use: the file cannot be read'),
    ("{file: rota.ics, refresh: 5m}", "{refresh: 5m}", "its calendar needs one of `file` and `url`; write one"),
    ("file: rota.ics", "url: http://x.example/a.ics", "its calendar's `url` is no https address; correct it"),
    ("      calendar:", "      people: [alice]\n      calendar:", "it has both `people` and `calendar`; keep one"),
    ("      starts_on: 2026-11-02\n", "", 'layer "layer 2": `starts_on` is missing; write the day of the first turn'),
    ("    - people: [alice, bob]\n", "    - name: team calendar\n      people: [alice, bob]\n",
     'mlops.yaml:23: rotation "main", layer "team calendar": a layer above is called "team calendar" too'),
    (BELOW, "", 'mlops.yaml:18: rotation "main": nobody is on call from Mon 23 Nov 2026 01:00 to 09:00'),
])  # fmt: skip
def test_each_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    problems = told(Folder(tmp_path, main=WITH.replace(old, new, 1)))

    assert any(said in problem for problem in problems), problems


def test_an_event_that_names_nobody_is_refused(tmp_path: Path) -> None:
    problems = told(Folder(tmp_path, main=WITH), ICS.replace("SUMMARY:carol", "SUMMARY:caroll"))

    (problem,) = problems
    assert problem.startswith('mlops.yaml:22: rotation "main", layer "team calendar": "caroll" names nobody; title')


def test_an_address_alone_is_warned_of_because_it_may_be_down_at_the_first_start(tmp_path: Path) -> None:
    alone = WITH.replace("file: rota.ics", "url: https://x.example/a.ics").replace(BELOW, "")

    assert told(Folder(tmp_path, main=alone)) == []
    assert any("until its calendar is read, nobody is on call" in one for one in told(
        Folder(tmp_path, main=alone), warnings=True
    ))  # fmt: skip
