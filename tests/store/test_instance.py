"""One process serves an SQLite file; the second is told so, and a killed one leaves no trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.store import AlreadyRunning, single_instance

HOLDER = """
import sys
from bot.store import single_instance
with single_instance(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "bot.db"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, f"sqlite:///{path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(AlreadyRunning, match=rf"process {holder.pid}\).*bot\.db.*PostgreSQL"),
            single_instance(str(path)),
        ):
            pass
    finally:
        holder.kill()
        holder.communicate(timeout=30)

    with single_instance(str(path)):
        assert (path.parent / "bot.db.lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(AlreadyRunning), single_instance(str(path)):
            pass
    with single_instance(str(path)):
        assert True


def test_another_file_is_another_lock(tmp_path: Path) -> None:
    with single_instance(str(tmp_path / "one.db")), single_instance(str(tmp_path / "two.db")):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["one.db.lock", "two.db.lock"]


def test_on_postgresql_many_may_serve() -> None:
    url = "postgresql://bot@127.0.0.1:1/bot"
    with single_instance(url), single_instance(url):
        assert True
