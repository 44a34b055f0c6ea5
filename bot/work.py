"""Work that follows a commit: diagnostics, previews, the last look at a target, and the steps of a plan.

Work is claimed under a lease and may be claimed again after a crash. Diagnostics and previews only read, so a second
run is harmless and its result is stored once. A step that changes something is different: its intent is stored first
(`StepBegun`), and whoever finds a begun step looks at the target before anything else. Only a step whose effect is
*surely* absent is performed again, under the same precondition.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from datetime import datetime, timedelta

from bot import drift_checks
from bot import events as ev
from bot.drift.asked import DriftProfile
from bot.drift.labelled import Labelled
from bot.engine import Engine
from bot.model import SYSTEM, Draft, Finding, Incident, Outcome, Plan, Step, StepState, Subject
from bot.policy.drift import LOOKED_BACK, counts, standing
from bot.ports import Action, Backends, Diagnostic, Foreign, Refusal, Scene, Seen
from bot.store import Job, StoreDown

log = logging.getLogger("mlops.work")

TIME_BOX_S = 10.0  # one diagnostic may take this long; a person at night waits no longer
DRAW_TRIES = 3
STEP_TRIES = 5
SILENCE = timedelta(minutes=2)  # how long a step's target may be silent before the step is called unknown
_WHOLE_LEDGER, _MANY = 100_000, 1_000
_NAMES_A_VERSION = ("to", "from", "served", "version")  # what requests and arguments of plans call one
_PAUSE = timedelta(seconds=2)
_DRIFT = "drift"  # the diagnostic, and the word in the names of alerts about it
_AFTER_FAULT = timedelta(seconds=10)
_CALL_MARGIN = timedelta(seconds=12)  # a step's foreign calls take no longer; less lease than that: give the work up


class Worker:
    """Carries out claimed work and brings the outcome back as an event."""

    def __init__(
        self, engine: Engine, *, actions: Mapping[str, Action], diagnostics: Mapping[str, Diagnostic],
        backends: Callable[[str], Backends], draw: Callable[[Mapping[str, object]], str] | None,
        drift: Mapping[str, Mapping[str, DriftProfile]] | None = None,
        labels: Callable[[str, str, datetime], Labelled] | None = None,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._drift = drift or {}
        self._store = engine.store
        self._actions = actions
        self._diagnostics = diagnostics
        self._backends = backends
        self._draw = draw
        self._labels = labels
        # Room for every question of several incidents at once: one backend that hangs must not use up all hands.
        hands = max(8, 6 * len(diagnostics))
        self._pool = ThreadPoolExecutor(max_workers=hands, thread_name_prefix="diagnostic")

    def do(self, job: Job) -> None:
        """Carry out one job and settle its row. Raises StoreDown only; the job comes again after its lease."""
        try:
            again = self._dispatch(job)
        except Foreign as problem:
            self._store.try_later(job, self._engine.now() + _PAUSE, problem.sentence)
            return
        except StoreDown:
            raise
        except Exception as problem:
            # A fault of ours must not hold the row until its lease ends, nor stop the ones behind it.
            log.exception("%s %s failed", job.kind, job.id, extra={"action": "work_failed"})
            self._store.try_later(job, self._engine.now() + _AFTER_FAULT, f"inside the bot: {type(problem).__name__}")
            return
        if again is None:
            self._store.delivered(job, self._engine.now())
        else:
            self._store.try_later(job, self._engine.now() + again, "not yet")

    def close(self) -> None:
        """Stop taking diagnostics; running ones end by their own time limits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def scene(self, incident: Incident, subject: Subject | None = None) -> Scene:
        """What an action or a diagnostic of an incident may look at, read now."""
        return self.look(subject or incident.subject, incident)

    def look(self, about: Subject, incident: Incident | None) -> Scene:
        """The same for a subject that need not have an incident."""
        system, now, ask = self._engine.policy.system(about.system), self._engine.now(), self._labels
        reports = self._store.drift.latest(system.name, about.model, 1) if about.model else ()
        done = self._store.drift.latest(system.name, about.model, LOOKED_BACK, done=True) if about.model else ()
        return Scene(
            drift=self._drift.get(system.name, {}).get(about.model), standing=standing(counts(done)),
            checking=next((one.id for one in reports if not one.is_ended), ""),
            now=now, system=system, model=system.model(about.model), service=about.service,
            backends=self._backends(system.name), incident=incident, draw=self._draw,
            bad_versions=self._store.bad_versions(about.system, about.model or about.service),
            moves=self._store.moves(about.system, about.model or about.service),
            used=lambda: self._used(about.model),
            labels=(lambda: ask(about.system, about.model, now)) if ask is not None else None,
        )  # fmt: skip

    def _used(self, model: str) -> dict[str, str]:
        """Versions that somebody may want back, with the reason; of any system with a model of that name.

        Two systems may share a registry, and a version too many that is kept costs less than one too few.
        """
        used: dict[str, str] = {}
        for system in self._engine.policy.systems.values():
            if system.model(model) is None:
                continue
            for move in self._store.moves(system.name, model, limit=_WHOLE_LEDGER):
                for version in (move.to, move.from_):
                    used.setdefault(version, f"the ledger has it as {move.what} ({move.latest_at:%Y-%m-%d})")
        for incident in self._store.incidents(open_only=True, limit=_MANY):
            for plan in incident.plans:
                if plan.is_ended or plan.subject.model != model:
                    continue
                named = {**plan.request, **(plan.draft.args if plan.draft is not None else {})}
                back = plan.draft.inverse.get("to", "") if plan.draft is not None else ""
                for version in (back, *(named.get(key, "") for key in _NAMES_A_VERSION)):
                    used[version] = f"the open plan {plan.id} names it"
        used.pop("", None)
        return used

    def _dispatch(self, job: Job) -> timedelta | None:
        incident = self._store.incident(job.incident_id)
        if incident is None:
            return None
        match job.kind:
            case "diagnose":
                self._diagnose(job, incident)
            case "draw":
                self._draw_plan(job, incident)
            case "reread":
                self._reread(job, incident)
            case "step":
                return self._step(job, incident)
            case _:
                log.error("unknown kind of work %s", job.kind, extra={"action": "unknown_work"})
        return None

    # diagnostics

    def _diagnose(self, job: Job, incident: Incident) -> None:
        asked = tuple(str(name) for name in _listed(job.payload.get("names")))
        names = asked or self._names_for(incident)
        if wants_check(incident, self._engine, names, asked):
            self._check_drift(job, incident)
        scene = self.scene(incident)
        running: dict[Future[Finding], str] = {}
        for name in names:
            diagnostic = self._diagnostics.get(name)
            if diagnostic is not None:
                running[self._pool.submit(self._ask, diagnostic, scene)] = name
        try:
            for future in as_completed(running, timeout=TIME_BOX_S):
                self._report(job, running.pop(future), future.result())
        except FutureTimeoutError:
            for future, name in running.items():
                future.cancel()
                text = f"{name}: no answer within {TIME_BOX_S:.0f} s."
                self._report(job, name, Finding(diagnostic=name, sentence=text, available=False, took_s=TIME_BOX_S))

    def _check_drift(self, job: Job, incident: Incident) -> None:
        """Ask for a fresh drift check besides: it takes longer than a diagnostic, and answers in the same thread."""
        about = incident.subject
        model = self._engine.policy.system(about.system).model(about.model)
        wish = drift_checks.Wish(
            system=about.system, model=about.model, by=SYSTEM, target="thread", why="incident",
            days=model.drift_days if model else 7, incident_id=incident.id,
        )  # fmt: skip
        drift_checks.ask(self._engine, wish, key=f"drift:{job.id}")

    def _names_for(self, incident: Incident) -> tuple[str, ...]:
        """The runbook's diagnostics, or all of those that something of the subject can answer."""
        runbook = next((book for book in self._engine.runbooks if book.name == incident.runbook), None)
        if runbook and runbook.diagnostics:
            return tuple(runbook.diagnostics)
        about = incident.subject
        able = self._engine.policy.system(about.system).abilities(about.service, about.model)
        return tuple(name for name, one in self._diagnostics.items() if able.issuperset(one.needs))

    def _ask(self, diagnostic: Diagnostic, scene: Scene) -> Finding:
        began = time.monotonic()
        try:
            finding = diagnostic.ask(scene)
        except Foreign as problem:
            finding = Finding(diagnostic=diagnostic.name, sentence=problem.sentence, available=False)
        except Exception:
            # A diagnostic with a bug costs its own finding only; the operator gets the detail.
            log.exception("diagnostic %s failed", diagnostic.name, extra={"action": "diagnostic_failed"})
            text = f"{diagnostic.name} failed inside the bot; the log has the detail."
            finding = Finding(diagnostic=diagnostic.name, sentence=text, available=False)
        return replace(finding, took_s=round(time.monotonic() - began, 2), at=scene.now)

    def _report(self, job: Job, name: str, finding: Finding) -> None:
        self._engine.apply(job.incident_id, ev.FindingReported(finding=finding), key=f"finding:{job.id}:{name}")

    # plans

    def picture(self, specification: Mapping[str, object]) -> str:
        """Path of a drawn picture. Raises Foreign when there is none."""
        if self._draw is None:
            raise Foreign("unavailable", "No picture: nothing here draws pictures.")
        return self._draw(specification)

    def _draw_plan(self, job: Job, incident: Incident) -> None:
        plan = incident.plan(str(job.payload["plan_id"]))
        if plan is None or plan.is_ended or plan.draft is not None:
            return
        drawn: Draft | Refusal
        try:
            drawn = self._actions[plan.action].draw(self.scene(incident, plan.subject), plan.request)
        except Foreign as problem:
            if job.attempt < DRAW_TRIES:
                raise
            drawn = Refusal(why=f"No plan: {problem.sentence} Nothing was changed; ask again when it answers.")
        except StoreDown:
            raise
        except Exception:
            # Nobody would ever hear of a plan that cannot be drawn, and it would stand in the way of the next one.
            log.exception("%s of %s cannot be drawn", plan.action, plan.id, extra={"action": "draw_failed"})
            if job.attempt < DRAW_TRIES:  # perhaps a newer replica can
                raise
            drawn = Refusal(
                why=f"No plan: {plan.action} failed inside the bot; the log has the detail. Nothing was changed."
            )
        if isinstance(drawn, Refusal):
            self._engine.apply(incident.id, ev.PlanRefused(plan_id=plan.id, why=drawn.why))
        else:
            self._engine.apply(incident.id, ev.PlanDrawn(plan_id=plan.id, draft=drawn))

    def _reread(self, job: Job, incident: Incident) -> None:
        plan = incident.plan(str(job.payload["plan_id"]))
        if plan is None or plan.is_ended or plan.started_at is not None:
            return
        try:
            fingerprint = self._actions[plan.action].fingerprint(self.scene(incident, plan.subject), plan)
        except Foreign as problem:
            if plan.expires_at is not None and self._engine.now() < plan.expires_at:
                raise
            why = f"Not started, nothing was changed: the target could not be read again. {problem.sentence}"
            self._engine.apply(incident.id, ev.PlanRefused(plan_id=plan.id, why=why))
            return
        self._engine.apply(
            incident.id,
            lambda facts, _: ev.TargetReread(
                plan_id=plan.id, fingerprint=fingerprint, next_plan_id=facts.new_plan_id(),
                locked_by=facts.locked_by(plan.target_key, plan.id), frozen=facts.frozen(plan.subject.system),
            ),
        )  # fmt: skip

    def _step(self, job: Job, incident: Incident) -> timedelta | None:
        plan = incident.plan(str(job.payload["plan_id"]))
        index = int(str(job.payload["index"]))
        if plan is None or plan.is_ended or plan.next_step() != index:
            return None
        action, step = self._actions[plan.action], plan.steps[index]
        seen: Seen | None = None
        if step.state is StepState.STARTED and not step.proves:
            # Somebody stored the intent before us and may have made the call: look, do not repeat.
            seen = self._look(action, incident, plan, step.name)
            if seen.outcome is Outcome.NOT_YET and step.attempts >= STEP_TRIES:
                last = f" The last try: {step.detail}" if step.detail not in ("", seen.detail) else ""
                seen = Seen(outcome=Outcome.FAILED, detail=f"Gave up after {step.attempts} tries: {seen.detail}{last}")
        if seen is None or seen.outcome is Outcome.NOT_YET:
            seen = self._perform(job, action, incident, plan, index)
        if seen is None:
            return _PAUSE
        if seen.outcome is Outcome.UNKNOWN and not step.proves and self._may_be_told_later(job, step):
            return _PAUSE  # look again before giving up: what cannot be told now may be told in a moment
        event = ev.StepObserved(plan_id=plan.id, index=index, outcome=seen.outcome, detail=seen.detail)
        self._engine.apply(incident.id, event)
        return None

    def _may_be_told_later(self, job: Job, step: Step) -> bool:
        """A target that is silent is looked at for two minutes after the call: it may only be starting again."""
        since = step.started_at
        return job.attempt < STEP_TRIES or (since is not None and self._engine.now() - since < SILENCE)

    def _perform(self, job: Job, action: Action, incident: Incident, plan: Plan, index: int) -> Seen | None:
        """Store the intent, check the lease once more, call. None: the lease is too short or somebody else goes on."""
        step = plan.steps[index]
        if step.state is StepState.PENDING or not step.proves:
            intent = ev.StepBegun(plan_id=plan.id, index=index, after_attempt=step.attempts)
            begun = self._engine.apply(incident.id, intent)
            if begun.why.code != "step_begun" or begun.incident is None:
                return None
            incident, plan = begun.incident, begun.incident.plan(plan.id) or plan
        if not self._store.still_mine(job, self._engine.now(), _CALL_MARGIN):
            return None
        try:
            seen = action.perform(self.scene(incident, plan.subject), plan, step.name)
        except Foreign as problem:
            return self._after_trouble(action, incident, plan, index, problem)
        except Exception:
            log.exception("step %s of %s raised", step.name, plan.id, extra={"action": "step_raised"})
            seen = self._look(action, incident, plan, step.name)
        if seen.outcome is Outcome.UNKNOWN and not step.proves:
            return self._look(action, incident, plan, step.name)
        return seen

    def _after_trouble(self, action: Action, incident: Incident, plan: Plan, index: int, problem: Foreign) -> Seen:
        """A call that failed: proof is looked for later, a refusal ends the plan, the rest is looked at."""
        step = plan.steps[index]
        if step.proves:
            return Seen(outcome=Outcome.NOT_YET, detail=problem.sentence)
        if problem.reason in {"refused", "conflict", "invalid", "not_found"} and problem.happened is False:
            return Seen(outcome=Outcome.FAILED, detail=problem.sentence)
        seen = self._look(action, incident, plan, step.name)
        return (
            seen if seen.outcome is Outcome.DONE else replace(seen, detail=f"{problem.sentence} {seen.detail}".strip())
        )

    def _look(self, action: Action, incident: Incident, plan: Plan, step: str) -> Seen:
        try:
            return action.observe(self.scene(incident, plan.subject), plan, step)
        except Foreign as problem:
            return Seen(outcome=Outcome.UNKNOWN, detail=problem.sentence)
        except Exception:
            log.exception("observing %s of %s raised", step, plan.id, extra={"action": "observe_raised"})
            return Seen(
                outcome=Outcome.UNKNOWN, detail="Looking at the target failed inside the bot; the log has the detail."
            )


def wants_check(incident: Incident, engine: Engine, names: Iterable[str], asked: Iterable[str]) -> bool:
    """Whether an incident calls for a drift check: it is about drift, its runbook says so, or somebody asked."""
    about = incident.subject
    model = engine.policy.system(about.system).model(about.model)
    if model is None or not model.drift or _DRIFT not in names:
        return False
    book = next((one for one in engine.runbooks if one.name == incident.runbook), None)
    is_about = any(_DRIFT in name.lower() for name in incident.alert_names)
    return is_about or _DRIFT in asked or bool(book and _DRIFT in book.diagnostics)


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, (list, tuple)) else ()
