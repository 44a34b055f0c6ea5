"""The bot's own engine and worker on a real cluster, in this process, with a database of its own.

A test asks as a person would, approves as another, and lets the work run until it rests. Nothing is faked: the cluster
is the real API server, seen with the rights of the role that we ship.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from bot.desk import Asker, Desk, Reply
from bot.engine import Engine
from bot.ledger import Ledger
from bot.model import Finding, Incident, Plan, PlanState, Subject, Who
from bot.policy import JobProfile, Person, Policy, System, WorkloadProfile
from bot.registry import load
from bot.store import Store
from bot.work import Worker
from playground.kube import Cluster
from tests.cluster.cluster import deployment, path, wait_available

ROOT = Path(__file__).resolve().parents[2]
RBAC = ROOT / "deploy" / "kubernetes" / "rbac"
ACCOUNT = ("mlops-bot", "mlops-bot")  # namespace and name of the service account in the manifests
TEAM = "T1"
ALICE, BOB, CAROL, DANA = (
    Who(team_id=TEAM, user_id=f"U{name}", name=name.lower()) for name in ("ALICE", "BOB", "CAROL", "DANA")
)
REST_S = 60.0
_RESTING = {PlanState.PENDING}


def grant(
    cluster: Cluster, namespace: str, *, but: tuple[str, str] = ("", ""), roles: tuple[str, ...] = ("look", "act")
) -> None:
    """Bind the shipped roles in a namespace. `but` leaves one rule out: (verb, resource)."""
    cluster.namespace(ACCOUNT[0])
    subject = {"kind": "ServiceAccount", "namespace": ACCOUNT[0], "name": ACCOUNT[1]}
    for file in sorted(RBAC.glob("clusterrole-*.yaml")):
        role = yaml.safe_load(file.read_text())
        name = role["metadata"]["name"]
        if name.rpartition("-")[2] not in roles:
            continue
        head = {"apiVersion": role["apiVersion"], "metadata": {"name": name}}
        copy = {**head, "kind": "Role", "rules": _without(role["rules"], *but)}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        binding = {**head, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]}
        cluster.apply([copy, binding], namespace=namespace)


def _without(rules: list[dict[str, Any]], verb: str, resource: str) -> list[dict[str, Any]]:
    left = []
    for rule in rules:
        for one in rule["resources"]:
            verbs = [each for each in rule["verbs"] if (each, one) != (verb, resource)]
            left.append({**rule, "resources": [one], "verbs": verbs})
    return [rule for rule in left if rule["verbs"]]


class Town:
    """One system named `shop` with its engine. `close` when done; the database is a file that another Town may open."""

    def __init__(
        self, kubeconfig: Path, namespace: str, database: Path, *, kind: str = "Deployment",
        services: Mapping[str, Mapping[str, Any]] | None = None, jobs: tuple[str, ...] = (),
        watch_for: timedelta = timedelta(seconds=40), more: Mapping[str, Any] | None = None,
        backends: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        self.namespace = namespace
        self.skew = timedelta(0)  # how far the bot's clock is ahead
        every = services or {"web": {"kind": kind}}
        here: dict[str, Any] = {"backend": "cluster", "namespace": namespace, "watch_for": watch_for}
        self.system = System(
            name="shop",
            channel="#shop",
            services=tuple(every),
            workloads=tuple(
                WorkloadProfile(**{**here, "service": key, "name": key, **one}) for key, one in every.items()
            ),
            jobs=tuple(JobProfile(**here, name=name, cronjob=name) for name in jobs),
            oncall=("alice",),
            **(more or {}),
        )
        people = (
            Person(key="alice", who=ALICE, roles=frozenset({"oncall", "engineer"})),
            Person(key="bob", who=BOB, roles=frozenset({"engineer", "senior"})),
            Person(key="carol", who=CAROL, roles=frozenset({"manager"})),
            Person(key="dana", who=DANA, roles=frozenset({"director"})),
        )
        policy = Policy(people=people, systems={"shop": self.system})
        self.registry = load()
        self.cluster = self.registry.backends["kubernetes"].build({"kubeconfig": str(kubeconfig)})
        self.store = Store(f"sqlite:///{database}", audit_key=b"a key for tests")
        self.store.migrate()
        self.engine = Engine(self.store, policy, self.now)
        self.worker = Worker(
            self.engine, actions=self.registry.actions, diagnostics=self.registry.diagnostics,
            backends=lambda _: {"cluster": self.cluster, **(backends or {})}, draw=None,
        )  # fmt: skip
        self.desk = Desk(self.engine, self.worker, self.registry.actions, self.registry.diagnostics)
        self.ledger = Ledger(self.engine, {"shop": {"cluster": self.cluster}})

    def now(self) -> datetime:
        return datetime.now(UTC) + self.skew

    def close(self) -> None:
        self.worker.close()
        self.store.close()

    # people

    def say(self, text: str, who: Who = ALICE) -> Reply:
        return self.desk.say(text, Asker(who=who))

    def ask(self, text: str, who: Who = ALICE) -> Plan:
        """Ask for a guarded action; the plan when it is drawn, or refused."""
        reply = self.say(text, who)
        assert not reply.refused, reply.text
        self.work(until=lambda plan: plan.draft is not None or plan.is_ended)
        return self.plan

    def approve(self, *people: Who, plan: Plan | None = None) -> Reply:
        """Approve the newest plan as these people, bob when none is named; the last one's answer."""
        about = plan or self.plan
        reply = Reply(text="")
        for who in people or (BOB,):
            reply = self.desk.click_approve(about.id, about.digest[:16], Asker(who=who))
        return reply

    def finish(self, *people: Who, within_s: float = REST_S) -> Plan:
        """Approve, and work until the plan has ended."""
        reply = self.approve(*people)
        assert not reply.refused, reply.text
        self.work(until=lambda plan: plan.is_ended, within_s=within_s)
        return self.plan

    def do(self, text: str, *people: Who) -> Plan:
        """Ask, approve, finish."""
        asked = self.ask(text)
        assert asked.state is PlanState.PENDING, asked.ended_why
        return self.finish(*(people or ((BOB, CAROL) if asked.needed == 2 else (BOB,))))

    # the machine

    @property
    def incident(self) -> Incident:
        return self.store.incidents(limit=1)[0]

    @property
    def plan(self) -> Plan:
        """The newest plan."""
        plans = [plan for incident in self.store.incidents(limit=50) for plan in incident.plans]
        return max(plans, key=lambda plan: int(plan.id.rpartition("-")[2]))

    def work(self, until: Callable[[Plan], bool], within_s: float = REST_S) -> None:
        """Carry out claimed work until the newest plan is as wanted."""
        deadline = time.monotonic() + within_s
        while not until(self.plan):
            plan = self.plan
            assert time.monotonic() < deadline, (plan.state, [(one.name, one.state, one.detail) for one in plan.steps])
            self.step()

    def step(self) -> None:
        """One round of work; what is due only later is waited for a moment."""
        jobs = self.store.claim("work", "test", self.now(), timedelta(seconds=60), limit=4)
        for job in jobs:
            self.worker.do(job)
        if not jobs:
            time.sleep(0.05)

    def diagnose(self, name: str, service: str = "web", **changes: Any) -> Finding:
        """Ask one diagnostic."""
        scene = self.worker.look(Subject(system="shop", service=service), None)
        return self.registry.diagnostics[name].ask(replace(scene, **changes))


def image(cluster: Cluster, where: str) -> str:
    return str(cluster.api.get(where)["spec"]["template"]["spec"]["containers"][0]["image"])


def roll(cluster: Cluster, namespace: str, tag: str, *, wait: bool = True, name: str = "web", **notes: str) -> str:
    """Let somebody deploy this image; the object's path."""
    where = path(namespace, "deployments", name)
    if not cluster.api.exists(where):
        cluster.apply([deployment(name, f"{name}:{tag}")], namespace=namespace)
    else:
        change = [
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"registry.local/{name}:{tag}"}
        ]
        cluster.api.patch(where, change, "application/json-patch+json")
    if wait:
        wait_available(cluster, where)
    return where


def restart(cluster: Cluster, where: str, at: str = "2026-01-01T00:00:00Z", *, wait: bool = True) -> None:
    note = {"kubectl.kubernetes.io/restartedAt": at}
    cluster.api.patch(where, {"spec": {"template": {"metadata": {"annotations": note}}}})
    if wait:
        wait_available(cluster, where)


def refusal(plan: Plan) -> str:
    """Why a plan was refused before anybody was asked."""
    assert plan.state is PlanState.REFUSED, (plan.state, plan.ended_why)
    assert plan.draft is None
    return plan.ended_why


MakeTown = Callable[..., Town]
