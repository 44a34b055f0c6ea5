"""The model being served: load it from MLflow, swap it, predict with it, judge it by the labels that come in."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from playground.system.metrics import AccuracyWindow, ServerMetrics
from playground.system.served import ServedRows

ROWS_CAP = 1000
# Predictions that may still get a label by /feedback; the oldest are forgotten.
REMEMBERED_PREDICTIONS = 10_000


class BadRequest(ValueError):
    """The request is not what the route takes; the message is the answer."""


class Conflict(Exception):
    """The request is fine, but does not fit this server or its state."""


class LoadFailed(Exception):
    """A model could not be loaded. `kept_version` goes on being served (None: nothing is)."""

    def __init__(self, reason: str, *, kept_version: str | None, status: int = 502) -> None:
        self.kept_version = kept_version
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One loaded model. Immutable, so a request that holds it is not disturbed by a swap."""

    model: Any  # a fitted scikit-learn classifier
    name: str
    version: str
    alias: str
    run_id: str
    loaded_at: datetime

    def info(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "alias": self.alias,
            "run_id": self.run_id,
            "loaded_at": self.loaded_at.isoformat(timespec="milliseconds"),
        }


class ModelHost:
    """Holds the served model. Safe to use from several threads; one reload runs at a time."""

    def __init__(
        self, tracking_uri: str, model_name: str, alias: str, *, metrics: ServerMetrics, window: AccuracyWindow
    ) -> None:
        self.model_name = model_name
        self.alias = alias
        self.served: Served | None = None
        self.last_failure: str | None = None
        self.served_rows: ServedRows | None = None  # where what was served is kept
        self._tracking_uri = tracking_uri
        self._metrics = metrics
        self._window = window
        self._reloading = Lock()
        self._awaiting: OrderedDict[str, tuple[str, str]] = OrderedDict()  # prediction id -> (version, label)
        self._awaiting_lock = Lock()

    def reload(self, model_name: str, alias: str) -> dict[str, Any]:
        """Load what `alias` points at now, then swap.

        Raises LoadFailed with the old model still served, Conflict for another model.
        """
        if model_name != self.model_name:
            raise Conflict(f"this server serves {self.model_name}, not {model_name[:100]}")
        with self._reloading:
            old, began = self.served, time.perf_counter()
            try:
                new = _load(self._tracking_uri, model_name, alias)
            except Exception as error:  # MLflow raises many kinds; each means the same here: keep what we have
                self.last_failure = f"cannot load models:/{model_name}@{alias[:100]}: {error}"
                raise LoadFailed(self.last_failure, kept_version=old.version if old else None) from error
            self._window.start(new.version)
            self.served = new
            self._metrics.served = (new.name, new.version)
            self.last_failure = None
        return {
            "status": "reloaded",
            "model": new.name,
            "alias": new.alias,
            "old_version": old.version if old else None,
            "new_version": new.version,
            "loaded_at": new.loaded_at.isoformat(timespec="milliseconds"),
            "seconds": round(time.perf_counter() - began, 3),
        }

    def unload(self, why: str) -> None:
        """Serve nothing until the next reload."""
        with self._reloading:
            self.served = None
            self._metrics.served = None
            self.last_failure = why

    def predict(self, body: Any) -> dict[str, Any]:
        """Answer a /predict body. BadRequest names what is wrong with it; LoadFailed (503) when no model is loaded."""
        served = self.served
        if served is None:
            raise LoadFailed(
                f"no model is loaded: {self.last_failure or 'still loading'}", kept_version=None, status=503
            )
        rows, true_labels = _read_rows(body, served.model.n_features_in_)
        probabilities = served.model.predict_proba(rows)
        best = probabilities.argmax(axis=1)
        labels = [str(served.model.classes_[i]) for i in best]
        tops = [float(row[i]) for row, i in zip(probabilities, best, strict=True)]
        for label, top in zip(labels, tops, strict=True):
            self._metrics.predictions.labels(label).inc()
            self._metrics.probability.observe(top)
        if self.served_rows is not None:
            self.served_rows.add(rows.tolist(), labels, served.version)
        ids = [secrets.token_hex(8) for _ in labels]
        if true_labels is None:
            self._remember(ids, served.version, labels)
        else:
            self._window.add(served.version, [label == true for label, true in zip(labels, true_labels, strict=True)])
            self._metrics.labels.inc(len(true_labels))
        return {
            "model": served.name,
            "version": served.version,
            "predictions": [
                {"id": prediction_id, "label": label, "probability": round(top, 4)}
                for prediction_id, label, top in zip(ids, labels, tops, strict=True)
            ],
        }

    def feedback(self, body: Any) -> dict[str, Any]:
        """Take late labels. Each prediction counts once; unknown and forgotten ids are reported, not refused."""
        labels = body.get("labels") if isinstance(body, dict) else None
        if not isinstance(labels, dict) or not all(isinstance(label, str) for label in labels.values()):
            raise BadRequest('expected {"labels": {"<prediction id>": "<true label>", …}}')
        unknown = 0
        for prediction_id, true_label in labels.items():
            with self._awaiting_lock:
                remembered = self._awaiting.pop(prediction_id, None)
            if remembered is None:
                unknown += 1
            else:
                self._window.add(remembered[0], [remembered[1] == true_label])
                self._metrics.labels.inc()
        return {"accepted": len(labels) - unknown, "unknown": unknown, "labelled_in_window": self._window.labelled()}

    def _remember(self, ids: list[str], version: str, labels: list[str]) -> None:
        with self._awaiting_lock:
            for prediction_id, label in zip(ids, labels, strict=True):
                self._awaiting[prediction_id] = (version, label)
            while len(self._awaiting) > REMEMBERED_PREDICTIONS:
                self._awaiting.popitem(last=False)


def _load(tracking_uri: str, model_name: str, alias: str) -> Served:
    """Ask which version the alias means, then load exactly that one: the alias may move in between."""
    import mlflow  # here, because it takes a second or two and the port should be open by then
    import mlflow.sklearn

    mlflow.set_tracking_uri(tracking_uri)
    found = mlflow.MlflowClient().get_model_version_by_alias(model_name, alias)
    model = mlflow.sklearn.load_model(f"models:/{model_name}/{found.version}")
    return Served(
        model=model,
        name=model_name,
        version=str(found.version),
        alias=alias,
        run_id=str(found.run_id),
        loaded_at=datetime.now(UTC),
    )


def _read_rows(body: Any, width: int) -> tuple[Any, list[str] | None]:
    import numpy as np

    if not isinstance(body, dict) or not isinstance(body.get("rows"), list) or not body["rows"]:
        raise BadRequest('expected {"rows": [[numbers], …]} with at least one row')
    if len(body["rows"]) > ROWS_CAP:
        raise BadRequest(f"at most {ROWS_CAP} rows in one request, got {len(body['rows'])}")
    try:
        rows = np.asarray(body["rows"], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise BadRequest("every row must be a list of numbers, all of one length") from None
    if rows.ndim != 2 or rows.shape[1] != width:
        raise BadRequest(f"every row must have {width} numbers")
    if not np.isfinite(rows).all():
        raise BadRequest("a row holds a number that is not finite (NaN or infinity)")
    true_labels = body.get("true_labels")
    if true_labels is None:
        return rows, None
    if not isinstance(true_labels, list) or len(true_labels) != len(rows):
        raise BadRequest("true_labels must be a list with one label for each row")
    return rows, [str(label) for label in true_labels]
