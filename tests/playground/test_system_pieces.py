"""The pieces of the playground that need no server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from playground.system import monitoring, prepared, rules
from playground.system.data import INTENTS, INTENTS_AS_REEXPORTED, join_labels, load_split
from playground.system.faults import Faults
from playground.system.guard import started_at
from playground.system.metrics import AccuracyWindow
from playground.system.monitoring import Pace, Webhook
from playground.system.processes import Parts, StartFailed, TimedOut, wait_until
from playground.system.reference import FLICKER, flickering
from playground.system.served import ServedRows
from playground.system.serving import BadRequest
from playground.system.webhook import build_webhook, fingerprint

GOLDEN = Path(__file__).parents[1] / "golden"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_no_row_is_both_learnt_from_and_held_back() -> None:
    split = load_split()
    sizes = [len(split.train_rows), len(split.validation_rows), len(split.held_back_rows)]
    assert sizes == [1000, 300, 497]


def test_the_faulty_join_mislabels_exactly_six_intents() -> None:
    wrong = [old for old, new in zip(INTENTS, INTENTS_AS_REEXPORTED, strict=True) if old != new]
    assert len(wrong) == 6
    assert sorted(INTENTS) == sorted(INTENTS_AS_REEXPORTED)
    codes = load_split().held_back_codes
    share = (join_labels(codes, INTENTS) == join_labels(codes, INTENTS_AS_REEXPORTED)).mean()
    assert 0.38 < share < 0.42


def test_there_is_no_accuracy_before_enough_labels_and_none_of_the_old_version() -> None:
    window = AccuracyWindow(size=4, minimum=2)
    window.start("2")
    window.add("2", [True])
    assert window.accuracy() is None
    window.add("2", [False, True, True, True, True])
    assert window.accuracy() == 1.0
    window.start("3")
    window.add("2", [True, True])
    assert window.accuracy() is None
    window.add("3", [True, False])
    assert window.accuracy() == 0.5


def test_a_window_that_can_never_speak_is_refused() -> None:
    with pytest.raises(ValueError, match="between 1 and the size"):
        AccuracyWindow(size=2, minimum=3)


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"latency": 1}, {"latency_seconds": -1}, {"latency_seconds": True}, {"latency_seconds": 31}],
)
def test_a_wrong_fault_changes_nothing(body: Any) -> None:
    faults = Faults()
    before = faults.state()
    with pytest.raises(BadRequest):
        faults.change(body)
    assert faults.state() == before


def test_faults_add_up_until_cleared() -> None:
    off = {"latency_seconds": 0.0, "fail_predict": False, "refuse_reload": None, "blank_feature": 0.0}
    faults = Faults()
    assert not faults.change({"latency_seconds": 0.5})
    assert faults.change({"fail_predict": True, "unload": True})
    assert faults.state() == off | {"latency_seconds": 0.5, "fail_predict": True}
    faults.change({"clear": True})
    assert faults.state() == {
        "latency_seconds": 0.0,
        "fail_predict": False,
        "refuse_reload": None,
        "blank_feature": 0.0,
    }


@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_the_webhook_we_build_is_the_one_alertmanager_sends(status: str) -> None:
    real = json.loads((GOLDEN / f"alertmanager_{status}.json").read_text())
    (alert,) = real["alerts"]
    built = build_webhook(
        float(alert["annotations"]["value"]),
        started_at=datetime.fromisoformat(alert["startsAt"]),
        ended_at=datetime.fromisoformat(alert["endsAt"]) if status == "resolved" else None,
        instance=alert["labels"]["instance"],
        source_url=real["externalURL"],
    )
    built["alerts"][0]["generatorURL"] = alert["generatorURL"]
    value = alert["annotations"]["value"]  # Prometheus writes more digits than we do
    built["alerts"][0]["annotations"]["value"] = built["commonAnnotations"]["value"] = value
    assert built == real


def test_the_fingerprint_depends_on_every_label_and_not_on_their_order() -> None:
    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    assert fingerprint({"a": "1", "b": "2"}) != fingerprint({"a": "12", "b": ""})


def test_every_alert_says_how_bad_which_model_and_where_the_runbook_is() -> None:
    (group,) = yaml.safe_load(rules.rule_file())["groups"]
    alerts = [rule for rule in group["rules"] if rule["alert"] != rules.WATCHDOG]
    assert len(alerts) == 5
    for alert in alerts:
        assert set(alert["labels"]) == {"severity", "system", "service", "model", "signal", "environment"}
        assert set(alert["annotations"]) == {"summary", "description", "value", "bound", "runbook_url"}


def test_only_the_owner_may_read_the_webhook_token(tmp_path: Path) -> None:
    webhook = Webhook(url="http://127.0.0.1:1/x", token="t0ken")
    path = monitoring.alertmanager_config(tmp_path, webhook, Pace(group_interval="7s"))
    config = yaml.safe_load(path.read_text())
    assert path.stat().st_mode & 0o077 == 0
    assert config["route"]["group_interval"] == "7s"
    (target,) = config["receivers"][1]["webhook_configs"]
    assert target["http_config"]["authorization"] == {"type": "Bearer", "credentials": "t0ken"}


def test_a_part_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    running = Parts(tmp_path)
    try:
        part = running.start("fragile", [sys.executable, "-c", "print('no disk left'); raise SystemExit(3)"])
        wait_until(lambda: not part.is_running(), what="it ends", timeout_seconds=10)
        with pytest.raises(StartFailed, match=r"fragile ended with status 3(.|\n)*no disk left"):
            part.ensure_running()
    finally:
        running.close()


def test_waiting_ends_with_what_was_seen_last() -> None:
    with pytest.raises(TimedOut, match=r"the moon is full: not within 0\.2 s \(last seen: 'half'\)"):
        wait_until(lambda: "half", what="the moon is full", timeout_seconds=0.2, is_met=lambda seen: seen == "full")


def test_nothing_is_left_running_when_the_starter_is_killed(tmp_path: Path) -> None:
    starter = (
        "import sys, time; from pathlib import Path; from playground.system.processes import Parts\n"
        "part = Parts(Path(sys.argv[1])).start('sleeper', ['sleep', '300']); print(part.pid, flush=True)\n"
        "time.sleep(300)"
    )
    command = [sys.executable, "-c", starter, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        sleeper = int(process.stdout.readline())
        assert started_at(sleeper) is not None
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: _is_gone(sleeper), what="the sleeper is ended too", timeout_seconds=10)
    assert _is_gone(sleeper)


def _is_gone(pid: int) -> bool:
    """Ended, or only waiting to be collected by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_an_empty_cache_gives_nothing(tmp_path: Path) -> None:
    assert not prepared.take(tmp_path / "none", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_served_rows_are_kept_whole_and_bounded(tmp_path: Path) -> None:
    """Who reads the file in between finds a header and whole lines, the newest ones, also after a new start."""
    path = tmp_path / "served.csv"
    for start in range(0, 60, 5):
        kept = ServedRows(path, most=20)  # as a restarted server would
        kept.add([[value / 100] * 64 for value in range(start, start + 5)], ["greeting"] * 5, "2")
        lines = path.read_text().splitlines()
        assert lines[0].startswith("at,version,pixel_0_0,")
        assert {line.count(",") for line in lines} == {66}
        assert len(lines) <= 21
    assert lines[-1].endswith(",greeting")
    assert ",0.59000," in lines[-1]


def test_rows_sent_round_and_round_are_not_each_others_copies() -> None:
    split = load_split()
    first, second = flickering(split.held_back_rows, seed=1), flickering(split.held_back_rows, seed=2)
    assert not (first == second).all(axis=1).any()
    assert float(abs(first - split.held_back_rows).max()) <= FLICKER
