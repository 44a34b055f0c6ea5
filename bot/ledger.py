"""The ledger's eyes: what was in production when, who moved it, and why.

A registry keeps no history of its aliases, so a move that somebody else made is known only as "between the last look
and this one", unless the registry tells at once (`hear`). That is what is written: two times, not one. A look that gets
no answer writes nothing. What our own plans did is taken from their stored steps, so that it is in the ledger however
quickly it was moved on, and whatever died in between.

Replicas may all look: a line is added under a lock, against what the ledger says by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import cast

from bot.engine import Engine
from bot.model import Plan, Step, StepState
from bot.past import SERVED, past
from bot.policy import ModelProfile, System, WorkloadProfile
from bot.ports import (
    BY_US,
    BY_WEBHOOK,
    FIRST_LOOK,
    LOOKED,
    RELEASED,
    Backends,
    Foreign,
    ModelRegistry,
    ModelServer,
    Move,
    Releases,
)
from bot.store import Store, StoreDown

log = logging.getLogger("mlops.ledger")

BACKFILL = "past"  # what was before we watched has been read once
SAY_SEEN_EVERY = timedelta(minutes=1)  # how exactly the end of our watch is known after a crash
TRY_PAST_EVERY = timedelta(minutes=5)
_MOVES_ALIAS = "move_alias"  # the step of a plan that moves the registry's pointer
_RECENT = 20  # incidents whose plans are looked through
_FAR_BACK = 500
Key = tuple[str, str, str]


class Ledger:
    """Polls every model and workload of every system and stores what moved."""

    def __init__(self, engine: Engine, backends: dict[str, Backends]) -> None:
        self._engine = engine
        self._backends = backends
        self._last_look: dict[Key, datetime] = {}
        self._said_seen: dict[Key, datetime] = {}
        self._tried_past: dict[tuple[str, str], datetime] = {}
        self._has_past: set[tuple[str, str]] = set()
        self._silent: set[Key] = set()
        self._own: set[str] = set()  # plans whose moves are in the ledger

    @property
    def _store(self) -> Store:
        return self._engine.store

    def look(self) -> int:
        """Ask every registry, server and cluster once. Returns how many moves were stored."""
        systems = self._engine.policy.systems.values()
        found = sum(self._our_moves(system) for system in systems)
        found += sum(self._look_at(system, model) for system in systems for model in system.models)
        return found + sum(self._look_out(system, one) for system in systems for one in system.workloads)

    def hear(self, system: str, model: ModelProfile, version: str, at: datetime) -> str:
        """The registry says that the pointer of a model was set at that time ("" for taken away). Says what came of it.

        Hearing the same twice, late, or out of order changes nothing that is known already.
        """
        what = f"alias {model.alias}"
        now = self._engine.now()
        at = min(at, now)  # clocks differ; what is told has happened
        with self._store.begin() as tx:
            tx.lock_ledger(system, model.name)
            known = tx.moves(system, model.name, _FAR_BACK, what)
            if any(move.to == version and move.earliest_at <= at <= move.latest_at for move in known):
                return "known already"
            before = next((move for move in known if move.latest_at <= at), None)
            if before is not None and before.to == version:
                return "known already"
            later = [move for move in known if move.latest_at > at]
            left = before.to if before is not None else later[-1].from_ if later else ""
            plan = self._plan_that_did(system, model.name, version, at)
            tx.add_move(_told(Move(
                system=system, model=model.name, what=what, from_=left, to=version, earliest_at=at, latest_at=at,
                told_by=BY_WEBHOOK,
            ), plan))  # fmt: skip
            watched = tx.watches(system, model.name).get(what)
            is_over = watched is not None and watched.seen_at > at
            if is_over and not any(move.earliest_at <= at for move in later):
                # A look since then found it as before, so it was moved back; when, is known only so far.
                tx.add_move(Move(
                    system=system, model=model.name, what=what, from_=version, to=left, earliest_at=at,
                    latest_at=watched.seen_at if watched else at, told_by=LOOKED,
                ))  # fmt: skip
        return "noted"

    # looking

    def _look_out(self, system: System, service: WorkloadProfile) -> int:
        """What is rolled out whole: a rollback goes only to what once was."""
        cluster = self._backends.get(system.name, {}).get(service.backend)
        if not isinstance(cluster, Releases):
            return 0
        return self._see(system, service.service, RELEASED, lambda: cluster.released(service))

    def _look_at(self, system: System, model: ModelProfile) -> int:
        backends = self._backends.get(system.name, {})
        found = self._look_back(system, model, backends)
        if model.registry in backends and model.env is None:  # else the registry's pointer says nothing
            registry = cast("ModelRegistry", backends[model.registry])
            found += self._see(
                system, model.name, f"alias {model.alias}", lambda: registry.alias(model.name, model.alias) or ""
            )
        if model.server in backends:
            server = cast("ModelServer", backends[model.server])
            found += self._see(system, model.name, SERVED, lambda: server.served(model.name).version)
        return found

    def _see(self, system: System, about: str, what: str, ask: Callable[[], str]) -> int:
        key = (system.name, about, what)
        asked_at = self._engine.now()
        value = self._answer(key, ask)
        if value is None:
            return 0
        now = self._engine.now()
        last = self._store.moves(*key[:2], limit=1, what=what)
        is_same = bool(last) and last[0].to == value
        if is_same and now - self._said_seen.get(key, now - SAY_SEEN_EVERY) < SAY_SEEN_EVERY:
            self._last_look[key] = now
            return 0
        added = self._note(key, value, asked_at, now)
        self._last_look[key] = self._said_seen[key] = now
        return added

    def _note(self, key: Key, value: str, asked_at: datetime, now: datetime) -> int:
        """Add a line when the ledger says something else, and note that it was looked at."""
        system, about, what = key
        with self._store.begin() as tx:
            tx.lock_ledger(system, about)
            last = next(iter(tx.moves(system, about, 1, what)), None)
            if last is not None and last.latest_at > asked_at:
                return 0  # somebody knows something newer than our question; the next look decides
            if last is not None and last.to == value:
                tx.saw(*key, now)
                return 0
            watched = tx.watches(system, about).get(what)
            times = [at for at in (self._last_look.get(key), watched.seen_at if watched else None) if at is not None]
            times += [last.latest_at] if last is not None else []
            seen_at = min(max(times, default=now), now)
            plan = self._plan_that_did(system, about, value, seen_at) if last is not None else None
            tx.add_move(_told(Move(
                system=system, model=about, what=what, from_=last.to if last is not None else "", to=value,
                earliest_at=seen_at, latest_at=now, told_by=LOOKED if last is not None else FIRST_LOOK,
            ), plan))  # fmt: skip
            tx.saw(*key, now)
        return 1

    def _answer(self, key: Key, ask: Callable[[], str]) -> str | None:
        """What is asked, None when nobody can tell. Said once, not every ten seconds."""
        _, about, what = key
        try:
            value = ask()
        except Foreign as problem:
            if key not in self._silent:
                log.warning("ledger: %s of %s: %s", what, about, problem.sentence, extra={"action": "ledger_blind"})
            self._silent.add(key)
            return None
        except StoreDown:
            raise
        except Exception:  # a fault in one backend's code must not blind the ledger to all the others
            if key not in self._silent:
                log.exception("ledger: %s of %s failed", what, about, extra={"action": "ledger_blind"})
            self._silent.add(key)
            return None
        self._silent.discard(key)
        return value

    # the time before

    def _look_back(self, system: System, model: ModelProfile, backends: Backends) -> int:
        """Once per model, whoever does it: what was before we watched."""
        key = (system.name, model.name)
        now = self._engine.now()
        if key in self._has_past or now - self._tried_past.get(key, now - TRY_PAST_EVERY) < TRY_PAST_EVERY:
            return 0
        if BACKFILL in self._store.watches(*key):
            self._has_past.add(key)
            return 0
        self._tried_past[key] = now
        try:
            found, silent = past(system, model, backends, now)
        except StoreDown:
            raise
        except Exception:
            log.exception("ledger: the past of %s cannot be read", model.name, extra={"action": "ledger_blind"})
            return 0
        if silent:
            log.warning("ledger: the past of %s is not known yet: %s", model.name, silent,
                        extra={"action": "ledger_blind"})  # fmt: skip
            return 0
        with self._store.begin() as tx:
            tx.lock_ledger(*key)
            if BACKFILL in tx.watches(*key):
                return 0
            oldest = {move.what: move.latest_at for move in tx.moves(*key, _FAR_BACK)}  # the last one wins: the oldest
            added = sum(tx.add_move(move) for move in found if move.latest_at < oldest.get(move.what, now + _SECOND))
            tx.saw(*key, BACKFILL, now)
        self._has_past.add(key)
        return added

    # what we did ourselves

    def _our_moves(self, system: System) -> int:
        """Moves of our own plans that no look has seen."""
        added = 0
        for plan, step in self._own_steps(system):
            if plan.draft is None or step.ended_at is None:
                continue
            args, began = plan.draft.args, step.started_at or step.ended_at
            key = (system.name, plan.subject.model)
            what = f"alias {args.get('alias', '')}"
            with self._store.begin() as tx:
                tx.lock_ledger(*key)
                known = tx.moves(*key, _FAR_BACK, what)
                is_known = any(
                    move.plan_id == plan.id
                    or (move.to == args["to"] and move.earliest_at <= step.ended_at and move.latest_at >= began)
                    for move in known
                )
                if not is_known:
                    added += tx.add_move(_told(Move(
                        system=system.name, model=plan.subject.model, what=what, from_=args.get("from", ""),
                        to=args["to"], earliest_at=began, latest_at=step.ended_at, told_by=BY_US,
                    ), plan))  # fmt: skip
            self._own.add(plan.id)
        return added

    def _own_steps(self, system: System) -> Iterator[tuple[Plan, Step]]:
        for incident in self._store.incidents(limit=_RECENT, system=system.name):
            for plan in incident.plans:
                if plan.id in self._own or plan.draft is None or not plan.subject.model:
                    continue
                for step in plan.steps:
                    if step.name == _MOVES_ALIAS and step.state is StepState.DONE and "to" in plan.draft.args:
                        yield plan, step

    def _plan_that_did(self, system: str, about: str, value: str, since: datetime) -> Plan | None:
        """The plan of ours that led to this value; None when it was none of ours."""
        for incident in self._store.incidents(limit=_RECENT, system=system):
            for plan in incident.plans:
                of_it = (plan.subject.model or plan.subject.service) == about
                if not of_it or plan.started_at is None or plan.draft is None:
                    continue
                was_running = plan.ended_at is None or plan.ended_at >= since
                if was_running and plan.draft.args.get("to") == value:
                    return plan
        return None


_SECOND = timedelta(seconds=1)


def _told(move: Move, plan: Plan | None) -> Move:
    """The same move with who did it and why, when it was a plan of ours."""
    if plan is None:
        return move
    agreed = [vote.by.name or vote.by.user_id for vote in plan.votes]
    by = plan.requested_by.name or plan.requested_by.user_id
    by += f", approved by {', '.join(agreed)}" if agreed else ""
    why = plan.reason or (plan.draft.because if plan.draft is not None else "")
    return Move(
        system=move.system, model=move.model, what=move.what, from_=move.from_, to=move.to, by=by,
        earliest_at=move.earliest_at, latest_at=move.latest_at, why=why[:300], plan_id=plan.id, told_by=move.told_by,
    )  # fmt: skip
