"""The ledger's eyes: who was production when, seen by asking again and again.

A registry keeps no history of its aliases, so a move is known only as "between the last look and this one". That is
what is written: two times, not one. A look that gets no answer writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import cast

from bot.engine import Engine
from bot.policy import ModelProfile, System, WorkloadProfile
from bot.ports import RELEASED, Backends, Foreign, ModelRegistry, ModelServer, Move, Releases
from bot.store import StoreDown

log = logging.getLogger("mlops.ledger")

_FAR_BACK = 500


class Ledger:
    """Polls every model and workload of every system and stores what moved."""

    def __init__(self, engine: Engine, backends: dict[str, Backends]) -> None:
        self._engine = engine
        self._backends = backends
        self._last_look: dict[tuple[str, str, str], datetime] = {}
        self._silent: set[tuple[str, str, str]] = set()

    def look(self) -> int:
        """Ask every registry, server and cluster once. Returns how many moves were stored."""
        systems = self._engine.policy.systems.values()
        of_models = sum(self._look_at(system, model) for system in systems for model in system.models)
        return of_models + sum(self._look_out(system, one) for system in systems for one in system.workloads)

    def _look_out(self, system: System, service: WorkloadProfile) -> int:
        """What is rolled out whole: a rollback goes only to what once was."""
        cluster = self._backends.get(system.name, {}).get(service.backend)
        if not isinstance(cluster, Releases):
            return 0
        return self._see(system, service.service, RELEASED, lambda: cluster.released(service))

    def _look_at(self, system: System, model: ModelProfile) -> int:
        found = 0
        backends = self._backends.get(system.name, {})
        if model.registry in backends:
            registry = cast("ModelRegistry", backends[model.registry])
            found += self._see(
                system, model.name, f"alias {model.alias}", lambda: registry.alias(model.name, model.alias) or ""
            )
        if model.server in backends:
            server = cast("ModelServer", backends[model.server])
            found += self._see(system, model.name, "served", lambda: server.served(model.name).version)
        return found

    def _plan_that_did(self, system: System, about: str, value: str, since: datetime) -> str:
        """The plan of ours that led to this value, with who asked for it; "" when it was none of ours."""
        for incident in self._engine.store.incidents(limit=20, system=system.name):
            for plan in incident.plans:
                of_it = (plan.subject.model or plan.subject.service) == about
                if not of_it or plan.started_at is None or plan.draft is None:
                    continue
                was_running = plan.ended_at is None or plan.ended_at >= since
                if was_running and plan.draft.args.get("to") == value:
                    return f"{plan.id}, asked for by {plan.requested_by.name or plan.requested_by.user_id}"
        return ""

    def _see(self, system: System, about: str, what: str, ask: Callable[[], str]) -> int:
        key = (system.name, about, what)
        try:
            value = ask()
        except Foreign as problem:
            if key not in self._silent:  # said once, not every ten seconds
                log.warning("ledger: %s of %s: %s", what, about, problem.sentence, extra={"action": "ledger_blind"})
                self._silent.add(key)
            return 0
        except StoreDown:
            raise
        except Exception:  # a fault in one backend's code must not blind the ledger to all the others
            if key not in self._silent:
                log.exception("ledger: %s of %s failed", what, about, extra={"action": "ledger_blind"})
                self._silent.add(key)
            return 0
        self._silent.discard(key)
        now = self._engine.now()
        # Far back: another fact about the same thing may have moved many times since this one did.
        known = self._engine.store.moves(system.name, about, limit=_FAR_BACK)
        before = next((move for move in known if move.what == what), None)
        seen_at = self._last_look.get(key) or (before.latest_at if before else now)
        self._last_look[key] = now
        if before is not None and before.to == value:
            return 0
        move = Move(
            system=system.name, model=about, what=what, from_=before.to if before else "", to=value,
            earliest_at=seen_at, latest_at=now, by=self._plan_that_did(system, about, value, seen_at),
        )  # fmt: skip
        with self._engine.store.begin() as tx:
            tx.add_move(move)
        return 1
