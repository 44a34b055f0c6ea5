"""The bot's own numbers in Prometheus' text form, read from the store so that every replica tells the same."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bot.store import Store, StoreDown


class _Numbers:
    """A collector that is asked once per scrape."""

    def __init__(
        self, store: Store, now: datetime, ticker_age_s: float, sockets: int, well_age_s: float | None = 0.0
    ) -> None:
        self._store = store
        self._now = now
        self._ticker_age_s = ticker_age_s
        self._sockets = sockets
        self._well_age_s = well_age_s

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("mlops_ticker_age_seconds", "Since the ticker last came by.", value=self._ticker_age_s)
        yield GaugeMetricFamily("mlops_slack_sockets", "Connected Socket Mode connections.", value=self._sockets)
        if self._well_age_s is not None:
            text = "Since the auditor last found nothing wrong; the bot's own heartbeat goes out up to 90."
            yield GaugeMetricFamily("mlops_auditor_pass_age_seconds", text, value=self._well_age_s)
        try:
            yield from self._stored()
            up = 1
        except StoreDown:
            up = 0
        yield GaugeMetricFamily("mlops_store_up", "1 when the database answers.", value=up)

    def _stored(self) -> Iterable[Metric]:
        counted = self._store.counters()
        alerts = CounterMetricFamily(
            "mlops_alerts",
            "Alerts by verdict; received = new + duplicate + quarantined + heartbeat.",
            labels=["verdict"],
        )
        for verdict in ("received", "new", "duplicate", "quarantined", "heartbeat"):
            alerts.add_metric([verdict], counted.get(f"alerts_{verdict}", 0))
        yield alerts
        found = self._store.incidents(open_only=True, limit=10_000)
        incidents = GaugeMetricFamily("mlops_incidents_open", "Open incidents.", labels=["severity", "state"])
        kinds: dict[tuple[str, str], int] = {}
        for incident in found:
            kinds[incident.severity, incident.state] = kinds.get((incident.severity, incident.state), 0) + 1
        for (severity, state), number in kinds.items():
            incidents.add_metric([severity, state], number)
        yield incidents
        queue = GaugeMetricFamily("mlops_outbox_rows", "Outgoing messages and work.", labels=["lane", "kind", "state"])
        stats = self._store.queue_stats(self._now)
        for (lane, kind, state), number in stats.counts.items():
            queue.add_metric([lane, kind, state], number)
        yield queue
        oldest = GaugeMetricFamily("mlops_outbox_oldest_seconds", "Age of the oldest row that waits.", labels=["lane"])
        for lane in ("slack", "media", "work"):
            oldest.add_metric([lane], stats.oldest_s.get(lane, 0.0))
        yield oldest
        yield from self._heartbeats()

    def _heartbeats(self) -> Iterable[Metric]:
        age = GaugeMetricFamily("mlops_heartbeat_age_seconds", "Since it was last heard.", labels=["heartbeat"])
        silent = GaugeMetricFamily("mlops_heartbeat_silent", "1 while it is silent for too long.", labels=["heartbeat"])
        for name, beat in self._store.beats().items():
            if name.startswith("@"):
                continue
            if beat.seen_at is not None:
                age.add_metric([name], max((self._now - beat.seen_at).total_seconds(), 0.0))
            silent.add_metric([name], 0.0 if beat.silent_since is None else 1.0)
        yield age
        yield silent


def exposition(
    store: Store, now: datetime, *, ticker_age_s: float, sockets: int, well_age_s: float | None = None
) -> str:
    """The text of one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(store, now, ticker_age_s, sockets, well_age_s))
    return generate_latest(registry).decode()
