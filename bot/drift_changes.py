"""What changed in a system while its data moved: what the beginning of a drift is held against.

Three witnesses: the ledger (roll-outs, what the pointer named, what was served), our own plans, and the runs that a
pipeline remembers. What none of them saw is not known, so that nothing fits is no proof that nothing changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import cast

from bot.drift.asked import Change
from bot.model import Plan
from bot.policy import System
from bot.ports import RELEASED, Backends, Foreign, Move, PastRuns, Workloads
from bot.store import Store
from handlers._kube_runs import runs_of

log = logging.getLogger("mlops.drift")

MOST = 40  # that are told to the worker, the newest first
MOST_RUNS = 14  # a pipeline that runs more often than that fits every beginning, so it explains none
BEFORE = 0.25  # of the window: a change may lie a slice before the drift that it made
_MOVES, _INCIDENTS = 200, 50


def changes(
    store: Store, system: System, model: str, backends: Backends, now: datetime, days: int
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """The changes near a window that ends now, newest first, and who could not be asked. Raises StoreDown."""
    since = now - timedelta(days=days * (1 + BEFORE))
    silent: list[str] = []
    about = dict.fromkeys([model, *(one.service for one in system.workloads)])
    moves = [move for name in about for move in store.moves(system.name, name, _MOVES)]
    found = [*_moved(moves), *_ours(store, system, moves, now), *_ran(system, backends, since, now, silent)]
    near = sorted((one for one in found if one.latest_at >= since), key=lambda one: one.latest_at, reverse=True)
    return tuple(near[:MOST]), tuple(silent)


def _moved(moves: Sequence[Move]) -> Iterator[Change]:
    """Moves from one thing to another; that something fell silent and came back as it was is none."""
    last: dict[tuple[str, str], tuple[str, datetime | None]] = {}  # → what was, and since when it is gone
    for move in sorted(moves, key=lambda one: one.latest_at):
        key = (move.model, move.what)
        was, gone_at = last.get(key, ("", None))
        if not move.to:
            last[key] = (was, gone_at or move.earliest_at)
            continue
        if was and was != move.to:
            yield Change(what=_words(move, was), earliest_at=gone_at or move.earliest_at, latest_at=move.latest_at)
        last[key] = (move.to, None)


def _words(move: Move, was: str) -> str:
    if move.what == RELEASED:  # its values are digests of templates: nothing for people
        return f"{move.model} was rolled out anew"
    name = "the served version" if move.what == "served" else move.what.removeprefix("alias ")
    return f"{name} of {move.model} went from {was} to {move.to}"


def _ours(store: Store, system: System, moves: Sequence[Move], now: datetime) -> Iterator[Change]:
    """What our plans did, jobs and trainings too, unless the ledger tells of it."""
    told = {move.plan_id for move in moves}
    for incident in store.incidents(limit=_INCIDENTS, system=system.name):
        for plan in incident.plans:
            if plan.id not in told and plan.started_at is not None:
                yield Change(what=_title(plan), earliest_at=plan.started_at, latest_at=plan.ended_at or now)


def _title(plan: Plan) -> str:
    return f"{plan.id} ran ({plan.draft.title[:80] if plan.draft is not None else plan.action})"


Runs = Sequence[tuple[datetime, datetime | None]]


def _ran(system: System, backends: Backends, since: datetime, now: datetime, silent: list[str]) -> Iterator[Change]:
    for name, ask in _pipelines(system, backends, since, now):
        try:
            runs = ask()
        except Foreign as problem:
            silent.append(f"Runs of {name} are not known: {problem.sentence}")
            continue
        except Exception:  # an odd answer of one pipeline must not cost the whole report
            log.exception("the runs of %s cannot be read", name, extra={"action": "drift_blind"})
            silent.append(f"Runs of {name} are not known: reading them failed inside the bot; the log has the detail.")
            continue
        if len(runs) <= MOST_RUNS:
            for began_at, ended_at in runs:
                yield Change(what=f"the pipeline {name} ran", earliest_at=began_at, latest_at=ended_at or now)


def _pipelines(
    system: System, backends: Backends, since: datetime, now: datetime
) -> Iterator[tuple[str, Callable[[], Runs]]]:
    for training in system.trainings:
        backend = backends.get(training.backend)
        if isinstance(backend, PastRuns):
            yield training.name, partial(backend.ran, training, since, now, MOST_RUNS + 1)
    for job in system.jobs:
        if job.backend in backends:
            yield job.name, partial(runs_of, cast("Workloads", backends[job.backend]), job, since, now)
