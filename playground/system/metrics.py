"""What the model server tells Prometheus, and how it measures its own accuracy."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LATENCY_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0)
PROBABILITY_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class AccuracyWindow:
    """Share of right answers among the last `size` labelled predictions of one version.

    Below `minimum` labels there is no accuracy at all, rather than a number that means nothing. A change of version
    empties the window: a new model must not be judged by the answers of the old one. Safe to use from several
    threads.
    """

    def __init__(self, *, size: int, minimum: int) -> None:
        if not 0 < minimum <= size:
            raise ValueError(f"accuracy window: the minimum ({minimum}) must lie between 1 and the size ({size})")
        self._minimum = minimum
        self._hits: deque[bool] = deque(maxlen=size)
        self._version: str | None = None
        self._lock = Lock()

    def start(self, version: str) -> None:
        """Judge `version` from now on. Emptied also when the same version is loaded again: it may be another file."""
        with self._lock:
            self._version = version
            self._hits.clear()

    def add(self, version: str, hits: Iterable[bool]) -> None:
        """Count labelled predictions of `version`; late labels of a version that is no longer served are left out."""
        with self._lock:
            if version == self._version:
                self._hits.extend(hits)

    def accuracy(self) -> float | None:
        with self._lock:
            if len(self._hits) < self._minimum:
                return None
            return sum(self._hits) / len(self._hits)

    def labelled(self) -> int:
        with self._lock:
            return len(self._hits)


class ServerMetrics:
    """Every series the model server exports.

    `window` and the model served are read at scrape time, so they cannot go stale.
    """

    def __init__(self, window: AccuracyWindow) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests", "Requests answered, by status.", ["endpoint", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "http_request_duration_seconds",
            "Time to answer a request.",
            ["endpoint"],
            buckets=LATENCY_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.predictions = Counter("predictions", "Predictions made, by label.", ["label"], registry=self.registry)
        self.labels = Counter("labels", "Predictions whose true label came in.", registry=self.registry)
        self.probability = Histogram(
            "prediction_probability",
            "Probability of the label that was predicted.",
            buckets=PROBABILITY_BUCKETS,
            registry=self.registry,
        )
        self.served: tuple[str, str] | None = None  # (model, version)
        self.registry.register(_AtScrape(self, window))
        ProcessCollector(registry=self.registry)


class _AtScrape(Collector):
    """Gauges that may be absent: a missing series says "not known", which 0 would not."""

    def __init__(self, metrics: ServerMetrics, window: AccuracyWindow) -> None:
        self._metrics = metrics
        self._window = window

    def collect(self) -> Iterable[Metric]:
        labelled = self._window.labelled()
        yield GaugeMetricFamily("model_accuracy_labels", "Labels that the accuracy rests on.", value=labelled)
        accuracy = self._window.accuracy()
        if accuracy is not None:
            yield GaugeMetricFamily("model_accuracy", "Accuracy over the last labelled predictions.", value=accuracy)
        if self._metrics.served is not None:
            family = GaugeMetricFamily("model_info", "The model version being served.", labels=["model", "version"])
            family.add_metric(self._metrics.served, 1)
            yield family
