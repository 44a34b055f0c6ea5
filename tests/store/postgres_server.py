"""A PostgreSQL server of our own on a free loopback port, as long as the block lasts."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

START_DEADLINE_S = 30
OWNER = "bot"


class Server:
    """A server that can be stopped and started again. Databases are made from one that is migrated already."""

    def __init__(self, port: int, command: Sequence[str], folder: Path, user: dict[str, Any]) -> None:
        self.port = port
        self._made = 0
        self._command, self._folder, self._user = tuple(command), folder, user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, cwd=self._folder, env=_environment(), **self._user
            )
        _wait(self, self._process, log)

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop it; by default open sessions are ended in good order, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=START_DEADLINE_S)
            self._process = None

    def url(self, database: str) -> str:
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template0") -> str:
        """The URL of a new database."""
        self._made += 1
        name = f"test_{self._made}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def emptied(self, database: str, tables: Sequence[str]) -> str:
        """The URL of a database whose tables were emptied; much faster than a new one."""
        # As a replica would: the audit's triggers do not fire.
        listed = ", ".join(f'"{table}"' for table in tables)
        statement = f"SET session_replication_role = replica; TRUNCATE {listed} RESTART IDENTITY CASCADE"
        self.run(statement, database)
        return self.url(database)

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement outside a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def drop(self, url: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {sa.make_url(url).database} WITH (FORCE)")


@contextmanager
def running(program: Path) -> Iterator[Server]:
    """Start `program` (postgres) on a new cluster and stop it at the end. As root it runs as somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="mlops-postgres-"))
    server: Server | None = None
    try:
        user = _unprivileged()
        if user:
            os.chown(folder, user["user"], user["group"])
        data = folder / "data"
        initdb = [program.with_name("initdb"), "-D", data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        _run([*initdb, "--no-sync"], user, folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # Nothing here outlives the test, so nothing has to reach the disk.
        settings = ("fsync=off", "full_page_writes=off", "max_connections=100", "listen_addresses=127.0.0.1")
        command = [str(program), "-D", str(data), "-p", str(port), "-k", str(folder)]
        command += [word for setting in settings for word in ("-c", setting)]
        server = Server(port, command, folder, user)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> dict[str, Any]:
    """Arguments of Popen that give root's rights up; empty when there are none to give up."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _run(command: Sequence[object], user: dict[str, Any], folder: Path) -> None:
    words = [str(word) for word in command]
    subprocess.run(words, check=True, capture_output=True, cwd=folder, env=_environment(), timeout=60, **user)


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            server.run("SELECT 1")
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}") from None
            time.sleep(0.05)
