"""Due times: what 100,000 pending ones cost, how late 200 a second fire, how fast rows are claimed, and a restart.

Everything runs on a file and on a PostgreSQL of its own, with nothing else beside it; the engine is the production
one, ticked as often as the ticker does. A claim is compared with the barest loop that could do it on the same database.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
import yaml

from bench.figure import Figure
from bot.app import TICK_S
from bot.effects import Decision
from bot.engine import Engine, Incoming
from bot.model import Alert, Severity, Subject, Who
from bot.policy import Person, Policy, SeverityRule, System
from bot.store import Store
from bot.store.tables import incident, outbox, timer
from playground import parts
from playground.system.processes import free_port
from tests.store.postgres_server import running

PENDING = 100_000
A_SECOND, FOR_S = 200, 10
TOGETHER = 10  # incidents that open in one webhook, and fall due together
CLAIMS = 400
OPEN = 10_000
FIRST_LEVEL = timedelta(minutes=15)
MOST_LATE_S = 1.0
MOST_READY_S = 3.0
FLAT = 2.0  # how much dearer an idle tick may be with all of them pending than with a hundred
LEASE = timedelta(seconds=30)


class Clock:
    """A clock that a benchmark sets."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Watched(Engine):
    """Notes when each decision was committed."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.committed: dict[str, datetime] = {}

    def _tell(self, decision: Decision) -> None:
        super()._tell(decision)
        if decision.incident is not None:
            self.committed[decision.incident.id] = self.now()


def measure() -> Iterator[Figure]:
    """The figures of both databases, then the restart."""
    for name, place in (("sqlite", _on_file), ("postgresql", _on_postgres)):
        with place() as url:
            if not url:
                print(f"# PostgreSQL is not on this machine: no figure of timers_{name}", flush=True)
                continue
            yield from _timers(name, url)
    yield _restart()


def _timers(name: str, url: str) -> Iterator[Figure]:
    store = Store(url, audit_key=b"a key that nobody guesses")
    store.migrate()
    clock = Clock()
    engine = Watched(store, _policy(), clock)
    due = _open_incidents(engine, clock)
    few = _idle_tick_s(engine, clock)
    _add_pending(store, next(iter(due)), max(due.values()))
    many = _idle_tick_s(engine, clock)
    yield Figure(
        name=f"tick_idle_100k_{name}", value=many * 1e6, unit="us", ratio=many / few, of="tick_idle_few",
        at_most=few * FLAT * 1e6,
    )  # fmt: skip
    late = sorted(_lateness_s(engine, clock, due))
    yield Figure(name=f"timer_late_p50_{name}", value=_at(late, 0.5), unit="s")
    yield Figure(name=f"timer_late_p99_{name}", value=_at(late, 0.99), unit="s", at_most=MOST_LATE_S)
    for limit in (1, 8):
        ours, bare = _claims_per_s(store, clock, limit), _bare_claims_per_s(store, url, limit)
        yield Figure(
            name=f"claims_of_{limit}_{name}", value=ours, unit="1/s", ratio=ours / bare, of="bare_update_returning"
        )
    store.close()


def _policy() -> Policy:
    alice = Person(key="alice", who=Who(team_id="T1", user_id="U1", name="alice"), roles=frozenset({"oncall"}))
    match = {"severity": ("critical",)}
    rules = (SeverityRule(name="all", severity=Severity.P0, because="it is a benchmark", match=match),)
    shop = System(name="shop", channel="#shop", oncall=("alice",), catch_all=("channel:#shop",), severity_rules=rules)
    return Policy(people=(alice,), systems={"shop": shop}, default=System(name="", channel="#shop"))


def _open_incidents(engine: Watched, clock: Clock) -> dict[str, datetime]:
    """Incidents whose first level falls due one after the other, 200 a second: id → when."""
    start = clock()
    due: dict[str, datetime] = {}
    for batch in range(A_SECOND * FOR_S // TOGETHER):
        opens_at = start + timedelta(seconds=batch * TOGETHER / A_SECOND)
        engine.now = lambda opens_at=opens_at: opens_at
        incoming = [_incoming(batch * TOGETHER + place, opens_at) for place in range(TOGETHER)]
        for incident_id in engine.take_in(incoming, [], 0).incidents:
            due[incident_id] = opens_at + FIRST_LEVEL
    engine.now = clock
    return due


def _incoming(number: int, at: datetime) -> Incoming:
    labels = {"alertname": f"Alert{number}", "system": "shop", "severity": "critical"}
    alert = Alert(
        source="alertmanager", fingerprint=f"{number:016x}", firing=True, starts_at=at, ends_at=None, labels=labels,
        annotations={"summary": f"alert {number}"}, url="",
    )  # fmt: skip
    return Incoming(alert=alert, key=f"shop/{number}", subject=Subject(system="shop"))


def _add_pending(store: Store, incident_id: str, after: datetime) -> None:
    """Timers that wait for tomorrow."""
    rows = [
        {"incident_id": incident_id, "kind": "escalate", "epoch": 0, "number": number, "plan_id": "bench",
         "due_at": after + timedelta(days=1, seconds=number), "state": "armed"}
        for number in range(PENDING)
    ]  # fmt: skip
    with _writing(store) as connection:
        connection.execute(timer.insert(), rows)
        connection.execute(sa.text("ANALYZE"))


def _idle_tick_s(engine: Watched, clock: Clock, times: int = 300) -> float:
    """The median of a tick with nothing due."""
    clock.ahead = timedelta(0)
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        engine.tick()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def _lateness_s(engine: Watched, clock: Clock, due: dict[str, datetime]) -> list[float]:
    """Let the due times come while the engine is ticked as in production; from due to committed, for each."""
    clock.ahead = min(due.values()) - datetime.now(UTC) - timedelta(seconds=0.5)
    engine.committed.clear()
    enough = threading.Event()
    deadline = time.monotonic() + 6 * FOR_S
    while len(engine.committed) < len(due) and time.monotonic() < deadline:
        began = time.monotonic()
        engine.tick()
        enough.wait(max(TICK_S - (time.monotonic() - began), 0))
    end = clock()
    return [(engine.committed.get(one, end) - at).total_seconds() for one, at in due.items()]


def _claims_per_s(store: Store, clock: Clock, limit: int) -> float:
    """Claims in a second, as the delivery makes them, of `limit` rows each; there are more rows than are claimed."""
    _put_back(store)
    turns = CLAIMS // limit
    began = time.perf_counter()
    taken = sum(len(store.claim("slack", "bench", clock() + timedelta(days=1), LEASE, limit)) for _ in range(turns))
    took = time.perf_counter() - began
    if taken != turns * limit:
        raise AssertionError(f"only {taken} of {turns * limit} rows were claimed")
    return taken / took


_BARE = (
    "UPDATE outbox SET state = 'sending', owner = 'bare', lease_until = {at} WHERE seq IN "
    "(SELECT seq FROM outbox WHERE lane = 'slack' AND state = 'pending' ORDER BY priority, seq LIMIT {limit}{lock}) "
    "RETURNING id, payload"
)


def _bare_claims_per_s(store: Store, url: str, limit: int) -> float:
    """The same number of rows by one statement and one commit each, straight through the driver."""
    _put_back(store)
    turns = CLAIMS // limit
    with ExitStack() as stack:
        if store.is_sqlite:
            file = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            stack.callback(file.close)
            file.execute("PRAGMA synchronous=FULL")
            run: Callable[[str], Any] = file.execute
        else:
            run = stack.enter_context(psycopg.connect(url, autocommit=True)).execute
        lock = "" if store.is_sqlite else " FOR UPDATE SKIP LOCKED"
        began = time.perf_counter()
        for turn in range(turns):
            run(_BARE.format(at=turn, limit=limit, lock=lock)).fetchall()
        return turns * limit / (time.perf_counter() - began)


def _writing(store: Store) -> AbstractContextManager[sa.Connection]:
    """Behind the store's back: a benchmark makes up what years would bring."""
    return store._database.write()  # noqa: SLF001


def _put_back(store: Store) -> None:
    with _writing(store) as connection:
        pending = {"state": "pending", "owner": "", "lease_until": None, "attempt": 0}
        connection.execute(sa.update(outbox).where(outbox.c.lane == "slack").values(pending))


# restart


def _restart() -> Figure:
    """From the start of `mlops-bot serve` until it is ready, with many incidents open; the middle one of three."""
    with tempfile.TemporaryDirectory(prefix="bench-restart-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'bot.db'}"
        _fill(url)
        ready = [_ready_s(folder, url) for _ in range(3)]
        return Figure(name="restart_10k_open", value=statistics.median(ready), unit="s", at_most=MOST_READY_S)


def _fill(url: str) -> None:
    """Open incidents with a ladder each and a headline that is out: one real one, copied."""
    store = Store(url, audit_key=b"a key that nobody guesses")
    store.migrate()
    engine = Engine(store, _policy(), Clock())
    now = datetime.now(UTC)
    engine.take_in([_incoming(0, now)], [], 0)
    with _writing(store) as connection:
        one = connection.execute(sa.select(incident)).mappings().one()
        ladder = [dict(row) for row in connection.execute(sa.select(timer)).mappings()]
        head = connection.execute(sa.select(outbox).where(outbox.c.kind == "headline")).mappings().one()
        connection.execute(sa.delete(outbox).where(outbox.c.lane == "work"))
        sent = {"state": "sent", "place_channel": "C1", "place_ts": "1.0", "settled_at": now}
        connection.execute(sa.update(outbox).values(sent))
        numbers = range(2, OPEN + 1)
        rows = [{**one, **_renamed(one["id"], one["document"], n)} for n in numbers]
        connection.execute(incident.insert(), rows)
        connection.execute(timer.insert(), [
            {**row, "id": None, "incident_id": f"INC-{n}"} for n in numbers for row in ladder])  # fmt: skip
        connection.execute(outbox.insert(), [
            {**head, **sent, "seq": None, "id": f"INC-{n}:headline", "incident_id": f"INC-{n}"} for n in numbers
        ])  # fmt: skip
    store.close()


def _renamed(was: str, document: str, number: int) -> dict[str, object]:
    return {
        "id": f"INC-{number}", "number": number, "key": f"shop/{number}",
        "document": document.replace(f'"{was}"', f'"INC-{number}"').replace('"shop/0"', f'"shop/{number}"'),
    }  # fmt: skip


def _ready_s(folder: Path, url: str) -> float:
    port = free_port()
    config = folder / "mlops.yaml"
    runbooks = folder / "runbooks"
    runbooks.mkdir(exist_ok=True)
    roles = ["senior", "oncall"]
    people = {key: {"user_id": f"U{key.upper()}", "name": key, "roles": roles} for key in ("a1", "b2", "c3")}
    config.write_text(yaml.safe_dump({
        "slack": {"mode": "http", "team_id": "T1"}, "http": {"listen": f"127.0.0.1:{port}"},
        "runbooks": str(runbooks), "people": people, "defaults": {"channel": "#shop", "oncall": ["a1"]},
    }))  # fmt: skip
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("SLACK_", "MLOPS_"))},
        "MLOPS_CONFIG": str(config), "MLOPS_DATABASE_URL": url, "MLOPS_WEBHOOK_TOKEN": "bench-webhook-token",
        "MLOPS_SECRET_KEY": "bench-secret-key-bench", "SLACK_BOT_TOKEN": "xoxb-bench", "SLACK_SIGNING_SECRET": "bench",
        "SLACK_API_URL": "http://127.0.0.1:9/api/", "PYTHONDONTWRITEBYTECODE": "",
    }  # fmt: skip
    with (folder / "log").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "serve", "--log-level", "error"], env=environment, stdout=log, stderr=log
        )
        try:
            while not _is_ready(port):
                if process.poll() is not None or time.monotonic() - began > 60:
                    raise RuntimeError(f"serve did not become ready: {(folder / 'log').read_text()[-2000:]}")
                time.sleep(0.01)
            return time.monotonic() - began
        finally:
            process.kill()
            process.wait(timeout=20)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(json.loads(answer.read())["ok"])
    except (urllib.error.URLError, OSError):
        return False


def _at(values: list[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)]


@contextmanager
def _on_file() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="bench-timers-"))
    try:
        yield f"sqlite:///{folder / 'bot.db'}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _on_postgres() -> Iterator[str]:
    """The address of an empty database, "" where there is no server."""
    program = parts.find("postgres")
    if program is None:
        yield ""
        return
    with running(program) as server:
        yield server.new_database()
