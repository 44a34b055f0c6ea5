"""Makes drift checks: one at a time, in a lane of their own, so that a check of minutes never delays a guarded step.

A check only reads, so one that died with the process is simply made again, at most three times. What the worker tells
is stored in one transaction with its files and messages; until then nothing is concluded. While the worker runs, the
claim is prolonged and the message says how long it has been at it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from bot import drift_checks
from bot.drift import wire
from bot.drift.asked import DriftProfile, DriftRequest, Known, Movement, Span, request
from bot.drift.report import Cause, ColumnReport, Direction, DriftReport
from bot.drift_changes import changes
from bot.drift_checks import Found
from bot.engine import Engine
from bot.policy.drift import ACCEPTED_FOR, Report, Result, Shown, Sign
from bot.ports import Backends, Foreign, Metrics
from bot.store import Job, StoredFile, StoreDown
from handlers.drift import predictions

log = logging.getLogger("mlops.drift")

LEASE = timedelta(seconds=60)
BEAT_S = 10.0  # between two signs of life
TOP = 5  # columns in the table
SIGNS = 6
_FILE_CAP = 30_000_000
_DIRECTIONS = {
    Direction.UP: "↑ higher", Direction.DOWN: "↓ lower", Direction.WIDER: "↔ wider", Direction.NARROWER: "→← narrower",
    Direction.MIXED: "≠ mix changed", Direction.SAME: "",
}  # fmt: skip
Profiles = Mapping[str, Mapping[str, DriftProfile]]


class DriftWorker:
    """Carries out claimed checks. Safe to use from several threads; the runner makes them take turns."""

    def __init__(
        self, engine: Engine, *, run: Callable[[DriftRequest], DriftReport], profiles: Profiles,
        backends: Callable[[str], Backends],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._store = engine.store
        self._run = run
        self._profiles = profiles
        self._backends = backends
        self._is_closing = threading.Event()

    def close(self) -> None:
        """From now on a check that is cut short is left for whoever comes next."""
        self._is_closing.set()

    def do(self, job: Job) -> None:
        """Make one check and settle its row. Raises StoreDown only; the check then comes again after its lease."""
        report_id = str(job.payload.get("report", ""))
        try:
            self._check(job, report_id)
        except StoreDown:
            raise
        except Foreign as problem:
            if self._is_closing.is_set():
                self._store.try_later(job, self._engine.now(), "the bot was stopped", tried=False)
                return
            drift_checks.fail(self._engine, report_id, job.fence, problem.sentence)
        except ValueError as problem:  # the profile names nothing to look at: said in words for people
            drift_checks.fail(self._engine, report_id, job.fence, str(problem))
        except Exception:
            log.exception("drift check %s failed", report_id, extra={"action": "drift_failed"})
            text = "It failed inside the bot; the log has the detail."
            drift_checks.fail(self._engine, report_id, job.fence, text)
        self._store.delivered(job, self._engine.now())

    def _check(self, job: Job, report_id: str) -> None:
        if job.attempt > drift_checks.TRIES:
            text = f"The bot or its worker ended in the middle of it {drift_checks.TRIES} times. Ask the operators."
            raise Foreign("broken", text)
        report = drift_checks.begin(self._engine, report_id, job.fence)
        if report is None:
            return
        profile = self._profiles.get(report.system, {}).get(report.model)
        if profile is None:
            text = f"The profile of {report.system} says nothing about the drift of {report.model} any more."
            raise Foreign("not_found", text)
        now = self._engine.now()
        with self._signs_of_life(job, report):
            known, said = self._known(profile, report, now)
            if profile.has_data:
                wanted = request(profile, now, days=report.days, feature=report.feature, known=known)
                answer, window = self._run(wanted), wanted.window
            else:
                answer = predictions.report_without_rows(profile, known.prediction, known.score)
                window = Span(start_at=now - profile.window, end_at=now)
        found = found_of(report, answer, window, self._engine.now(), said)
        drift_checks.finish(self._engine, report.id, job.fence, found)

    def _known(self, profile: DriftProfile, report: Report, now: datetime) -> tuple[Known, tuple[str, ...]]:
        """What is known besides the data, and what must be said of it. A silent Prometheus costs its own part only."""
        said: list[str] = []
        moved: Movement | None = None
        score: float | None = None
        system = self._engine.policy.system(report.system)
        model = system.model(report.model)
        backends = self._backends(report.system)
        name = (profile.histogram.backend if profile.histogram else "") or (model.metrics if model else "")
        try:
            if profile.histogram or profile.score_query:
                moved, score = _of_predictions(backends.get(name), profile, report.days)
        except Foreign as problem:
            if not profile.has_data:
                raise
            said.append(f"Predictions in Prometheus: {problem.sentence}")
        since = now - ACCEPTED_FOR
        moves = self._store.moves(report.system, report.model, limit=20)
        began = now - timedelta(days=report.days)
        said += [
            f"In this window {move.what} went from {move.from_} to {move.to}, {move.latest_at:%d %b %H:%M} UTC."
            for move in moves if move.latest_at >= began and move.from_
        ][:3]  # fmt: skip
        near, silent = changes(self._store, system, report.model, backends, now, report.days)
        said += silent
        known = Known(
            prediction=moved, score=score, changes=near, upstream=profile.upstream, expected_rows=profile.expected_rows,
            accepted=self._store.drift.accepted(report.system, report.model, since),
        )  # fmt: skip
        return known, tuple(said)

    @contextmanager
    def _signs_of_life(self, job: Job, report: Report) -> Iterator[None]:
        """Keep the claim and tell how long it takes, until the block ends."""
        over = threading.Event()
        began = self._engine.now()

        def beat() -> None:
            while not over.wait(BEAT_S):
                try:
                    now = self._engine.now()
                    self._store.extend(job, now, LEASE)
                    took = round((now - began).total_seconds())
                    drift_checks.progress(
                        self._engine, report.id, job.fence, f"Reading and comparing both sides, {took} s so far."
                    )
                except StoreDown:  # the lease may end; then somebody else makes the check again
                    log.warning("%s cannot be prolonged", report.id, extra={"action": "store_down"})

        thread = threading.Thread(target=beat, name="drift-beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=5)


def _of_predictions(metrics: object, profile: DriftProfile, days: int) -> tuple[Movement | None, float | None]:
    """What Prometheus tells: how the predictions moved, and the service's own score. Raises Foreign."""
    if not isinstance(metrics, Metrics):
        text = f"The profile of {profile.model} names no backend that answers metric queries. Set `metrics`."
        raise Foreign("invalid", text)
    moved: Movement | None = None
    if profile.histogram is not None:  # two windows that overlap would hide what moved between them
        window = min(timedelta(days=days), profile.histogram.reference_before)
        moved = predictions.moved(metrics, profile, window)
    return moved, predictions.score(metrics, profile)


def found_of(report: Report, answer: DriftReport, window: Span, now: datetime, said: tuple[str, ...] = ()) -> Found:
    """What is kept of a worker's answer. A file that cannot be read is said to be missing."""
    html, no_html = _file(answer.html_path, f"{report.id}-html", _name(report, answer, "html"), "text/html", now)
    png, no_png = _file(answer.png_path, f"{report.id}-png", _name(report, answer, "png"), "image/png", now)
    remarks = (answer.full_missing, answer.sampled, *answer.notes, *_renamed(answer), *said, no_html, no_png)
    pictured = [column.name for column in answer.columns if column.is_pictured]
    result = Result(
        sentence=answer.sentence, verdict=str(answer.verdict), cause=str(answer.triage.cause),
        meaning=answer.triage.sentence, retrain_locked=answer.triage.retrain_locked or "",
        n=answer.current_rows, reference_n=answer.reference_rows, judged=answer.judged,
        noise=max((one.noise for one in answer.columns if one.noise is not None), default=None),
        drifted=answer.triage.drifted[:50], columns=tuple(_shown(one) for one in answer.columns[:TOP]),
        signs=tuple(Sign(points=one.points, sentence=one.sentence) for one in answer.triage.clues[:SIGNS]),
        set_aside=tuple((one.name, one.why) for one in answer.aside[:30]),
        remarks=tuple(one for one in remarks if one), html=html.id if html else "", picture=png.id if png else "",
        picture_alt=f"Reference against current distribution of {', '.join(pictured) or 'the furthest columns'}.",
        began_at=window.start_at, until_at=window.end_at, took_s=answer.took.total_s,
    )  # fmt: skip
    return Found(result=result, numbers=wire.dumps(answer), files=tuple(one for one in (html, png) if one))


def _shown(column: ColumnReport) -> Shown:
    return Shown(
        name=column.name, direction=_DIRECTIONS.get(column.direction, ""), value=column.value, bound=column.bound,
        noise=column.noise, verdict=str(column.verdict), what=column.change,
    )  # fmt: skip


def _renamed(answer: DriftReport) -> tuple[str, ...]:
    """Columns that are on one side only, in sentences."""
    sides = (("gone", answer.gone, "Gone from the current data"), ("new", answer.added, "New in the current data"))
    return tuple(f"{words}: {', '.join(names[:8])}." for _, names, words in sides if names)


def _name(report: Report, answer: DriftReport, ending: str) -> str:
    safe = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in answer.model)[:60]
    return f"drift-{safe}-{report.id}.{ending}"


def _file(path: str, file_id: str, name: str, media_type: str, now: datetime) -> tuple[StoredFile | None, str]:
    if not path:
        return None, ""
    try:
        with Path(path).open("rb") as file:
            body = file.read(_FILE_CAP + 1)
    except OSError as problem:
        return None, f"The {media_type} of the report could not be read ({problem.strerror})."
    if len(body) > _FILE_CAP:
        return None, f"The {media_type} of the report has more than {_FILE_CAP // 1_000_000} MB and was left out."
    return StoredFile(id=file_id, name=name, media_type=media_type, body=body, made_at=now), ""


QUIET = frozenset({str(Cause.QUIET), str(Cause.TOO_FEW)})  # what nobody has to decide about
