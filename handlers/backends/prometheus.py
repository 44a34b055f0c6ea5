"""Prometheus, by prometheus-api-client behind a wrapper that keeps apart: a value, no data, and no answer.

The library alone retries for ten seconds without asking, drops Prometheus' own warnings and error texts, lets NaN pass
as a value and takes a login page for a programming error. So it gets a session of ours: bounded in time, one retry, and
every answer judged before the library sees it.

Settings: `url`; `token` (bearer token) or `username` and `password`, each a reference in the profile.
"""

from __future__ import annotations

import io
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from bot.ports import Foreign, Sample, Series
from handlers.backends._http import base_url, decoded, is_refused, plain, read_body, where

if TYPE_CHECKING:
    import requests
    from prometheus_api_client import PrometheusConnect

T = TypeVar("T")
CONNECT_S = 1.5
ANSWER_S = 5.0
ANSWER_CAP_BYTES = 20_000_000  # a few series of 10,000 points each
RETRIES = 1  # of what surely was not begun: a connection that did not come about, or a 503
_PARAMETER = re.compile(r"\$\{(\w+)\}")


def escaped(value: str) -> str:
    """A label's value as it must stand between double quotes in PromQL, so that it cannot end them."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def filled(template: str, **values: str) -> str:
    """A query from a template in which `${name}` stands between double quotes. KeyError for a name without a value."""
    return _PARAMETER.sub(lambda match: escaped(values[match[1]]), template)


class Prometheus:
    """A Metrics. Safe to use from several threads.

    Queries come from profiles and templates, never from a label or a person.
    """

    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        self.url = url
        self._settings = dict(settings)
        self._of_thread = threading.local()  # sessions are not made for several threads

    def instant(self, query: str) -> Sequence[Sample]:
        """The query's value now, one sample per series. No series: an empty answer, which is not zero."""
        return self._ask(lambda client: _samples(client.custom_query(query, timeout=(CONNECT_S, ANSWER_S))))

    def over(self, query: str, start: datetime, end: datetime, step: timedelta) -> Sequence[Series]:
        """The query's values from `start` to `end`, every `step` (whole seconds), NaN left out."""
        width = f"{max(step.total_seconds(), 1.0):g}"
        return self._ask(
            lambda client: [
                _series(one)
                for one in client.custom_query_range(query, start, end, width, timeout=(CONNECT_S, ANSWER_S))
            ]
        )

    def _ask(self, call: Callable[[PrometheusConnect], T]) -> T:
        """What the call gives, or Foreign with a reason of ours."""
        import requests
        from prometheus_api_client.exceptions import PrometheusApiClientException

        place = f"Prometheus at {where(self.url)}"
        try:
            return call(self._client())
        except requests.ConnectTimeout:
            raise Foreign("unreachable", f"{place} cannot be reached.", happened=False) from None
        except requests.Timeout:
            raise Foreign("timeout", f"{place} did not answer within {ANSWER_S:g} s.", happened=False) from None
        except requests.ConnectionError as error:
            if "timed out" in str(error).lower():
                text = f"{place} did not answer within {ANSWER_S:g} s."
                raise Foreign("timeout", text, happened=False) from None
            why = "the connection was refused" if is_refused(error) else "the connection broke"
            raise Foreign("unreachable", f"{place} does not answer: {why}.", happened=False) from None
        except requests.RequestException as error:
            raise Foreign(
                "invalid", f"{place} sent no proper answer ({type(error).__name__}).", happened=False
            ) from None
        except (PrometheusApiClientException, KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise Foreign("invalid", f"{place} answered in a shape we do not know.", happened=False) from None

    def _client(self) -> PrometheusConnect:
        found = getattr(self._of_thread, "client", None)
        if found is None:
            found = self._of_thread.client = self._connect()
        return found

    def _connect(self) -> PrometheusConnect:
        import requests
        from prometheus_api_client import PrometheusConnect
        from urllib3 import Retry

        session = requests.Session()
        session.trust_env = False
        session.stream = True  # so that the body is read by us, within the limits
        session.hooks["response"].append(self._judge)
        retry = Retry(
            total=RETRIES, connect=RETRIES, read=0, redirect=0, status=RETRIES, backoff_factor=0.2,
            status_forcelist=(429, 503), raise_on_status=False, respect_retry_after_header=False,
        )  # fmt: skip
        user, token = self._settings.get("username", ""), self._settings.get("token", "")
        return PrometheusConnect(
            url=self.url, session=session, retry=retry,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            auth=(user, self._settings.get("password", "")) if user else None,
        )  # fmt: skip

    def _judge(self, answer: requests.Response, *_: object, **__: object) -> None:
        """Raise Foreign for whatever is not a whole answer of Prometheus; the library sees the others."""
        place = f"Prometheus at {where(self.url)}"
        deadline = time.monotonic() + ANSWER_S - answer.elapsed.total_seconds()
        try:
            body = read_body(answer, deadline, place, cap_bytes=ANSWER_CAP_BYTES)
        except Foreign:
            answer.close()  # what still comes on this connection belongs to nobody
            raise
        answer.raw.release_conn()
        answer.raw = io.BytesIO(body)  # for the library, which reads it again
        data = decoded(body)
        words = plain(str(data.get("error", ""))) if isinstance(data, dict) else ""
        if answer.status_code != 200:
            raise Foreign(
                _reason(answer.status_code), f"{place} answered {answer.status_code}: {words or answer.reason}."
            )
        if not isinstance(data, dict) or data.get("status") != "success":
            text = f"{place} answered something else than Prometheus would, perhaps a login page. Check `url`."
            raise Foreign("invalid", text, happened=False)
        # Remarks about the query ("PromQL info: …") are for its author; any other warning means that data is missing.
        partial = [str(text) for text in data.get("warnings") or () if not str(text).startswith("PromQL ")]
        if partial:
            text = f"{place} says that its answer may be incomplete: {plain(partial[0])}."
            raise Foreign("broken", text, happened=False)


def _reason(status: int) -> str:
    if status in (401, 403):
        return "refused"
    if status == 404:
        return "not_found"
    if status in (429, 503):
        return "overloaded"
    return "broken" if status >= 500 else "invalid"


def _samples(data: Any) -> list[Sample]:
    if len(data) == 2 and not isinstance(data[0], Mapping):  # a scalar comes bare
        data = [{"metric": {}, "value": data}]
    return [sample for sample in map(_sample, data) if not math.isnan(sample.value)]


def _sample(one: Mapping[str, Any]) -> Sample:
    seconds, value = one["value"]
    return Sample(labels=_labels(one), at=datetime.fromtimestamp(float(seconds), UTC), value=float(value))


def _series(one: Mapping[str, Any]) -> Series:
    points = ((datetime.fromtimestamp(float(seconds), UTC), float(value)) for seconds, value in one["values"])
    return Series(labels=_labels(one), points=tuple(point for point in points if not math.isnan(point[1])))


def _labels(one: Mapping[str, Any]) -> dict[str, str]:
    metric: Iterable[tuple[str, Any]] = one["metric"].items()
    return {name: plain(str(value)) for name, value in metric}


class PrometheusKind:
    """The kind of backend as the registry of handlers knows it."""

    kind = "prometheus"
    offers = ("metrics",)
    settings = ("url", "token", "username", "password")

    def build(self, settings: Mapping[str, str]) -> Prometheus:
        """A client; makes no call. ValueError names the setting that is missing or wrong."""
        return Prometheus(base_url(settings, self.kind), settings)

    def check(self, client: object) -> str:
        """Ask a cheap query; returns words for `doctor`, raises Foreign."""
        if not isinstance(client, Prometheus):
            raise TypeError(f"{self.kind}: not a client of this kind")
        count = client.instant("count(up)")
        return f"{where(client.url)} answers queries, {count[0].value if count else 0:g} targets"


BACKEND = PrometheusKind()
