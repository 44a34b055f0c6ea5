"""Rotations in mlops.yaml: what they become, and how each mistake is told."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
import yaml

from bot.config import inspect, load
from bot.policy.calendar import Window
from playground.demo.town import _rotation as demo_rotation
from tests.config.folder import ENV, MAIN, NAMES, Folder

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
ROTATION = """\
rotations:
  main:
    zone: Europe/Berlin
    layers:
    - name: office
      people: [carol]
      starts_on: 2026-01-05
      hours: [{days: [mon, fri], opens: 09:00, closes: 17:00}]
    - people: [alice, bob]
      starts_on: 2026-01-05
      every: 7d
"""
WITH = MAIN.replace("oncall: [alice]", "oncall: ['rota:main', dana]") + ROTATION


def told(folder: Folder, now: datetime | None = NOW) -> list[str]:
    _, problems = inspect(folder.write(), folder.env, NAMES, now=now)
    return [folder.told(problem) for problem in problems if not problem.warning]


def test_a_rotation_says_who_is_on_call(tmp_path: Path) -> None:
    policy = load(Folder(tmp_path, main=WITH).write(), ENV, NAMES).policy

    office, base = policy.rotas["main"].layers
    assert office.windows == (Window(days=frozenset({0, 4}), opens=time(9), closes=time(17)),)
    assert (base.name, base.zone, base.every, base.hand_over) == (
        "layer 2", "Europe/Berlin", timedelta(days=7), time(9),
    )  # fmt: skip
    tuesday, friday = NOW, NOW + timedelta(days=3)
    assert [person.key for person in policy.on_call("shop", tuesday)] == ["alice", "dana"]
    assert [person.key for person in policy.on_call("shop", friday)] == ["carol", "dana"]
    assert policy.resolve("oncall", "shop", friday) == policy.resolve("rota:main", "", friday) == ("user:U0CAROL",)
    assert policy.resolve("rota:other", "shop", friday) == ()
    assert policy.ever_on_call(policy.system("shop")) == ("carol", "alice", "bob", "dana")
    coming = policy.next_handover("shop", tuesday)
    assert coming is not None
    assert (coming.at, coming.takes) == (datetime(2026, 3, 6, 8, tzinfo=UTC), "carol")


def test_a_rotation_without_a_mistake_is_not_complained_about(tmp_path: Path) -> None:
    assert told(Folder(tmp_path, main=WITH)) == []


@pytest.mark.parametrize(("old", "new", "said"), [
    ("[alice, bob]", "[alice, bert]",
     'mlops.yaml:25: rotation "main", layer "layer 2": unknown person "bert"; list them under `people`'),
    ("people: [carol]", "people: []", 'mlops.yaml:21: rotation "main", layer "office": nobody is in it; list'),
    ("Europe/Berlin", "Europe/Berln", 'mlops.yaml:21: rotation "main", layer "office": the zone "Europe/Berln" is not'),
    ("every: 7d", "every: 1d\n      hand_over: 02:30",
     'mlops.yaml:25: rotation "main", layer "layer 2": the hand-over at 02:30 does not exist on Sun 29 Mar 2026'),
    ("[alice, bob]\n", "[alice, bob]\n      hours: [{opens: 08:00, closes: 20:00}]\n",
     'mlops.yaml:18: rotation "main": nobody is on call from Tue 3 Mar 2026 20:00 to Wed 4 Mar 2026 08:00 (Europe'),
    ("every: 7d", "every: 30m", 'mlops.yaml:25: rotation "main", layer "layer 2": a turn lasts less than an hour'),
    ("09:00, closes", "9 am, closes", 'mlops.yaml:24: "opens": "9 am" is not a time of day; write it like 09:00'),
    ("rota:main", "rota:mian", 'mlops.yaml:15: on call: unknown person "rota:mian"; did you mean "rota:main"?'),
])  # fmt: skip
def test_each_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    problems = told(Folder(tmp_path, main=WITH.replace(old, new, 1)))

    assert any(problem.startswith(said) for problem in problems), problems


def test_a_gap_is_refused_by_the_check_and_never_stops_the_start(tmp_path: Path) -> None:
    only_office = WITH.replace("    - people: [alice, bob]\n      starts_on: 2026-01-05\n      every: 7d\n", "")
    folder = Folder(tmp_path, main=only_office)

    assert "nobody is on call" in told(folder)[0]
    assert told(folder, now=None) == []
    assert told(Folder(tmp_path, main=only_office.replace("layers:", "gaps: allowed\n    layers:"))) == []


def test_a_level_may_page_a_rotation(tmp_path: Path) -> None:
    folder = Folder(tmp_path, main=WITH)
    folder.profile += "escalation: {P0: [{after: 5m, to: 'rota:main'}, {after: 9m, to: 'rota:night'}]}\n"

    assert told(folder) == ['system.yaml:13: level 2 of P0: unknown rotation "night"; use one of: main']


def test_the_demo_has_a_rotation_to_stand_in_for_whenever_it_is_played(tmp_path: Path) -> None:
    made = yaml.safe_dump({"rotations": demo_rotation()})
    folder = Folder(tmp_path, main=MAIN.replace("oncall: [alice]", "oncall: ['rota:demo', dana]") + made)
    now = datetime.now(UTC)

    assert told(folder, now) == []
    policy = load(folder.write(), ENV, NAMES).policy
    for days, key in ((0, "alice"), (5, "alice"), (8, "bob")):
        assert [one.key for one in policy.on_call("shop", now + timedelta(days=days))] == [key, "dana"]
