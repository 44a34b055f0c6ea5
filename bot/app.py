"""Where the process is put together: one object per part, handed to those who need it, and a ticker that calls them.

A tick that fails is logged and the next one comes; a tick that stops coming makes /healthz fail.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

import uvicorn

from bot import hooks, http
from bot.audit import default_anchor, write_anchor
from bot.calendars import CalendarReader, Calendars
from bot.charts import ChartPool
from bot.clock import Clock
from bot.config import Settings
from bot.deliver import Deliverer
from bot.desk import Desk
from bot.drift.label_runner import LabelRunner
from bot.drift.runner import DriftRunner
from bot.drift_watch import DeadMan, review
from bot.drift_work import LEASE as DRIFT_LEASE
from bot.drift_work import DriftWorker
from bot.engine import Engine, Incoming
from bot.exposition import exposition
from bot.gaps import GapNotices
from bot.heartbeats import Heartbeats
from bot.ledger import Ledger
from bot.media import Courier, MediaSender
from bot.ports import Backends, NotAWebhook
from bot.pulse import Pulse
from bot.pump import Pump
from bot.registry import Registry
from bot.render import Renderer
from bot.reports import BadLink, Links, opened
from bot.slack import SlackChat, SlackDoor
from bot.slack.client import web_client
from bot.store import Job, Store, StoreDown
from bot.store.instance import single_instance
from bot.ticker import Every, Ticker
from bot.work import Worker
from handlers.sources.alertmanager import key_of, links_of, subject_of

log = logging.getLogger("mlops.app")

TICK_S = 0.25  # a due time is met within this and what the others before it take
TICK_TOO_OLD_S = 10.0
WORK_LEASE = timedelta(seconds=60)
DRAIN_S = 8.0
KEEP = timedelta(days=30)  # event keys and settled messages; incidents and the audit are never dropped
_SENDERS, _WORKERS = 16, 6  # a sender waits for Slack most of the time
_CALLERS = 3  # each is a child process while it calls
_LOOK_AFTER = timedelta(seconds=2)  # what a killed replica was sending may still be under way to Slack
_SOCKETS = 2  # one may be refreshed by Slack at any time


class SchemaProblem(Exception):
    """The database does not have the tables this release needs."""


@dataclass(slots=True)
class Tick:
    """When the ticker last came by, on the monotonic clock."""

    at: float


class Bot:
    """One serving process."""

    def __init__(self, settings: Settings, registry: Registry, now: Callable[[], datetime] | None = None) -> None:
        self.settings = settings
        self.registry = registry
        self.clock = Clock()
        self.now = now or self.clock.now
        # Two containers may well share host name and process id, and one must never settle what the other holds.
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.store = Store(settings.database_url.reveal(), audit_key=audit_key(settings))
        self.engine = Engine(self.store, settings.policy, self.now, settings.runbooks)
        self.charts = ChartPool()
        self.backends = build_backends(settings, registry)
        self.worker = Worker(
            self.engine, actions=registry.actions, diagnostics=registry.diagnostics,
            backends=lambda system: self.backends.get(system, {}), draw=self.charts.draw, drift=settings.drift,
            labels=LabelRunner(settings.drift_worker, settings.labels).ask,
        )  # fmt: skip
        self.drift_runner = DriftRunner(settings.drift_worker)
        self.drift_worker = DriftWorker(
            self.engine, run=self.drift_runner.run, profiles=settings.drift,
            backends=lambda system: self.backends.get(system, {}),
        )  # fmt: skip
        self.dead_man = DeadMan(self.engine, key_of)
        self.desk = Desk(self.engine, self.worker, registry.actions, registry.diagnostics)
        self.heartbeats = Heartbeats(self.engine, settings.heartbeats)
        self.pulse = Pulse(settings.pulse, self.store, self.now)
        self.ledger = Ledger(self.engine, self.backends)
        client = web_client(settings.slack.bot_token.reveal(), settings.slack.api_url)
        self.chat = SlackChat(client, self.now)
        self.door = SlackDoor(
            self.desk, client=client, signing_secret=settings.slack.signing_secret.reveal(),
            team_id=settings.slack.team_id,
        )  # fmt: skip
        renderer = Renderer(settings.templates_dir, runbooks=settings.runbooks, actions=frozenset(registry.actions))
        links = Links(key=settings.secret_key.reveal().encode(), base=settings.public_url)
        self.deliverer = Deliverer(
            self.engine, self.chat, renderer, owner=self.owner, lease=settings.delivery.lease, links=links,
            bundle=settings.delivery.bundle,
        )  # fmt: skip
        self.calendars = Calendars(self.store, settings.calendars, CalendarReader(os.environ), self.now)
        self.media = MediaSender(
            self.engine, settings.media, Courier(os.environ), self.deliverer.page_by_medium, owner=self.owner
        )
        self.callers = Pump("call", _CALLERS, self.media.claim, self.media.send, self._give_back)
        self.senders = Pump("send", _SENDERS, self.deliverer.claim, self.deliverer.send, self._give_back)
        self.workers = Pump("work", _WORKERS, self._claim_work, self.worker.do, self._give_back)
        self.drifts = Pump("drift", 1, self._claim_drift, self.drift_worker.do, self._give_back)
        self._ticked = Tick(at=time.monotonic())
        self._ticker = Ticker(self._jobs(), woken_by=self.engine.work_to_do, wake=self._unless_outdated(self._rounds))
        self._server: uvicorn.Server | None = None
        self._server_thread: threading.Thread | None = None
        self._held = ExitStack()
        self._anchored = ""
        self._outdated = ""  # why this replica must not work any more: the tables are not its own

    # life

    def start(self) -> None:
        """Come up: schema, lock, HTTP, Slack, ticker. Raises SchemaProblem, or what the instance lock raises."""
        problem = self.store.schema_problem()
        if problem:
            raise SchemaProblem(problem)
        self._held.enter_context(single_instance(self.settings.database_url.reveal()))
        self.set_clock()
        if self.store.is_sqlite:  # nobody else can be alive: what an earlier process held is free at once
            self.store.expire_leases(self.now(), of_others_than=self.owner)
        else:
            self._look_for_the_dead()
        self._serve_http()
        self._ticker.start()
        log.info("serving", extra={"action": "serving", "address": self.address})

    def stop(self) -> None:
        """Go down in order: take nothing new, finish what is under way, give back what is claimed."""
        self._ticker.stop()
        if self._server is not None:
            self._server.should_exit = True
        self.door.close()
        if self._server_thread is not None:
            self._server_thread.join(timeout=DRAIN_S)
        self.drift_worker.close()
        self.drift_runner.close()  # a check that is cut short is made again by whoever comes next
        # All of them, whatever the first says.
        finished = [pump.drain(DRAIN_S) for pump in (self.senders, self.workers, self.callers, self.drifts)]
        try:
            if all(finished):
                self.store.release(self.owner, self.now())
        except StoreDown as problem:
            log.warning("leases could not be given back: %s", problem, extra={"action": "release_failed"})
        self.worker.close()
        self.charts.close()
        self.store.close()
        self._held.close()

    @property
    def address(self) -> str:
        """Where HTTP is served, "" before it is."""
        server = self._server
        if server is None or not server.started or not server.servers:
            return ""
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    # what the HTTP door calls

    def take_in(self, body: bytes) -> Mapping[str, object]:
        """One Alertmanager notification, stored. Raises http.BadBody or StoreDown."""
        if self._outdated:
            raise StoreDown(self._outdated)
        source = self.registry.sources["alertmanager"]
        try:
            note = source.parse(body, self.now())
        except NotAWebhook as problem:
            raise http.BadBody(str(problem)) from None
        incoming = []
        beats = [(alert, one) for alert in note.alerts if (one := self.heartbeats.of(alert)) is not None]
        for alert in (alert for alert in note.alerts if self.heartbeats.of(alert) is None):
            system, subject = subject_of(alert, self.settings.policy.systems)
            links = (*links_of(alert, note), *self.settings.links.get(system, ()))
            key = key_of(subject, note.group_key, alert)
            incoming.append(Incoming(alert=alert, key=key, subject=subject, links=links))
        taken = self.engine.take_in(incoming, note.quarantined, note.truncated)
        for alert, one in beats:
            self.heartbeats.take(alert, one)
        heard = [{"fingerprint": alert.fingerprint, "verdict": "heartbeat"} for alert, _ in beats]
        verdicts = [*taken.verdicts, *heard]
        return {"ok": True, "alerts": verdicts, "incidents": list(taken.incidents), **taken.counts}

    def hear_mlflow(self, body: bytes, headers: Mapping[str, str]) -> str:
        """One delivery of MLflow, in the ledger when it is answered. Raises hooks.Unsigned, hooks.Unread, StoreDown."""
        if self._outdated:
            raise StoreDown(self._outdated)
        now = self.now()
        told = hooks.read(body, headers, self._mlflow_senders(), now)
        for sender in told.senders:
            model = self.engine.policy.system(sender.system).model(told.model)
            if model is not None and (model.registry, model.alias) == (sender.backend, told.alias):
                self.ledger.hear(sender.system, model, told.version, told.at)
        with self.store.begin() as tx:
            is_new = tx.once(f"mlflow:{told.delivery_id}", now)
        return told.what if is_new else f"{told.what}, taken before"

    def _mlflow_senders(self) -> list[hooks.Sender]:
        return [
            hooks.Sender(system=system, backend=name, secret=config.settings[hooks.SECRET_KEY])
            for system, configs in self.settings.backends.items()
            for name, config in configs.items()
            if config.settings.get(hooks.SECRET_KEY)
        ]

    def _from_slack(self, body: str, headers: Mapping[str, str]) -> tuple[int, dict[str, list[str]], str]:
        if self._outdated:
            raise StoreDown(self._outdated)
        return self.door.handle_http(body, headers)

    def report(self, token: str) -> http.Page:
        """The report behind a signed link. Raises BadLink; one that is not kept any more has ended too."""
        file_id = opened(self.settings.secret_key.reveal().encode(), token, self.now())
        file = self.store.drift.file(file_id)
        if file is None:
            raise BadLink(is_over=True)
        return http.Page(media_type=file.media_type, body=file.body)

    def _hear_heartbeat(self, name: str) -> bool:
        if self._outdated:
            raise StoreDown(self._outdated)
        return self.heartbeats.heard(name)

    def alive(self) -> http.Health:
        """Alive: the ticker came by lately. A Slack or a database that is down is no reason to be restarted."""
        age = time.monotonic() - self._ticked.at
        return http.Health(ok=age < TICK_TOO_OLD_S, facts={"ticker_age_s": round(age, 1)})

    def ready(self) -> http.Health:
        """Ready: the store answers and Slack is connected. A backend that is down costs its own findings only."""
        facts: dict[str, object] = {}
        try:
            self.store.ping()
            facts["store"] = self._outdated or "ok"
        except StoreDown as problem:
            facts["store"] = str(problem)
        facts["slack"] = self._slack_state()
        ok = facts["store"] == "ok" and facts["slack"] == "ok"
        return http.Health(ok=ok, facts=facts)

    def metrics(self) -> str:
        """Numbers for Prometheus."""
        age = time.monotonic() - self._ticked.at
        well_age_s, sockets = self.pulse.age_s(), self.door.connected
        return exposition(self.store, self.now(), ticker_age_s=age, sockets=sockets, well_age_s=well_age_s)

    # ticking

    def _jobs(self) -> tuple[Every, ...]:
        jobs: tuple[tuple[str, float, Callable[[], object]], ...] = (
            ("tick", TICK_S, self._tick),
            ("deliver", 0.2, self._unless_outdated(self.senders.round)),
            ("gaps", 120.0, self._unless_outdated(GapNotices(self.engine).round)),
            ("calendars", 20.0, self._unless_outdated(self.calendars.round)),
            ("call", 0.5, self._unless_outdated(self.callers.round)),
            ("work", 0.2, self._unless_outdated(self.workers.round)),
            ("drift", 1.0, self._unless_outdated(self.drifts.round)),
            ("drift_review", 60.0, self._unless_outdated(lambda: review(self.engine))),
            ("drift_silence", 600.0, self._unless_outdated(self.dead_man.look)),
            ("connect", 5.0, self._unless_outdated(self._connect)),
            ("reconcile", 10.0, self._unless_outdated(self.ledger.look)),
            ("heartbeats", 2.0, self._unless_outdated(self.heartbeats.look)),
            ("pulse", 1.0, self._unless_outdated(self.pulse.beat)),
            ("audit", 30.0, self._unless_outdated(self._audit)),
            ("retention", 3_600.0, self._unless_outdated(lambda: self.engine.forget(KEEP))),
            ("schema", 5.0, self.look_at_schema),
            ("clock", 10.0, self.set_clock),
            ("presence", 2.0, self._unless_outdated(self._look_for_the_dead)),
        )
        return tuple(Every(name=name, seconds=seconds, work=work) for name, seconds, work in jobs)

    def set_clock(self) -> None:
        """Go by the database's clock where several replicas share one. Raises StoreDown."""
        if not self.store.is_sqlite:
            self.clock.follow(self.store.time)

    def _look_for_the_dead(self) -> None:
        """Where several replicas share a database: what a killed one held need not wait for its lease."""
        if self.store.is_sqlite:
            return
        freed = self.store.expire_leases_of_the_dead(self.owner, self.now(), _LOOK_AFTER)
        if freed:
            log.warning("took over %d of a replica that is gone", freed, extra={"action": "took_over"})
            self.engine.work_to_do.set()

    def _rounds(self) -> None:
        self.senders.round()
        self.callers.round()
        self.workers.round()

    def look_at_schema(self) -> None:
        """Stop working when a newer release has changed the tables under us, as in a rolling upgrade; go on if not."""
        problem = self.store.schema_problem()
        if problem and not self._outdated:
            log.error("stops working: %s", problem, extra={"action": "schema_changed"})
            self._outdated = problem
            self.door.disconnect()  # people's requests go to a replica that can take them
        elif not problem and self._outdated:
            log.info("works again: the tables are as needed", extra={"action": "schema_fits"})
            self._outdated = ""

    def _unless_outdated(self, work: Callable[[], object]) -> Callable[[], object]:
        return lambda: None if self._outdated else work()

    def _tick(self) -> None:
        # The pulse tells that the ticker comes by, not that the database answers: a restart would not mend that.
        self._ticked.at = time.monotonic()
        if not self._outdated:
            self.engine.tick()
        self._ticked.at = time.monotonic()

    def _connect(self) -> None:
        slack = self.settings.slack
        if slack.mode == "socket" and slack.app_token:
            self.door.connect(slack.app_token.reveal(), slack.api_url, _SOCKETS)

    def _audit(self) -> None:
        if not self.engine.audit():
            self.pulse.passed()
        head = self.store.audit_head()
        anchor = self.settings.audit_anchor or default_anchor(self.settings.database_url.reveal())
        if anchor is not None and head[0] and head[1] != self._anchored:
            write_anchor(anchor, head, self.now())
            self._anchored = head[1]

    # parts

    def _give_back(self, job: Job) -> None:
        self.store.give_back(job, self.now())

    def _claim_work(self, limit: int, held: Collection[str]) -> list[Job]:
        return self.store.claim("work", self.owner, self.now(), WORK_LEASE, limit=limit, held=held)

    def _claim_drift(self, limit: int, held: Collection[str]) -> list[Job]:
        return self.store.claim("drift", self.owner, self.now(), DRIFT_LEASE, limit=limit, held=held)

    def _slack_state(self) -> str:
        slack = self.settings.slack
        if slack.mode == "http":
            return "ok" if slack.signing_secret else "SLACK_SIGNING_SECRET is not set"
        if not slack.app_token:
            return "SLACK_APP_TOKEN is not set"
        return "ok" if self.door.connected else "no socket is connected"

    def _serve_http(self) -> None:
        door = http.Door(
            webhook_token=self.settings.http.webhook_token.reveal(), max_body_bytes=self.settings.http.max_body_bytes,
            take_in=self.take_in, slack=self._from_slack if self.settings.slack.mode == "http" else None,
            alive=self.alive, ready=self.ready, metrics=self.metrics, mlflow=self.hear_mlflow, report=self.report,
            heartbeat=self._hear_heartbeat,
        )  # fmt: skip
        config = uvicorn.Config(
            http.build(door), host=self.settings.http.host, port=self.settings.http.port, log_config=None,
            access_log=False, lifespan="off", timeout_graceful_shutdown=5,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._server_thread = threading.Thread(target=self._server.run, name="http", daemon=True)
        self._server_thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started and self._server_thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self._server.started:
            where = f"{self.settings.http.host}:{self.settings.http.port}"
            message = f"cannot listen on {where}; is another program using it? Set http.listen to a free address."
            raise OSError(message)


def build_backends(settings: Settings, registry: Registry) -> dict[str, Backends]:
    """A client for every backend of every profile; none of them calls anything yet."""
    return {
        system: {name: registry.backends[config.kind].build(dict(config.settings)) for name, config in configs.items()}
        for system, configs in settings.backends.items()
    }


def audit_key(settings: Settings) -> bytes:
    """The key of the audit chain."""
    return settings.secret_key.reveal().encode()
