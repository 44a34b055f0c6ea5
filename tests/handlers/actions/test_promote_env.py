"""Promotion of a version that stands in a workload's environment: what is written, refused, and taken back.

The cluster here is an object in memory that takes JSON patches; the same stories are played on a real one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bot.model import Draft, Outcome
from bot.policy import EnvProfile, System, WorkloadProfile
from bot.policy.gate import Criterion, Evaluation, Gate
from bot.ports import Foreign, Refusal, Scene
from handlers.actions.promote import ACTION
from handlers.actions.rollback import ACTION as ROLLBACK
from handlers.backends import kubernetes
from tests.handlers.fakes import MODEL, World, plan_of, version

URI = EnvProfile(name="MODEL_URI", value=f"models:/{MODEL}/{{version}}")
CHANGED = Foreign("conflict", "The object has been modified.", happened=False)


@dataclass
class OneDeployment:
    """A Workloads that holds one Deployment."""

    env: list[dict[str, Any]] = field(default_factory=lambda: [{"name": "MODEL_URI", "value": f"models:/{MODEL}/2"}])
    live: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        container = {"name": "srv", "image": "srv:1", "env": self.env}
        template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
        self.live = {
            "metadata": {"uid": "u1", "name": "web", "generation": 1, "resourceVersion": "7"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
            "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
        }  # fmt: skip

    def get(self, thing: object, *, sub: str = "") -> Mapping[str, Any]:
        return copy.deepcopy(self.live)

    def list(self, thing: object, *, labels: str = "", fields: str = "") -> Sequence[Mapping[str, Any]]:
        return ()

    def may(self, verb: str, thing: object, sub: str = "") -> bool:
        return True

    def patch(
        self, thing: object, change: Any, *, sub: str = "", dry_run: bool = False, strict: bool = True
    ) -> Mapping[str, Any]:
        after = copy.deepcopy(self.live)
        for step in change:
            *parents, last = [part.replace("~1", "/") for part in step["path"].split("/")[1:]]
            place: Any = after
            for part in parents:
                place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
            key: Any = int(last) if isinstance(place, list) else last
            if step["op"] == "test":
                if place[key] != step["value"]:
                    raise CHANGED
            else:
                place[key] = step["value"]
        if not dry_run:
            after["metadata"]["generation"] += 1
            self.live = after
        return after

    @property
    def value(self) -> str:
        return str(self.live["spec"]["template"]["spec"]["containers"][0]["env"][0].get("value"))


@dataclass
class Place:
    """The world of the other tests, with a cluster under it."""

    world: World
    cluster: OneDeployment
    env: EnvProfile = URI

    def scene(self) -> Scene:
        model = replace(self.world.profile, env=self.env)
        web = WorkloadProfile(service="intent-server", backend="cluster", namespace="ml", name="web")
        system = System(name="playground", services=("intent-server",), models=(model,), workloads=(web,))
        backends = {**self.world.scene().backends, "cluster": self.cluster}
        return replace(self.world.scene(), system=system, model=model, backends=backends)


@pytest.fixture
def place() -> Place:
    world = World(gate=Gate(criteria=(Criterion(metric="accuracy", at_least=0.95, worsens_by=0.0),)), bounds=())
    world.gate = replace(world.gate or Gate(), same_data_by="data")
    world.registry.recorded = {
        number: Evaluation(metrics={"accuracy": value}, params={"data": "d1"})
        for number, value in (("1", 0.951), ("2", 0.96), ("3", 0.97))
    }
    return Place(world, OneDeployment())


def drawn(place: Place, to: str = "3", **more: str) -> Draft:
    draft = ACTION.draw(place.scene(), {"model": MODEL, "to": to} | more)
    assert isinstance(draft, Draft), draft
    return draft


def refused(place: Place, to: str = "3") -> str:
    refusal = ACTION.draw(place.scene(), {"model": MODEL, "to": to})
    assert isinstance(refusal, Refusal), refusal
    return refusal.why


def test_the_double_is_no_more_than_the_real_one() -> None:
    assert all(hasattr(kubernetes.KubernetesCluster, name) for name in ("get", "list", "patch", "may"))


def test_one_value_is_written_and_the_way_back_puts_it_there_again(place: Place) -> None:
    draft = drawn(place)
    assert (draft.title, draft.tier) == (f"Promote {MODEL} from v2 to v3", "change")
    assert draft.steps[0].sentence == (
        f"Deployment ml/web: set MODEL_URI to models:/{MODEL}/3, only if it is still models:/{MODEL}/2."
    )
    assert [row[1] for row in draft.checks] == ["evaluation data", "accuracy", "accuracy vs champion"]
    assert place.cluster.value.endswith("/2"), "a preview changes nothing"
    plan = plan_of("promote", draft)
    assert ACTION.fingerprint(place.scene(), plan) == draft.fingerprint
    assert ACTION.perform(place.scene(), plan, "set_env").outcome is Outcome.DONE
    assert place.cluster.value.endswith("/3")
    assert ACTION.observe(place.scene(), plan, "set_env").outcome is Outcome.DONE
    back = drawn(place, **dict(draft.inverse))
    assert (back.title, back.checks) == (f"Take back {MODEL} from v3 to v2", ())
    assert ACTION.perform(place.scene(), plan_of("promote", back), "set_env").outcome is Outcome.DONE
    assert place.cluster.value.endswith("/2")


def test_a_promotion_is_proven_by_the_servers_own_word(place: Place) -> None:
    plan = plan_of("promote", drawn(place))
    assert [step.name for step in plan.steps] == ["set_env", "prove_rollout", "prove_served"]
    place.world.server.loaded = "2"
    assert ACTION.observe(place.scene(), plan, "prove_served").outcome is Outcome.NOT_YET
    place.world.server.loaded = "3"
    assert ACTION.observe(place.scene(), plan, "prove_served").outcome is Outcome.DONE


def test_somebody_else_was_faster(place: Place) -> None:
    plan = plan_of("promote", drawn(place))
    place.cluster.live["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = f"models:/{MODEL}/1"
    place.cluster.live["metadata"]["generation"] = 9
    assert plan.draft is not None
    assert ACTION.fingerprint(place.scene(), plan) != plan.draft.fingerprint
    assert ACTION.perform(place.scene(), plan, "set_env").outcome is Outcome.FAILED
    assert place.cluster.value.endswith("/1")


def test_a_number_that_changes_voids_the_plan_too(place: Place) -> None:
    plan = plan_of("promote", drawn(place))
    place.world.registry.recorded["3"] = Evaluation(metrics={"accuracy": 0.99}, params={"data": "d1"})
    assert plan.draft is not None
    now = ACTION.fingerprint(place.scene(), plan)
    assert {key for key in now if now[key] != plan.draft.fingerprint[key]} == {"gate"}


def test_the_gate_is_asked_first(place: Place) -> None:
    assert drawn(place, "1").refusal.startswith("The gate says no to v1: accuracy vs champion is 0.951 vs 0.96")
    place.cluster.live["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "models:/other/v2"
    draft = drawn(place, "3")
    assert draft.from_ == "models:/other/v2", "what means none of the versions is shown as it is"
    assert draft.checks[0][0] == "not recorded", "and nobody knows what to compare with"


@pytest.mark.parametrize(
    "env, told",
    [
        ([], "has no environment variable MODEL_URI"),
        ([{"name": "MODEL_URI", "valueFrom": {"configMapKeyRef": {"name": "x"}}}], "comes from a ConfigMap or Secret"),
        ([{"name": "MODEL_URI", "value": f"models:/{MODEL}/3"}], "Nothing to do"),
    ],
)
def test_what_cannot_be_written(place: Place, env: list[dict[str, Any]], told: str) -> None:
    place.cluster = OneDeployment(env)
    assert told in refused(place)


def test_versions_that_cannot_be_named_or_served(place: Place) -> None:
    assert "has no version v9" in refused(place, "9")
    place.env = EnvProfile(name="MODEL_URI", value="{version}", tag="name")
    assert "has no tag “name”, the name that MODEL_URI wants" in refused(place)
    place.world.registry.known[0] = version("3", "FAILED_REGISTRATION", tags={"name": "v1.3.0"})
    assert "only READY ones can be served" in refused(place)
    place.world.registry.known[0] = version("3", tags={"name": "v1.3.0"})
    assert drawn(place).args["value"] == "v1.3.0"


def test_a_rollback_of_such_a_model_is_one_of_its_workload(place: Place) -> None:
    assert ROLLBACK.parse([MODEL], place.scene().system) == ("intent-server", {"service": "intent-server"})
    assert json.loads(drawn(place).args["change"])["want"] == {
        "/spec/template/spec/containers/0/env/0/value": f"models:/{MODEL}/3"
    }
