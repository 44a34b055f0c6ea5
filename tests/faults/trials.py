"""The trials. Each is a function that plays a fault on a ground and returns what the recipients saw.

Every trial is seeded, so it picks the same faults each time; when they hit is up to the machine.
"""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from playground.slack import user_id
from tests.faults import databases
from tests.faults.ground import Ground, Load, Replica
from tests.faults.record import Count, count, judge, longest_after, overdue, wait_for_all
from tests.faults.wrapped import MARKS
from tests.store.postgres_server import Server

STALL_S = 5.0  # a clock that is set stops nothing for longer
OVERDUE_S = 5.0  # after an outage every overdue page is out within this
SLACK_PER_S = 20.0  # Slack takes several hundred messages a minute from a workspace; this is 1,200
SLACK_S = 0.15  # a call to the real Slack takes about this, and a process may die in the midst of it
LEASE_S = 21.0  # the shortest that delivery uses


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the runner asks of a trial."""

    scale: float = 1.0  # of the load
    seed: int = 1
    plant: str = ""  # bug to put into every process


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A trial by its name."""

    name: str
    about: str
    run: Callable[[Asked], Count]
    must_fail: bool = False  # it has a planted bug, and the suite is worth something only if it finds it
    is_reference: bool = False  # somebody else's program, to compare with: held to no bound


FULL = Load()
SOME = Load(incidents=30, over_s=12)
# One page for each person, and about 120 overdue at the start: already more than Slack takes within seconds.
OUTAGE = replace(SOME, incidents=20, systems=20, over_s=8)
FEW = Load(incidents=20, levels=3, systems=10, over_s=10, first_after_s=3, gap_s=3)
# libfaketime makes every look at a clock, and every wait, cost a multiple: with the load of the others the processor
# would be the fault that is measured.
UNDER_FAKETIME = replace(FEW, incidents=12, over_s=20)


def scaled(load: Load, asked: Asked) -> Load:
    """The load with fewer incidents, and in less time."""
    return replace(load, incidents=max(int(load.incidents * asked.scale), 4), over_s=max(load.over_s * asked.scale, 2))


@contextmanager
def on_sqlite(load: Load, asked: Asked, *, environment: dict[str, str] | None = None) -> Iterator[Ground]:
    """One replica on a file."""
    folder = Path(tempfile.mkdtemp(prefix="mlops-faults-"))
    url = f"sqlite:///{folder / 'bot.db'}"
    with Ground(load, url, seed=asked.seed, folder=folder, environment=environment) as ground:
        yield ground


@contextmanager
def on_postgres(load: Load, asked: Asked, *, replicas: int = 3) -> Iterator[tuple[Ground, Server]]:
    """Three replicas on one server."""
    with (
        databases.postgres() as server,
        Ground(load, server.new_database(), seed=asked.seed, replicas=replicas) as ground,
    ):
        yield ground, server


# random kills


class Killer:
    """Starts and kills one replica over and over, in a thread."""

    def __init__(self, replica: Replica, asked: Asked, number: int, marks: Sequence[str]) -> None:
        self._replica, self._plant, self._marks = replica, asked.plant, tuple(marks)
        self._chance = random.Random(f"{asked.seed}/{number}")
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.crashes = 0
        self.hits: dict[str, int] = {}

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """No more kills; returns with the replica dead."""
        self._enough.set()
        self._thread.join(timeout=60)
        self._replica.kill()

    def _run(self) -> None:
        while not self._enough.is_set():
            mark = ""
            if self._marks and self._chance.random() < 0.6:
                mark = f"{self._chance.choice(self._marks)}:{self._chance.randint(1, 12)}"
            self._replica.start(mark=mark, plant=self._plant, wait=False)
            self._live(self._chance.uniform(0.2, 3.0), mark)

    def _live(self, for_s: float, mark: str) -> None:
        """Let it live for a while after it is ready (now and then it does not get that far), then kill it."""
        if self._chance.random() < 0.85:
            self._replica.wait_until_ready()
        deadline = time.monotonic() + for_s
        while time.monotonic() < deadline and self._replica.is_alive():
            time.sleep(0.02)
        name = "anywhere" if self._replica.kill() else mark.partition(":")[0]
        self.crashes += 1
        self.hits[name] = self.hits.get(name, 0) + 1


def killed(name: str, ground: Ground, asked: Asked, *, marks: Sequence[str] = tuple(sorted(MARKS))) -> Count:
    """Kill every replica of the ground at random until the load is through."""
    ground.workspace.world.latency_s = SLACK_S
    killers = [Killer(replica, asked, number, marks) for number, replica in enumerate(ground.replicas)]
    for killer in killers:
        killer.start()
    ground.post_alerts()
    time.sleep(ground.load.over_s + ground.load.ladder_s)
    for killer in killers:
        killer.finish()
    ground.crashes = sum(killer.crashes for killer in killers)
    began_at = start_in_order(ground, asked)
    ground.wait_until_posted(30)
    wait_for_all(ground, ground.load.ladder_s + 60)
    counted = count(name, ground)
    tell_overdue(counted, ground, began_at)
    hits: dict[str, int] = {}
    for killer in killers:
        hits = {place: hits.get(place, 0) + killer.hits.get(place, 0) for place in {*hits, *killer.hits}}
    counted.notes.append("killed at: " + ", ".join(f"{place} {times}" for place, times in sorted(hits.items())))
    # Each kill adds to what waits, so that much more may be overdue at the last start than Slack takes in five seconds.
    pace_s = overdue(ground, began_at) / SLACK_PER_S
    return judge(counted, doubled_at_most=ground.crashes, after_start_s=max(OVERDUE_S, pace_s))


def start_in_order(ground: Ground, asked: Asked) -> float:
    """Start every replica, each when the one before is ready, as a rollout does; returns when the first was started.

    On machines of their own three may start at once; on a few cores they would only slow each other down.
    """
    for replica in ground.replicas:
        replica.start(plant=asked.plant)
    return ground.replicas[0].lives[-1].began_at


def tell_overdue(counted: Count, ground: Ground, began_at: float) -> None:
    """Write down how long what was overdue at a start took from there, and how much it was."""
    counted.after_start_s = longest_after(ground, began_at)
    counted.notes.append(f"{overdue(ground, began_at)} pages were overdue at the start, the last one was out "
                         f"{counted.after_start_s:.1f} s after it")  # fmt: skip


def sqlite_kill(asked: Asked) -> Count:
    """kill -9 at marked and unmarked points, one replica on SQLite."""
    with on_sqlite(scaled(replace(FULL, over_s=70), asked), asked) as ground:
        return killed("sqlite-kill", ground, asked)


def postgres_kill(asked: Asked) -> Count:
    """The same with three replicas on PostgreSQL."""
    with on_postgres(scaled(replace(FULL, over_s=75), asked), asked) as (ground, _):
        return killed("postgres-kill", ground, asked)


# frozen


def frozen(asked: Asked) -> Count:
    """Replicas stop (SIGSTOP) at the worst places for longer than their lease, and go on (SIGCONT) afterwards."""
    load = scaled(replace(SOME, incidents=60, over_s=40), asked)
    with on_postgres(load, asked) as (ground, _):
        freezes = ["freeze-claimed:6", "freeze-looked:6", "freeze-sent:6"]
        for replica, mark in zip(ground.replicas, freezes, strict=True):
            replica.start(mark=mark, plant=asked.plant)
        ground.post_alerts()
        _thaw_each(ground, until=time.monotonic() + load.over_s + load.ladder_s)
        ground.wait_until_posted(60)
        wait_for_all(ground, load.ladder_s + 60, quiet_s=4)
        counted = count("frozen" + (f"+{asked.plant}" if asked.plant else ""), ground)
        return judge(counted, doubled_at_most=0)


def _thaw_each(ground: Ground, until: float) -> None:
    """Let every replica that froze itself go on after its lease has run out, and freeze healthy ones at random too."""
    frozen_at: dict[str, float] = {}
    done = 0
    while time.monotonic() < until or frozen_at:
        now = time.monotonic()
        for replica in ground.replicas:
            if replica.is_stopped() and replica.name not in frozen_at:
                frozen_at[replica.name] = now
            elif replica.name in frozen_at and now - frozen_at[replica.name] > LEASE_S + 12:
                replica.thaw()
                del frozen_at[replica.name]
                done += 1
        time.sleep(0.1)
    ground.frozen = done


# Slack

BEFORE = ("429", "500", "reset_before", "timeout_before")
AFTER = ("500_after", "reset_after", "timeout_after")


def slack_fails(name: str, kinds: Sequence[str], asked: Asked) -> Count:
    """Every few calls to Slack fail in one of these ways."""
    load = scaled(SOME, asked)
    with on_sqlite(load, asked) as ground:
        replica = ground.replicas[0]
        replica.start(plant=asked.plant)
        ground.post_alerts()
        until = time.monotonic() + load.over_s + load.ladder_s
        while time.monotonic() < until:
            kind = ground.chance.choice(list(kinds))
            seconds = {"429": 2.0}.get(kind, 11.0 if ground.chance.random() < 0.2 else 1.0)
            method = ground.chance.choice(["chat.postMessage", "chat.postMessage", "conversations.open"])
            ground.workspace.fault(kind, method, times=ground.chance.randint(1, 3), seconds=seconds)
            time.sleep(ground.chance.uniform(0.3, 1.2))
        ground.workspace.heal()
        ground.wait_until_posted(30)
        wait_for_all(ground, load.ladder_s + 60)
        counted = count(name + (f"+{asked.plant}" if asked.plant else ""), ground)
        return judge(counted, doubled_at_most=0)


def slack_before(asked: Asked) -> Count:
    """Slack fails before the effect: 429, 500, reset, time-out."""
    return slack_fails("slack-before", BEFORE, asked)


def slack_after(asked: Asked) -> Count:
    """Slack does it, and the answer is lost: 500, reset, time-out."""
    return slack_fails("slack-after", AFTER, asked)


# the database


def sqlite_locked(asked: Asked) -> Count:
    """Another process holds SQLite's lock for 9 s, twice."""
    load = scaled(SOME, asked)
    with on_sqlite(load, asked) as ground:
        ground.replicas[0].start(plant=asked.plant)
        ground.post_alerts()
        path = Path(ground.database_url.removeprefix("sqlite:///"))
        free_at = 0.0
        for _ in range(2):
            time.sleep(4)
            with databases.locked(path):
                time.sleep(9)
            free_at = ground.now()
        ground.wait_until_posted(30)
        wait_for_all(ground, load.ladder_s + 60)
        counted = count("sqlite-locked", ground)
        counted.after_start_s = longest_after(ground, free_at)
        return judge(counted, doubled_at_most=0, after_start_s=OVERDUE_S)


def postgres_restart(asked: Asked) -> Count:
    """PostgreSQL is stopped and crashed under three replicas, and their connections are cut."""
    load = scaled(SOME, asked)
    with on_postgres(load, asked) as (ground, server):
        for replica in ground.replicas:
            replica.start(plant=asked.plant, wait=False)
        for replica in ground.replicas:
            replica.wait_until_ready()
        ground.post_alerts()
        back_at = 0.0
        for turn in range(4):
            time.sleep(3)
            if turn % 2 == 0:
                with suppress(psycopg.Error):
                    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                               "WHERE pid <> pg_backend_pid() AND datname IS NOT NULL")  # fmt: skip
                continue
            if turn == 1:
                server.stop()
            else:
                databases.hard_stop(server)
            time.sleep(3)
            server.start()
            back_at = ground.now()
        ground.wait_until_posted(30)
        wait_for_all(ground, load.ladder_s + 60)
        counted = count("postgres-restart", ground)
        counted.after_start_s = longest_after(ground, back_at)
        return judge(counted, doubled_at_most=0)


def disk_full(asked: Asked) -> Count:
    """The disk of the database is full for 8 s: nothing is answered with 200 that is not stored, and all goes on."""
    load = scaled(SOME, asked)
    folder = Path(tempfile.mkdtemp(prefix="mlops-faults-"))
    with databases.small_disk(folder) as disk:
        url = f"sqlite:///{disk / 'bot.db'}"
        with Ground(load, url, seed=asked.seed, folder=folder) as ground:
            ground.replicas[0].start(plant=asked.plant)
            ground.post_alerts()
            time.sleep(4)
            stuffing = databases.fill(disk)
            time.sleep(8)
            was_alive = ground.replicas[0].answers("/healthz")
            stuffing.unlink()
            free_at = ground.now()
            ground.wait_until_posted(30)
            wait_for_all(ground, load.ladder_s + 60)
            counted = count("disk-full", ground)
            counted.after_start_s = longest_after(ground, free_at)
            judge(counted, doubled_at_most=0, after_start_s=OVERDUE_S)
            if not was_alive:
                counted.missed.append("/healthz did not answer while the disk was full")
            return counted


# the clock


def clock_steps(name: str, offsets: Sequence[float], asked: Asked, *, zone: str = "") -> Count:
    """The wall clock starts at the first offset and is set to the others while pages wait."""
    load = scaled(UNDER_FAKETIME, asked)
    folder = Path(tempfile.mkdtemp(prefix="mlops-faults-"))
    pretender = databases.Pretender(folder)
    pretender.step(offsets[0])
    environment = {**pretender.environment, **({"TZ": zone} if zone else {})}
    url = f"sqlite:///{folder / 'bot.db'}"
    with Ground(load, url, seed=asked.seed, folder=folder, environment=environment) as ground:
        ground.pretended_s = offsets[0]
        ground.replicas[0].start(plant=asked.plant)
        ground.post_alerts()
        pause = (load.over_s + load.ladder_s) / max(len(offsets), 2)
        for offset in offsets[1:]:
            time.sleep(pause)
            pretender.step(offset)
        ground.wait_until_posted(load.over_s + 30)
        wait_for_all(ground, load.ladder_s + 30)
        return count(name, ground)


def clock_back(asked: Asked) -> Count:
    """The wall clock is set back by an hour, and half a day later forward again."""
    counted = clock_steps("clock-back-1h", [0, -3600], asked)
    return judge(counted, doubled_at_most=0, late_p99_s=STALL_S)


def clock_forward(asked: Asked) -> Count:
    """The wall clock is set forward by an hour: what is due then goes out at once, each page once."""
    counted = clock_steps("clock-forward-1h", [0, 3600], asked)
    counted.notes.append(f"{counted.early} pages came early by true time: to the bot their hour had come")
    counted.early = 0
    return judge(counted, doubled_at_most=0, late_p99_s=STALL_S)


def _until(year: int, month: int, day: int) -> float:
    """Seconds from now to shortly before 01:00 UTC of a day."""
    return (datetime(year, month, day, 0, 59, 52, tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def summer_time(asked: Asked) -> Count:
    """Central Europe's clocks go forward while pages wait."""
    counted = clock_steps("clock-to-summer-time", [_until(2026, 3, 29)], asked, zone="Europe/Berlin")
    return judge(counted, doubled_at_most=0, late_p99_s=STALL_S)


def winter_time(asked: Asked) -> Count:
    """Central Europe's clocks go back while pages wait."""
    counted = clock_steps("clock-to-winter-time", [_until(2026, 10, 25)], asked, zone="Europe/Berlin")
    return judge(counted, doubled_at_most=0, late_p99_s=STALL_S)


def clock_apart(asked: Asked) -> Count:
    """Three replicas whose machines' clocks are an hour apart, and one is set right while pages wait."""
    load = scaled(UNDER_FAKETIME, asked)
    with on_postgres(load, asked) as (ground, _):
        clocks = []
        for number, (replica, offset) in enumerate(zip(ground.replicas, (0.0, 3600.0, -3600.0), strict=True)):
            place = ground.folder / f"clock-{number}"
            place.mkdir()
            clocks.append(databases.Pretender(place))
            clocks[-1].step(offset)
            replica.environment |= clocks[-1].environment
            replica.start(plant=asked.plant)
        ground.post_alerts()
        time.sleep((load.over_s + load.ladder_s) / 2)
        clocks[1].step(-1800)
        clocks[2].step(0)
        ground.wait_until_posted(load.over_s + 30)
        wait_for_all(ground, load.ladder_s + 45)
        return judge(count("clocks-apart", ground), doubled_at_most=0, late_p99_s=STALL_S)


# outages


def outage(name: str, ground: Ground, asked: Asked) -> Count:
    """Killed in the midst of the load, down over several due times, started again."""
    load = ground.load
    for replica in ground.replicas:
        replica.start(plant=asked.plant, wait=False)
    for replica in ground.replicas:
        replica.wait_until_ready()
    ground.post_alerts()
    ground.wait_until_posted(load.over_s + 30)
    for replica in ground.replicas:
        replica.kill()
        ground.crashes += 1
    time.sleep(load.ladder_s * 0.7)
    began_at = start_in_order(ground, asked)
    wait_for_all(ground, load.ladder_s + 60)
    counted = count(name, ground)
    tell_overdue(counted, ground, began_at)
    return judge(counted, doubled_at_most=ground.crashes, after_start_s=OVERDUE_S)


def sqlite_outage(asked: Asked) -> Count:
    """Down over several due times, on SQLite."""
    with on_sqlite(scaled(OUTAGE, asked), asked) as ground:
        return outage("sqlite-outage", ground, asked)


def postgres_outage(asked: Asked) -> Count:
    """Down over several due times, three replicas on PostgreSQL."""
    with on_postgres(scaled(OUTAGE, asked), asked) as (ground, _):
        return outage("postgres-outage", ground, asked)


def calm(asked: Asked) -> Count:
    """No fault at all: what the other lines are to be compared with."""
    load = scaled(SOME, asked)
    with on_sqlite(load, asked) as ground:
        ground.replicas[0].start(plant=asked.plant)
        ground.post_alerts()
        ground.wait_until_posted(load.over_s + 30)
        wait_for_all(ground, load.ladder_s + 30)
        return judge(count("calm", ground), doubled_at_most=0)


# what must fail, and what we avoid


def no_lease_check(asked: Asked) -> Count:
    """Planted bug: nobody looks at the lease again before the call."""
    return _named("planted-no-lease-check", frozen(replace(asked, plant="no-lease-check", scale=asked.scale / 2)))


def no_reconciliation(asked: Asked) -> Count:
    """Planted bug: what got no answer is sent again without looking for it."""
    return _named("planted-no-reconciliation", slack_after(replace(asked, plant="no-reconciliation")))


def page_outside(asked: Asked) -> Count:
    """Planted bug: the page is stored after the transaction that marks its timer done."""
    asked = replace(asked, plant="page-outside")
    with on_sqlite(scaled(replace(SOME, over_s=25), asked), asked) as ground:
        return killed("planted-page-outside", ground, asked, marks=("after-commit",))


def job_store(asked: Asked) -> Count:
    """The kills of sqlite-kill with APScheduler's own job store for timers, told to run late jobs however late."""
    load = scaled(replace(SOME, incidents=50, over_s=30), asked)
    with on_sqlite(load, asked) as ground:
        _use_job_store(ground, grace_s=None)
        return killed("apscheduler-kill", ground, asked, marks=())


def job_store_outage(asked: Asked) -> Count:
    """The outage of sqlite-outage with APScheduler's own job store as it comes: a grace time of one second."""
    with on_sqlite(scaled(OUTAGE, asked), asked) as ground:
        _use_job_store(ground, grace_s=1)
        return outage("apscheduler-outage", ground, asked)


def _use_job_store(ground: Ground, *, grace_s: int | None) -> None:
    load, replica = ground.load, ground.replicas[0]
    ladders = {
        f"sys-{system:02d}": [
            (load.after_s(level), [user_id(load.person(system, level, target)) for target in range(load.targets)])
            for level in range(1, load.levels + 1)
        ]
        for system in range(load.systems)
    }
    settings = {
        "token": ground.workspace.bot_token, "api_url": ground.workspace.api_url, "port": replica.port,
        "url": f"sqlite:///{ground.folder / 'jobs.db'}", "ladders": ladders, "grace_s": grace_s,
    }  # fmt: skip
    path = ground.folder / "job_store.json"
    path.write_text(json.dumps(settings))
    replica.program = ("-m", "tests.faults.job_store", str(path))


def _named(name: str, counted: Count) -> Count:
    counted.name = name
    return counted


PLANTED = (
    ("planted-no-lease-check", no_lease_check), ("planted-no-reconciliation", no_reconciliation),
    ("planted-page-outside", page_outside),
)  # fmt: skip
TRIALS = tuple(
    Trial(name=counted_as, about=(run.__doc__ or "").strip(), run=run)
    for counted_as, run in (
        ("calm", calm), ("sqlite-kill", sqlite_kill), ("postgres-kill", postgres_kill), ("frozen", frozen),
        ("slack-before", slack_before), ("slack-after", slack_after), ("sqlite-locked", sqlite_locked),
        ("postgres-restart", postgres_restart), ("disk-full", disk_full), ("clock-back-1h", clock_back),
        ("clock-forward-1h", clock_forward), ("clock-to-summer-time", summer_time),
        ("clock-to-winter-time", winter_time), ("clocks-apart", clock_apart), ("sqlite-outage", sqlite_outage),
        ("postgres-outage", postgres_outage),
    )
) + tuple(
    Trial(name=counted_as, about=(run.__doc__ or "").strip(), run=run, must_fail=True) for counted_as, run in PLANTED
) + (
    Trial(name="apscheduler-kill", about=(job_store.__doc__ or "").strip(), run=job_store, is_reference=True),
    Trial(name="apscheduler-outage", about=(job_store_outage.__doc__ or "").strip(), run=job_store_outage,
          is_reference=True),
)  # fmt: skip
