"""Ladders, working hours, planned work and heartbeats in the files: what they become, and how each mistake is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from bot.config import load
from bot.config.ladders import _wait
from bot.model import Severity
from bot.policy.calendar import Wait
from tests.config.folder import ENV, MAIN, NAMES, PROFILE, Folder

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LADDERS = """\
hours:
  zone: Europe/Berlin
  holidays: [2026-12-25]
maintenance:
- {days: [sun], opens: 02:00, closes: 04:00, zone: Europe/Berlin, part: ranker, why: patching}
escalation:
  ack_timeout: {P0: 30m}
  answer_within: 5m
  at_work: [P3]
  P0:
  - {after: at once, to: [oncall]}
  - {after: 1h, to: ["role:manager", "group:S012AB3CD"], until: resolved}
  kinds:
    infra:
      match: {component: [node]}
      repeat_every: 10m
      P1:
      - {after: next business day + 2h, to: ["person:bob"]}
      every:
      - {after: 4h at work, to: ["role:senior"]}
"""
BEATS = """\
heartbeats:
  alertmanager: {alert: Watchdog, match: {cluster: east}, silent_after: 5m, system: shop, severity: P0}
  other: {silent_after: 10m}
pulse: {url: "https://other.example.com/webhooks/heartbeat/us", token: "${env:HOOK}", channel: ops, every: 30s}
delivery: {bundle: 1m}
"""


def test_ladders_become_what_they_say(tmp_path: Path) -> None:
    system = load(Folder(tmp_path, profile=PROFILE + LADDERS).write(), ENV, NAMES).policy.systems["shop"]

    p0, p3 = system.ladders[Severity.P0], system.ladders[Severity.P3]
    assert [(level.after, level.targets, level.until_resolved) for level in p0.levels] == [
        (timedelta(0), ("oncall",), False), (HOUR, ("role:manager", "group:S012AB3CD"), True),
    ]  # fmt: skip
    assert (p0.ack_timeout, p0.answer_within, p0.at_work) == (30 * MINUTE, 5 * MINUTE, False)
    assert (p3.ack_timeout, p3.at_work) == (None, True)
    [infra] = system.issues
    assert (infra.name, infra.match) == ("infra", {"component": ("node",)})
    assert infra.ladders[Severity.P1].waits == (Wait(business_days=1, plain=2 * HOUR),)
    assert infra.ladders[Severity.P0].waits == (Wait(at_work=4 * HOUR),)
    assert {ladder.repeat_every for ladder in infra.ladders.values()} == {10 * MINUTE}
    assert infra.ladders[Severity.P3].at_work
    assert system.calendar is not None
    assert system.calendar.holidays == {date(2026, 12, 25)}
    [work] = system.maintenance
    assert (work.part, work.why, work.window.days) == ("ranker", "patching", {6})


def test_a_drill_s_clock_shortens_delays_and_leaves_days_alone(tmp_path: Path) -> None:
    main = f"{MAIN}demo: {{minute: 1s}}\n"
    system = load(Folder(tmp_path, main=main, profile=PROFILE + LADDERS).write(), ENV, NAMES).policy.systems["shop"]

    assert system.ladders[Severity.P0].levels[1].after == timedelta(minutes=1)
    assert system.issues[0].ladders[Severity.P1].waits == (Wait(business_days=1, plain=timedelta(minutes=2)),)
    assert system.ladders[Severity.P0].ack_timeout == timedelta(seconds=30)


def test_heartbeats_become_what_they_say(tmp_path: Path) -> None:
    settings = load(Folder(tmp_path, main=MAIN + BEATS).write(), ENV, NAMES)

    alertmanager, other = settings.heartbeats
    assert (alertmanager.alert, alertmanager.match) == ("Watchdog", {"cluster": ("east",)})
    assert (alertmanager.silent_after, alertmanager.severity) == (5 * MINUTE, Severity.P0)
    assert (other.alert, other.system, other.severity) == ("", "", Severity.P1)
    assert (settings.pulse.channel, settings.pulse.every) == ("#ops", timedelta(seconds=30))
    assert settings.pulse.token.reveal() == ENV["HOOK"]
    assert settings.delivery.bundle == MINUTE


@pytest.mark.parametrize(("words", "wait"), [
    ("15m", Wait(plain=15 * MINUTE)), ("at once", Wait()), ("0", Wait()), ("next business day", Wait(business_days=1)),
    ("2 business days", Wait(business_days=2)), ("1h30m at work", Wait(at_work=1.5 * HOUR)),
    ("next business day + 8h at work + 5m", Wait(business_days=1, at_work=8 * HOUR, plain=5 * MINUTE)),
])  # fmt: skip
def test_delays_are_written_as_people_say_them(words: str, wait: Wait) -> None:
    assert _wait(words) == wait


@pytest.mark.parametrize(
    "words", ["soon", "0 business days", "business day", "-1h", "1h at play", "", "1h +", "4h at work at work"]
)
def test_other_words_are_no_delay(words: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        _wait(words)


PROFILE_MISTAKES = [
    ("after: at once", "after: later", '"later" is not a duration; write it like 15m, 1h30m or 2s'),
    ("zone: Europe/Berlin\n", "zone: Europe/Atlantis\n", 'unknown time zone "Europe/Atlantis"; use an IANA name'),
    ("group:S012AB3CD", "group:oncall", '"oncall" is no id of a user group; copy it from Slack'),
    ("role:senior", "role:seniors", 'level 1 of kind "infra": role "seniors" is held by nobody'),
    ("person:bob", "person:rob", 'level 1 of kind "infra": unknown person "rob"; did you mean "bob"?'),
    ("hours:\n  zone: Europe/Berlin\n  holidays: [2026-12-25]\n", "", "counts working time, and nobody said when"),
    ("hours:\n  zone: Europe/Berlin\n  holidays: [2026-12-25]\n", "", "at_work: nobody said when the team is at work"),
    ("part: ranker", "part: rankr", 'part "rankr" is no service or model; did you mean "ranker"?'),
    ("closes: 04:00", "closes: 02:00", "a window of 24 hours would hold every page of its days back"),
    ("2026-12-25", "25.12.2026", '"25.12.2026" is not a day; write it like 2026-03-02'),
    ("      every:\n      - {after: 4h at work", "      P1x:\n      - {after: 4h at work", 'unknown key "P1x"'),
    ('{after: 1h, to: ["role:manager", "group:S012AB3CD"], until: resolved}',
     '{after: at once, to: ["role:manager"]}', "level 2 is not later than the one before; raise `after`"),
    ("to: [oncall]}", "to: []}", "level 1 of P0 names nobody"),
    ("escalation:\n", "escalation:\n  P1: []\n", "P1 has no levels; add one, or leave P1 out for the usual ladder"),
    ("      repeat_every: 10m\n", "      P2: []\n", "P2 has no levels; add one, or leave P2 out"),
    ('      - {after: 4h at work, to: ["role:senior"]}\n', "        []\n", "`every` has no levels; add one"),
    ("- {days: [sun], opens: 02:00", "- {opens: 03:00, closes: 01:00, part: ranker}\n- {opens: 02:00",
     "its windows together hold pages about ranker back for 336 h or more without a break; leave some time between"),
    ("- {days: [sun], opens: 02:00", "- {days: [sat], opens: 03:00, closes: 02:59}\n- {opens: 02:00",
     "its windows together hold pages about ranker back for 26 h or more without a break"),
    ("P0: 30m", "P0: never", '"never" is not a duration'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "instead", "told"), PROFILE_MISTAKES)
def test_a_mistake_in_a_ladder_is_told_with_its_line(tmp_path: Path, text: str, instead: str, told: str) -> None:
    assert text in LADDERS
    folder = Folder(tmp_path, profile=PROFILE + LADDERS.replace(text, instead, 1))

    found = [one for one in folder.errors() if told in one]

    assert found, folder.errors()
    assert all(one.startswith("system.yaml:") and int(one.split(":")[1]) > PROFILE.count("\n") for one in found)


@pytest.mark.parametrize("windows", [
    "- {opens: 04:00, closes: 02:00}", "- {days: [sat, sun], opens: 00:00, closes: 23:00, zone: Asia/Kolkata}",
    "- {days: [sat], opens: 03:00, closes: 02:00, part: ranker}\n- {opens: 02:00, closes: 03:00, part: shop-model}",
])  # fmt: skip
def test_planned_work_that_lets_go_every_day_is_fine(tmp_path: Path, windows: str) -> None:
    profile = f"{PROFILE}maintenance:\n{windows}\n"
    assert not [one for one in Folder(tmp_path, profile=profile).errors() if "without a break" in one]


@pytest.mark.parametrize(("text", "instead", "told"), [
    ("system: shop", "system: shpo", 'heartbeat "alertmanager": unknown system "shpo"; did you mean "shop"?'),
    ("alert: Watchdog, ", "", 'heartbeat "alertmanager": `match` needs `alert`'),
    ("silent_after: 10m", "silent_after: 1s", 'heartbeat "other": silent_after is shorter than the bot looks'),
    ("{silent_after: 10m}", "{}", '"silent_after" is missing; add it'),
    ('token: "${env:HOOK}"', "token: hunter2", "is a secret and must not be written here"),
    ('url: "https://other', 'url: "ftp://other', '"url"'),
])  # fmt: skip
def test_a_mistake_in_a_heartbeat_is_told(tmp_path: Path, text: str, instead: str, told: str) -> None:
    assert text in BEATS
    folder = Folder(tmp_path, main=MAIN + BEATS.replace(text, instead, 1))

    assert any(told in one for one in folder.errors()), folder.errors()


def test_only_the_systems_that_are_asked_for_are_served(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert set(load(folder.write(), ENV, NAMES).policy.systems) == {"shop"}
    none = replace(folder, main=f"{MAIN}systems: []\n")
    assert set(load(none.write(), ENV, NAMES).policy.systems) == set()
    wrong = replace(folder, main=f"{MAIN}systems: [shp]\n")
    assert any('unknown system "shp"; did you mean "shop"?' in one for one in wrong.errors())


def test_the_shipped_profiles_are_served_only_by_name(tmp_path: Path) -> None:
    main = MAIN.replace("runbooks: books\n", "")
    assert set(load(Folder(tmp_path, main=main).write(), ENV, NAMES).policy.systems) == set()
