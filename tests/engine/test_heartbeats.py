"""The dead-man's switch: silence opens an incident, being heard again ends it, and our own absence is no silence."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.config.settings import PulseSettings, Secret
from bot.heartbeats import AWAY, Heartbeats
from bot.model import Alert, IncidentState, Severity
from bot.policy.heartbeat import Heartbeat
from bot.pulse import HEALTHY_FOR, Pulse
from bot.store import Store
from playground.slack import Workspace
from tests.engine.conftest import NewOffice
from tests.engine.office import CHANNEL, Clock, Office
from tests.engine.test_doors import TOKEN, NewBot, new_bot  # noqa: F401
from tests.wire.waiting import until

MINUTE = timedelta(minutes=1)
WATCHDOG = Heartbeat(
    name="alertmanager", silent_after=5 * MINUTE, alert="Watchdog", system="shop", severity=Severity.P1
)
OTHER = Heartbeat(name="other-bot", silent_after=10 * MINUTE, system="shop", severity=Severity.P2)


@pytest.fixture
def ears(office: Office) -> Heartbeats:
    one = Heartbeats(office.engine, [WATCHDOG, OTHER])
    one.look()
    return one


def live(office: Office, ears: Heartbeats, minutes: float, beats: tuple[str, ...] = ()) -> list[str]:
    """Time passes as the ticker sees it: every half minute it looks, and some are heard."""
    silent: list[str] = []
    for _ in range(int(minutes * 2)):
        office.clock.advance(seconds=30)
        for name in beats:
            assert ears.heard(name)
        silent += ears.look()
        office.engine.tick()
    return silent


def watchdog(firing: bool = True, **labels: str) -> Alert:
    return Alert(
        source="alertmanager", fingerprint="w", firing=firing, starts_at=datetime(2026, 1, 1, tzinfo=UTC),
        ends_at=None, labels={"alertname": "Watchdog", **labels}, annotations={},
    )  # fmt: skip


def test_silence_opens_an_incident_and_pages_and_being_heard_again_ends_it(
    office: Office, ears: Heartbeats, ws: Workspace
) -> None:
    assert live(office, ears, 6, beats=("alertmanager", "other-bot")) == []
    assert live(office, ears, 5.5, beats=("other-bot",)) == ["alertmanager"]

    incident = office.incident
    assert (incident.title, incident.severity, incident.subject.system) == ("MonitoringIsSilent", Severity.P1, "shop")
    assert incident.symptom.startswith("Monitoring is silent: alertmanager, last heard at ")
    office.settle(2)
    assert "Monitoring is silent" in ws.as_("alice").sees("Monitoring is silent", channel=CHANNEL).text
    assert live(office, ears, 16, beats=("other-bot",)) == []  # once
    office.settle(2)
    assert len(ws.as_("alice").dms()) == 1  # level 1 of the ladder

    assert ears.heard("alertmanager")
    live(office, ears, 6, beats=("alertmanager", "other-bot"))
    assert office.incident.state is IncidentState.RESOLVED
    assert len(office.store.incidents()) == 1


def test_one_that_was_never_heard_is_silent_too(office: Office, ears: Heartbeats) -> None:
    live(office, ears, 5.5)

    assert "never heard yet" in office.incident.symptom


def test_a_restart_changes_no_due_time(office: Office, ears: Heartbeats) -> None:
    """A bot that is restarted every four minutes still notices five minutes of silence."""
    live(office, ears, 4.5)
    office.clock.advance(seconds=20)  # less than AWAY

    again = Heartbeats(office.engine, [WATCHDOG, OTHER])
    assert live(office, again, 0.5) == ["alertmanager"]


def test_our_own_absence_is_no_silence_of_theirs(office: Office, ears: Heartbeats) -> None:
    """After an outage of two hours each has its full time again: Alertmanager may be knocking at this moment."""
    live(office, ears, 1, beats=("alertmanager", "other-bot"))
    office.clock.advance(hours=2)
    again = Heartbeats(office.engine, [WATCHDOG, OTHER])

    assert again.look() == []
    assert live(office, again, 4.5) == []
    assert live(office, again, 1) == ["alertmanager"]  # it is silent after all: told that much later, not never


def test_an_outage_does_not_end_a_silence_that_was_known(office: Office, ears: Heartbeats) -> None:
    live(office, ears, 5.5)
    office.clock.advance(hours=2)

    assert Heartbeats(office.engine, [WATCHDOG, OTHER]).look() == []
    assert office.incident.is_open
    assert office.store.beats()["alertmanager"].silent_since is not None


def test_a_watchdog_that_is_resolved_says_itself_that_monitoring_stopped(office: Office, ears: Heartbeats) -> None:
    """Alertmanager ends it when Prometheus no longer talks to it: there is nothing to wait for."""
    ears.take(watchdog(), WATCHDOG)
    ears.take(watchdog(firing=False), WATCHDOG)

    assert ears.look() == ["alertmanager"]
    counters = office.store.counters()
    assert (counters["alerts_received"] - counters.get("alerts_new", 0), counters["alerts_heartbeat"]) == (2, 2)


def test_only_its_own_alerts_are_its_beats() -> None:
    east = replace(WATCHDOG, match={"cluster": ("east", "east-2")})

    assert east.is_beat(watchdog(cluster="east"))
    assert not east.is_beat(watchdog(cluster="west"))
    assert not east.is_beat(watchdog())
    assert not replace(WATCHDOG, alert="").is_beat(watchdog())


def test_a_process_that_dies_between_two_writes_repeats_nothing(office: Office, ears: Heartbeats) -> None:
    """The silence is an alert before it is known, and its end is stored before it is forgotten."""
    live(office, ears, 4.5)
    office.clock.advance(seconds=45)
    one = ears._expected["alertmanager"]
    due = office.store.beats()["alertmanager"].due_at
    ears._tell(one, due, firing=True)  # and the process dies
    assert ears.look() == ["alertmanager"]
    assert len(office.store.incidents()) == 1
    assert office.incident.firing == 1

    ears._tell(one, due, firing=False)  # and the process dies
    assert ears.heard("alertmanager")
    assert office.incident.firing == 0
    assert office.incident.total == 1


def test_a_beat_in_the_same_instant_wins(office: Office, ears: Heartbeats, monkeypatch: pytest.MonkeyPatch) -> None:
    live(office, ears, 4.5)
    office.clock.advance(seconds=45)
    tell = ears._tell

    def and_it_is_heard(*args: Any, **more: Any) -> None:
        tell(*args, **more)
        if more["firing"]:
            with office.store.begin() as tx:
                tx.beat_seen("alertmanager", office.clock(), office.clock() + 5 * MINUTE)

    monkeypatch.setattr(ears, "_tell", and_it_is_heard)

    assert ears.look() == []
    assert office.incident.firing == 0  # it resolves by itself
    assert office.store.beats()["alertmanager"].silent_since is None


def test_two_replicas_open_one_incident(store: Store, new_office: NewOffice) -> None:
    one, two = new_office(store), new_office(store, owner="two")
    ears = [Heartbeats(office.engine, [WATCHDOG]) for office in (one, two)]
    ears[0].look()
    for _ in range(11):
        one.clock.advance(seconds=30)
        found = [each.look() for each in ears]

    assert found[1] == []
    assert [incident.title for incident in store.incidents()] == ["MonitoringIsSilent"]


def test_what_is_no_longer_waited_for_ends(office: Office, ears: Heartbeats) -> None:
    live(office, ears, 5.5)
    assert office.incident.firing == 1

    Heartbeats(office.engine, [OTHER]).look()

    assert office.incident.firing == 0
    assert set(office.store.beats()) == {"@bot", "other-bot"}


# the bot's own


def own(store: Store, clock: Clock, **more: Any) -> Pulse:
    return Pulse(PulseSettings(**more), store, clock)


def test_it_goes_out_only_while_the_auditor_finds_nothing_wrong(office: Office, ws: Workspace, clock: Clock) -> None:
    pulse = own(office.store, clock, channel=CHANNEL)
    assert not pulse.beat()  # nobody has looked yet
    pulse.passed()
    assert pulse.beat()
    assert not pulse.beat()  # once a minute
    office.settle(2)
    first = ws.as_("alice").sees("mlops-bot is well", channel=CHANNEL)
    clock.advance(seconds=60)
    assert pulse.beat()
    office.settle(3)
    second = ws.as_("alice").sees("mlops-bot is well", channel=CHANNEL)

    assert (first.ts, first.text != second.text) == (second.ts, True)  # one message, kept up to date
    clock.advance(seconds=HEALTHY_FOR.total_seconds() + 1)
    assert not pulse.beat()
    assert pulse.age_s() == pytest.approx(60 + 3 + 2 + HEALTHY_FOR.total_seconds() + 1, abs=1)


def test_two_bots_watch_each_other(
    new_bot: NewBot,  # noqa: F811
    office: Office,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One's heartbeat is the other's visitor; with a wrong token or name it is refused, and says so without the URL."""
    other = new_bot()
    other.heartbeats = Heartbeats(other.engine, [replace(OTHER, name="shop-bot")])
    url = f"{other.address}/webhooks/heartbeat/shop-bot"
    pulse = own(office.store, clock, url=url, token=Secret(TOKEN))
    pulse.passed()

    assert pulse.beat()
    assert other.store.beats()["shop-bot"].seen_at is not None
    assert 'mlops_heartbeat_silent{heartbeat="shop-bot"} 0.0' in other.metrics()
    assert 'mlops_heartbeat_age_seconds{heartbeat="shop-bot"}' in other.metrics()
    for bad in ({"url": url, "token": Secret("wrong")}, {"url": f"{url}-x", "token": Secret(TOKEN)}):
        refused = own(office.store, clock, **bad)
        refused.passed()
        assert not refused.beat()
    nowhere = own(office.store, clock, url="http://127.0.0.1:9/s3cret")
    nowhere.passed()
    assert not nowhere.beat()
    assert "s3cret" not in caplog.text
    assert {"401", "404"} <= {word.rstrip(".,") for word in caplog.text.split()}


def test_an_alert_that_is_a_beat_opens_nothing_and_its_neighbours_do(new_bot: NewBot) -> None:  # noqa: F811
    bot = new_bot()
    bot.heartbeats = Heartbeats(bot.engine, [WATCHDOG])
    beat = {"labels": {"alertname": "Watchdog"}, "startsAt": "2026-01-01T00:00:00Z", "status": "firing"}
    real = {"labels": {"alertname": "Down", "system": "shop"}, "startsAt": "2026-01-01T00:00:00Z", "status": "firing"}
    body = {"version": "4", "groupKey": "g", "alerts": [beat, real]}

    status, answer = post(bot.address, "/webhooks/alertmanager", body)

    assert status == 200
    assert sorted(one["verdict"] for one in answer["alerts"]) == ["heartbeat", "new"]
    assert len(answer["incidents"]) == 1
    counted = bot.store.counters()
    assert (
        counted["alerts_received"]
        == 2
        == sum(counted.get(f"alerts_{verdict}", 0) for verdict in ("new", "duplicate", "quarantined", "heartbeat"))
    )


def post(address: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
    host, port = address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    found: dict[str, Any] = json.loads(answer.read())
    connection.close()
    return answer.status, found


def test_a_whole_bot_notices_by_its_own_ticker(new_bot: NewBot) -> None:  # noqa: F811
    """The jobs are wired: nothing is called by hand here."""
    bot = new_bot()
    bot.heartbeats = Heartbeats(bot.engine, [replace(WATCHDOG, silent_after=timedelta(seconds=1))])
    assert {"heartbeats", "pulse"} <= {job.name for job in bot._jobs()}
    assert timedelta(seconds=30) < AWAY
    bot.heartbeats.look()

    assert until(lambda: bot.heartbeats.look() or None, within=10) == ["alertmanager"]
