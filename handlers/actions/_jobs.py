"""Running a CronJob at once: what `job` and `retrain` share.

The Job is made as `kubectl create job --from` would make it. Neither `suspend` nor `concurrencyPolicy` applies to such
a Job, so they are looked at here. Its name follows from the plan alone: whoever tries again finds it made already.
"""

from __future__ import annotations

import hashlib
from typing import Any

from bot.model import Draft, Outcome, Plan, Step
from bot.policy import JobProfile
from bot.policy.training import TrainingProfile
from bot.ports import Foreign, Json, Refusal, Run, Scene, Seen, Thing, Workloads
from handlers._kube import (
    CRON_JOB,
    JOB,
    POD,
    annotations_of,
    condition,
    containers,
    count,
    dig,
    is_owned_by,
    items,
    labels_of,
    name_of,
    short_image,
    uid_of,
)
from handlers._look import length, listed
from handlers.actions import _training
from handlers.actions._change import PASSING
from handlers.actions._workload import missing, owner_of, port_of

CREATE, ENDED = "create_job", "prove_ended"
OURS = "mlops-bot/plan"  # annotation of the Job: the plan that made it
_JOB_LABEL = "job-name"  # on the pods of a Job: whose they are
_LOG_LINES = 200
_NAME_CAP = 52  # what is left of 63 for the CronJob's name


def job_of(scene: Scene, name: str) -> JobProfile:
    """The profile's job of that name. Foreign("not_found") when it lists none any more."""
    found = scene.system.job(name)
    if found is None:
        text = f"The profile of {scene.system.name} lists no job {name} any more. Ask again."
        raise Foreign("not_found", text, happened=False)
    return found


def draw(scene: Scene, job: JobProfile, verb: str, title: str, because: str) -> Draft | Refusal:
    """Read the CronJob and its running Jobs, and propose. Raises Foreign when the cluster is silent."""
    port, thing = port_of(scene, job.backend), _cron(job)
    lacking = missing(port, verb, thing)
    if lacking:
        return Refusal(why=lacking)
    live = port.get(thing)
    active = _active(port, live, thing)
    policy = dig(live, "spec", "concurrencyPolicy") or "Allow"
    if active and policy == "Forbid":
        why = f"{thing.label} has a running job ({active[0]}) and forbids two at once (concurrencyPolicy: Forbid)."
        return Refusal(why=f"{why} Wait until it ends.")
    port.create(_job(job), _body(live, "dry-run", ""), dry_run=True)
    warnings, tier = [], "light"
    if active:
        tier = "dangerous" if policy == "Replace" else "change"
        warnings.append(f"{listed(active)} of the same CronJob runs; two at once may write the same things.")
    if dig(live, "spec", "suspend") is True:
        warnings.append("The CronJob is suspended: its schedule is off. This runs it once all the same.")
    owner = owner_of(live)
    warnings += [f"{owner} keeps the CronJob; the Job made from it is not touched."] if owner else []
    images = listed(short_image(one) for one in containers(_template(live)).values())
    steps = (
        Step(name=CREATE, sentence=f"{thing.label}: make one Job from its template ({images}), at once."),
        Step(name=ENDED, sentence=f"Proof: watch the Job until it is complete ({length(job.watch_for)}).", proves=True),
    )
    return Draft(
        title=title, from_="", to=images, because=because, steps=steps, inverse={},
        inverse_text="none: what a job has done is not undone", fingerprint=_facts(live, active), tier=tier,
        args={"job": job.name}, blast=f"{thing.label} ({scene.system.name}, {scene.system.environment})",
        warnings=tuple(warnings), watch_for=job.watch_for,
    )  # fmt: skip


def fingerprint(scene: Scene, job: JobProfile) -> dict[str, str]:
    """The CronJob's facts, read again."""
    port, thing = port_of(scene, job.backend), _cron(job)
    try:
        live = port.get(thing)
    except Foreign as problem:
        if problem.reason == "not_found":
            return {}
        raise
    return _facts(live, _active(port, live, thing))


def see(scene: Scene, job: JobProfile, plan: Plan, step: str, *, change: bool) -> Seen:
    """Carry a step out (`change`), or look at its effect."""
    port = port_of(scene, job.backend)
    thing = _job(job, job_name(job, plan))
    if step == ENDED:
        seen = _ended(port.get(thing))
        if seen.outcome is Outcome.FAILED and plan.action == "retrain":
            return Seen(outcome=Outcome.FAILED, detail=_why(port, thing, job, seen.detail))
        return seen
    if change:
        live = port.get(_cron(job))
        try:
            port.create(thing, _body(live, thing.name, plan.id))
        except Foreign as problem:
            if problem.happened is False and problem.reason in PASSING:
                return Seen(outcome=Outcome.NOT_YET, detail=f"{problem.sentence} Nothing was made.")
            if problem.reason != "conflict":  # a conflict: it is there already, made by an earlier try
                raise
    return _made(port, thing, plan)


def job_name(job: JobProfile, plan: Plan) -> str:
    """The same for every try of a plan, and of no other plan, whatever database it is in."""
    unique = hashlib.sha256(f"{plan.id}\x1f{plan.digest}\x1f{plan.requested_at.isoformat()}".encode()).hexdigest()[:10]
    return f"{job.cronjob[:_NAME_CAP].rstrip('-.')}-{unique}"


def _cron(job: JobProfile) -> Thing:
    return Thing(kind=CRON_JOB, namespace=job.namespace, name=job.cronjob)


def _job(job: JobProfile, name: str = "") -> Thing:
    return Thing(kind=JOB, namespace=job.namespace, name=name)


def _template(live: Json) -> dict[str, Any]:
    return dict(dig(live, "spec", "jobTemplate", "spec", "template") or {})


def _body(live: Json, name: str, plan_id: str) -> dict[str, Any]:
    """The Job, owned by its CronJob so that the history limits apply."""
    made = dig(live, "spec", "jobTemplate") or {}
    notes = {"cronjob.kubernetes.io/instantiate": "manual", **annotations_of(made), OURS: plan_id or "preview"}
    owner = {
        "apiVersion": "batch/v1", "kind": CRON_JOB.name, "name": name_of(live), "uid": uid_of(live), "controller": True,
    }  # fmt: skip
    meta = {"name": name, "annotations": notes, "labels": dict(labels_of(made)), "ownerReferences": [owner]}
    return {"apiVersion": "batch/v1", "kind": JOB.name, "metadata": meta, "spec": made.get("spec") or {}}


def _active(port: Workloads, live: Json, thing: Thing) -> tuple[str, ...]:
    jobs = port.list(Thing(kind=JOB, namespace=thing.namespace))
    return tuple(name_of(one) for one in jobs if is_owned_by(one, uid_of(live)) and not _end_of(one)[0])


def _facts(live: Json, active: tuple[str, ...]) -> dict[str, str]:
    return {
        "uid": uid_of(live), "generation": str(count(live, "metadata", "generation")),
        "running jobs": ", ".join(sorted(active)),
    }  # fmt: skip


def _end_of(found: Json) -> tuple[str, str]:
    """How a Job ended ("Complete" or "Failed") and its reason; "" while it runs."""
    for kind in ("Complete", "Failed"):
        told = condition(found, kind)
        if told.get("status") == "True":
            return kind, f"{told.get('reason') or ''} {told.get('message') or ''}".strip()
    return "", ""


def _made(port: Workloads, thing: Thing, plan: Plan) -> Seen:
    try:
        live = port.get(thing)
    except Foreign as problem:
        if problem.reason == "not_found":
            return Seen(outcome=Outcome.NOT_YET, detail=f"There is no {thing.label} yet.")
        raise
    if annotations_of(live).get(OURS) != plan.id:
        return Seen(outcome=Outcome.FAILED, detail=f"{thing.label} is there, but another plan made it. Ask again.")
    return Seen(outcome=Outcome.DONE, detail=f"{thing.label} is made.")


def _why(port: Workloads, thing: Thing, job: JobProfile, told: str) -> str:
    """Why a training failed, by how its last container ended and by its log; `told` where neither can be read."""
    try:
        pods = port.list(Thing(kind=POD, namespace=thing.namespace), labels=f"{_JOB_LABEL}={thing.name}")
        ended = [one for pod in pods for one in _ends(pod)]
        if not ended:
            return told
        pod, container, last = max(ended, key=lambda one: str(one[2].get("finishedAt") or ""))
        log = port.logs(Thing(kind=POD, namespace=thing.namespace, name=pod), container, lines=_LOG_LINES)
    except Foreign:
        return told  # it may not be read; that it failed is certain
    code = last.get("exitCode")
    run = Run(
        state="failed", exit_code=code if isinstance(code, int) else None, log=log,
        is_out_of_memory=last.get("reason") == "OOMKilled",
    )  # fmt: skip
    verdict = _training.verdict(TrainingProfile(name=job.name, backend=job.backend), run)
    return f"{thing.label} failed: {verdict} The whole log: pod {pod}."


def _ends(pod: Json) -> list[tuple[str, str, Json]]:
    """(pod, container, how it ended) of each container that ended badly."""
    found: list[tuple[str, str, Json]] = []
    for one in items(pod, "status", "containerStatuses"):
        last = dig(one, "state", "terminated") or dig(one, "lastState", "terminated")
        if isinstance(last, dict) and last.get("exitCode") != 0:
            found.append((name_of(pod), str(one.get("name")), last))
    return found


def _ended(live: Json) -> Seen:
    end, why = _end_of(live)
    if end == "Complete":
        return Seen(outcome=Outcome.DONE, detail=f"Job {name_of(live)} is complete.")
    failed = count(live, "status", "failed")
    if end == "Failed":
        text = f"Job {name_of(live)} failed: {why or 'no reason given'}. Look at the log of its pod."
        return Seen(outcome=Outcome.FAILED, detail=text)
    tries = f", {failed} tries failed so far" if failed else ""
    return Seen(outcome=Outcome.NOT_YET, detail=f"Job {name_of(live)} runs{tries}.")
