"""The command line on a running town: the same grammar as in Slack, and the same rules."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from playground import parts
from playground.demo.town import CHANNEL, PEOPLE, Town
from playground.slack import user_id

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "alertmanager_firing.json"


@pytest.fixture(scope="module")
def one() -> Iterator[Town]:
    with Town(with_system=False, limits="off", cache_dir=parts.cache_dir()) as town:
        yield town


def test_a_stored_webhook_is_replayed_into_the_running_bot(one: Town) -> None:
    """`replay` feeds the file as if it had been posted, and the running bot shows it; twice changes nothing."""
    done = one.run("replay", str(GOLDEN))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["alerts_new"] == 1
    one.as_("alice").looks_at(CHANNEL).sees("P1", within=10)
    assert json.loads(one.run("replay", str(GOLDEN)).stdout)["alerts_duplicate"] == 1
    missing = one.run("replay", "nowhere.json")
    assert missing.returncode == 1
    assert "Traceback" not in missing.stderr


def test_the_shell_speaks_the_same_grammar(one: Town) -> None:
    """Whoever the configuration does not know may look, not steer; a listed login acts as that person."""
    assert "INC-1" in one.run("run", "status").stdout
    refused = one.run("run", "ack INC-1")
    assert refused.returncode == 1
    assert "don't know you" in refused.stdout
    people = {
        key: {"user_id": user_id(key), "name": key, "roles": list(roles)}
        for key, (_, _, roles) in PEOPLE.items() if roles
    }  # fmt: skip
    people["alice"]["shell_user"] = getpass.getuser()
    one.write_config(people=people)
    taken = one.run("run", "ack", "INC-1")
    assert (taken.returncode, "@alice is on it" in taken.stdout) == (0, True), taken.stdout + taken.stderr
    one.as_("alice").sees("alice", within=10, channel=CHANNEL)  # the running bot shows it
    listed = json.loads(one.run("incidents", "--json").stdout)
    assert [(found["id"], found["state"]) for found in listed] == [("INC-1", "acknowledged")]


def test_usage_and_configuration_errors_have_their_exit_codes(one: Town, tmp_path: Path) -> None:
    """2 for wrong usage, 1 for what is wrong with file and line, 0 for fine."""
    assert one.run("nonsense").returncode == 2
    broken = tmp_path / "mlops.yaml"
    broken.write_text("slack:\n  mod: socket\n")
    wrong = one.run("--config", str(broken), "check")
    assert wrong.returncode == 1
    assert "mlops.yaml:2: unknown key" in wrong.stdout
    assert one.run("check").returncode == 0, one.run("check").stdout
    told = one.run("doctor")
    assert told.returncode == 1  # MLflow, the server and Prometheus are not there
    assert "yes  Slack" in told.stdout
    assert "NO   playground: registry" in told.stdout


def test_a_second_process_on_the_same_file_is_refused(one: Town) -> None:
    """SQLite is for one; the second says who is there and what to do."""
    second = one.run("serve")
    assert second.returncode == 1
    assert "serves" in second.stderr
    assert "PostgreSQL" in second.stderr
