"""A command that makes a server load anew: run word for word, without a shell, without our secrets, and bounded."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from bot.ports import Foreign
from handlers.backends import reload_command


def client(run: str, **more: str) -> Any:
    return reload_command.BACKEND.build({"run": run, **more})


def problem_of(one: Any, name: str = "") -> Foreign:
    with pytest.raises(Foreign) as raised:
        one.make_load(name)
    return raised.value


def test_it_runs_and_says_so(tmp_path: Path) -> None:
    one = client("touch {name}.flag", folder=str(tmp_path))
    assert one.how("api") == "Run `touch api.flag`, which makes the server load anew."
    assert one.make_load("api") == "The command `touch api.flag` ended well."
    assert (tmp_path / "api.flag").exists()
    assert reload_command.BACKEND.check(one) == "touch is there"


def test_nothing_is_read_by_a_shell(tmp_path: Path) -> None:
    client("touch 'a b' $(id) ;", folder=str(tmp_path)).make_load("")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["$(id)", ";", "a b"]


@pytest.mark.parametrize("name", ["", "a b", "-rf", "../x", "x;y", "a" * 200])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    problem = problem_of(client("touch {name}", folder=str(tmp_path)), name)
    assert (problem.reason, problem.happened) == ("invalid", False)
    assert list(tmp_path.iterdir()) == []


def test_our_environment_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_SECRET_KEY", "canary-4711")
    client(f"sh -c 'env > {tmp_path}/env'").make_load("")
    assert "canary-4711" not in (tmp_path / "env").read_text()
    assert os.environ["MLOPS_SECRET_KEY"] == "canary-4711"


def test_a_failure_tells_status_and_last_line() -> None:
    problem = problem_of(client("sh -c 'echo first; echo no such unit >&2; exit 5'"))
    assert (problem.reason, problem.happened) == ("broken", None)
    assert problem.sentence.endswith("failed with status 5: no such unit.")
    long = problem_of(client("sh -c 'head -c 3000000 /dev/zero | tr \"\\\\0\" x; exit 1'"))
    assert len(long.sentence) < 400


def test_what_takes_too_long_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload_command, "RUN_S", 0.4)
    began = time.monotonic()
    problem = problem_of(client(f"sh -c 'sleep 60 & echo $! > {tmp_path}/child; wait'"))
    assert (problem.reason, problem.happened) == ("timeout", None)
    assert time.monotonic() - began < 20
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < deadline, "the child goes on"
        time.sleep(0.02)


def _lives(process: int) -> bool:
    """False for one that is gone, or dead and not fetched yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    one = client("no-such-program-4711")
    assert (problem_of(one).reason, problem_of(one).happened) == ("not_found", False)
    with pytest.raises(Foreign):
        reload_command.BACKEND.check(one)
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(stat.S_IRUSR)
    assert problem_of(client(str(script))).reason == "not_found"


@pytest.mark.parametrize("run", ["", "   ", "sh -c 'unfinished"])
def test_wrong_settings(run: str) -> None:
    with pytest.raises(ValueError, match="run"):
        reload_command.BACKEND.build({"run": run})
