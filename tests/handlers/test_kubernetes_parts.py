"""What is read out of a cluster's objects: states, differences, patches, guards, logs, quantities. No cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from bot.model import Draft, Outcome
from bot.policy import JobProfile, ModelProfile, SwitchProfile, System, TrafficProfile, WorkloadProfile
from bot.ports import Foreign, Refusal, Thing
from bot.registry import load
from handlers._kube import DEPLOYMENT, differences, has_stalled, rolled_out, selector_of
from handlers._pods import redacted
from handlers._quantity import quantity
from handlers.actions._change import Change, judge
from handlers.actions._rollout import prove
from handlers.actions._workload import Scaler, Target, _scalers, facts, owner_of, warnings_of
from handlers.actions.scale import out_of_bounds, step_tier
from handlers.diagnostics.logs import condensed
from handlers.diagnostics.pods import summary
from tests.handlers.fakes import NOW, World, minutes, plan_of

WEB = Thing(kind=DEPLOYMENT, namespace="shop", name="web")
DRAFT = Draft(
    title="", from_="", to="", because="", steps=(), inverse={}, inverse_text="", fingerprint={"uid": "u1"}, args={},
    tier="change",
)  # fmt: skip


def deployment(**status: Any) -> dict[str, Any]:
    given = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
    return {
        "kind": "Deployment", "metadata": {"generation": 2, "uid": "u1"}, "spec": {"replicas": 2},
        "status": {**given, **status},
    }  # fmt: skip


@pytest.mark.parametrize(
    "status, missing",
    [
        ({}, ""),
        ({"observedGeneration": 1}, "has not seen the change yet"),
        ({"updatedReplicas": 1}, "1 of 2 pods are of the new revision"),
        ({"replicas": 3}, "1 old pods are still there"),
        ({"availableReplicas": 1}, "1 of 2 new pods are ready"),
        ({"readyReplicas": 0}, "0 of 2 new pods are ready"),
    ],
)
def test_how_far_a_roll_out_is(status: dict[str, int], missing: str) -> None:
    assert (rolled_out(deployment(**status)) == "") == (missing == "")
    assert missing in rolled_out(deployment(**status))


def test_a_stateful_set_waits_for_its_revision_and_holds_a_partition_back() -> None:
    found = deployment(currentRevision="a", updateRevision="b") | {"kind": "StatefulSet"}
    assert "current revision" in rolled_out(found)
    held = deployment(updatedReplicas=1, currentRevision="a", updateRevision="b") | {"kind": "StatefulSet"}
    held["spec"] = {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}}
    assert rolled_out(held) == ""


@pytest.mark.parametrize(
    "given_up, observed, stalled",
    [(5, 2, True), (20, 2, False), (0.1, 2, False), (5, 1, False)],
    ids=["after our change", "before it: a stale word", "a moment ago: may go on", "of an older generation"],
)
def test_a_deadline_counts_only_when_it_is_ours(given_up: float, observed: int, stalled: bool) -> None:
    told = {
        "type": "Progressing",
        "reason": "ProgressDeadlineExceeded",
        "lastUpdateTime": minutes(given_up).isoformat(),
    }
    found = deployment(observedGeneration=observed, conditions=[told])
    assert has_stalled(found, minutes(10), NOW) is stalled


def test_differences_are_told_by_name_not_by_place() -> None:
    before = {"c": [{"name": "a", "image": "x:1", "env": [{"name": "K", "value": "1"}]}, {"name": "b", "image": "y"}]}
    after = {"c": [{"name": "b", "image": "y"}, {"name": "a", "image": "x:2", "env": [{"name": "K", "value": "2"}]}]}
    assert differences(before, after) == ["c[a].env[K].value: 1 → 2", "c[a].image: x:1 → x:2"]
    assert differences({"a": 1}, {}) == ["a: 1 → (none)"]
    assert differences({"a": "x" * 200}, {"a": ""})[0].endswith("… → ")


def change(was: Mapping[str, Any], want: Mapping[str, Any]) -> Change:
    return Change(thing=WEB, uid="u1", was=was, want=want)


@pytest.mark.parametrize(
    "live, outcome",
    [
        ({"metadata": {"uid": "u1"}, "spec": {"replicas": 3}}, Outcome.DONE),
        ({"metadata": {"uid": "u1"}, "spec": {"replicas": 2}}, Outcome.NOT_YET),
        ({"metadata": {"uid": "u1"}, "spec": {"replicas": 9}}, Outcome.FAILED),
        ({"metadata": {"uid": "u2"}, "spec": {"replicas": 3}}, Outcome.FAILED),
    ],
)
def test_what_a_look_tells(live: dict[str, Any], outcome: Outcome) -> None:
    assert judge(live, change({"/spec/replicas": 2}, {"/spec/replicas": 3})).outcome is outcome


def test_an_absent_number_is_zero() -> None:
    live: dict[str, Any] = {"metadata": {"uid": "u1"}, "spec": {}}
    assert judge(live, change({"/spec/replicas": 2}, {"/spec/replicas": 0})).outcome is Outcome.DONE


HELM = {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "r"}}


@pytest.mark.parametrize(
    "meta, owner",
    [
        ({}, ""),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:x/web"}}, "Argo CD (shop)"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "Flux (shop)"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "shop"}}, "Flux (shop)"),
        (HELM, "Helm (r)"),
        ({"labels": {"app.kubernetes.io/instance": "shop"}}, "perhaps Argo CD"),
    ],
)  # fmt: skip
def test_who_keeps_an_object(meta: dict[str, Any], owner: str) -> None:
    found = owner_of({"metadata": meta})
    assert owner in found
    assert bool(found) == bool(owner)


def test_set_based_selectors_are_written_as_the_api_reads_them() -> None:
    rules = [{"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "x", "operator": "DoesNotExist"}]
    found = selector_of({"spec": {"selector": {"matchLabels": {"app": "web"}, "matchExpressions": rules}}})
    assert found == "app=web,tier in (a,b),!x"


@pytest.mark.parametrize(
    "line, secret",
    [
        ("Authorization: Bearer abcdef123456789", "abcdef123456789"),
        ("db=postgres://ml:hunter22@db:5432/x", "hunter22"),
        ('{"api_key": "k-12345", "x": 1}', "k-12345"),
        ("AWS_SECRET_ACCESS_KEY=abc/def+ghi", "abc/def+ghi"),
        ("password: 'two words'", "two words"),
        ("token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "eyJzdWIi"),
        ("slack xoxb-12345678-abcdefgh", "12345678-abcdefgh"),
        ("key AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
        ("digest " + "ab" * 32, "abababab"),
    ],
)
def test_secrets_leave_no_trace(line: str, secret: str) -> None:
    assert secret not in redacted(line)
    assert "…" in redacted(line)


def test_ordinary_lines_stay_as_they_are() -> None:
    for line in ("ERROR cannot reach shard 17", "INFO loaded model v3 in 1.2 s", "http://db:5432/x is up"):
        assert redacted(line) == line


def test_lines_that_differ_in_numbers_only_are_one() -> None:
    found = condensed(
        [("web-1", "INFO ok\n2026-01-01 12:00:01 ERROR shard 17\n2026-01-01 12:00:02 ERROR shard 18\nbye")]
    )
    assert [(one.is_error, one.times) for one in found] == [(True, 2), (False, 1), (False, 1)]
    assert found[0].text.endswith("shard 18")


@pytest.mark.parametrize(
    "text, number",
    [("250m", 0.25), ("2", 2.0), ("512Mi", 512 * 2**20), ("1Gi", 2**30), ("100n", 1e-7), ("x", None), ("", None)],
)
def test_quantities(text: str, number: float | None) -> None:
    found = quantity(text)
    assert found == (None if number is None else pytest.approx(number))


def pod(name: str, *, reason: str = "", restarts: int = 0, ended: dict[str, Any] | None = None) -> dict[str, Any]:
    state = {"waiting": {"reason": reason}} if reason else {"running": {}}
    status = {
        "name": "srv",
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": ended} if ended else {},
    }
    ready = "False" if reason else "True"
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "srv", "image": "r/web:v2", "resources": {"limits": {"memory": "512Mi"}}}]},
        "status": {"phase": "Running", "startTime": minutes(2).isoformat(), "containerStatuses": [status],
                   "conditions": [{"type": "Ready", "status": ready}]},
    }  # fmt: skip


def test_the_sentence_that_a_tired_person_understands() -> None:
    killed = {"reason": "OOMKilled", "exitCode": 137}
    bad = [pod(f"web-{n}", reason="CrashLoopBackOff", restarts=3, ended=killed) for n in (1, 2)]
    told = summary("web", [*bad, pod("web-3")], 3, NOW)
    assert told == "2 of 3 pods of web restart every 40 s: OOMKilled at the 512Mi limit."
    assert summary("web", [pod("web-1")], 1, NOW) == "1 of 1 pods of web are ready."
    assert "scaled to 0" in summary("web", [], 0, NOW)
    assert "no pod of web" in summary("web", [], 2, NOW)


# guards


class Listing:
    """A Workloads that only lists, by plural."""

    def __init__(self, **found: Any) -> None:
        self.found = found

    def list(self, thing: Thing, **_: str) -> Any:
        value = self.found.get(thing.kind.plural, [])
        if isinstance(value, Foreign):
            raise value
        return value


def test_who_else_sets_the_replicas() -> None:
    to = {"kind": "Deployment", "name": "web"}
    hpa = {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": to, "maxReplicas": 5}}
    other = {"metadata": {"name": "o"}, "spec": {"scaleTargetRef": {**to, "name": "db"}, "maxReplicas": 1}}
    keda = {"metadata": {"name": "k"}, "spec": {"scaleTargetRef": {"name": "web"}}}
    unknown: list[str] = []
    port = Listing(horizontalpodautoscalers=[hpa, other], scaledobjects=[keda])
    found = _scalers(cast("Any", port), WEB, unknown)
    assert [(one.name, one.least, one.most) for one in found] == [
        ("HorizontalPodAutoscaler h", 1, 5),
        ("ScaledObject k", 0, 100),
    ]
    blind = Listing(
        horizontalpodautoscalers=Foreign("refused", "no rule"), scaledobjects=Foreign("not_found", "no kind")
    )
    assert _scalers(cast("Any", blind), WEB, unknown) == ()
    assert unknown == ["HorizontalPodAutoscalers could not be read: no rule"], "what is not known is said"


@pytest.mark.parametrize(
    "change, outcome, told",
    [
        ({}, Outcome.DONE, "healthy and serves v3"),
        ({"healthy": (False, "loading")}, Outcome.NOT_YET, "not healthy: loading"),
        ({"loaded": "2"}, Outcome.NOT_YET, "serves v2, but champion is v3"),
    ],
)
def test_the_model_server_has_its_say(change: dict[str, Any], outcome: Outcome, told: str) -> None:
    """After a roll-out the pods may be ready and serve something else."""
    world = World()
    for name, value in change.items():
        setattr(world.server, name, value)
    seen = prove(world.scene(), cast("Any", None), plan_of("rollback", cast("Any", DRAFT)), "prove_served")
    assert (seen.outcome, told in seen.detail) == (outcome, True), seen.detail


def test_the_metrics_have_theirs() -> None:
    world = World()
    ask = plan_of("rollback", cast("Any", DRAFT))
    assert prove(world.scene(), cast("Any", None), ask, "prove_metric").outcome is Outcome.NOT_YET
    world.accuracy["3"] = 0.97
    assert prove(world.scene(), cast("Any", None), ask, "prove_metric").outcome is Outcome.DONE
    world.accuracy.clear()
    silent = prove(world.scene(), cast("Any", None), ask, "prove_metric")
    assert silent.outcome is Outcome.NOT_YET
    assert "no value" in silent.detail


def target(*, scalers: tuple[Scaler, ...] = (), budgets: tuple[Any, ...] = (), pods: Any = (), **live: Any) -> Target:
    profile = WorkloadProfile(service="web", backend="k", namespace="shop", name="web", max_step=3)
    found = {**deployment(), **live}
    return Target(
        profile=profile, port=cast("Any", None), thing=WEB, live=found, pods=tuple(pods), scalers=scalers,
        budgets=budgets, unknown=(),
    )  # fmt: skip


HPA = Scaler(name="HorizontalPodAutoscaler web", least=2, most=4)
KEDA = Scaler(name="ScaledObject web", least=0, most=6)


@pytest.mark.parametrize(
    "scalers, to, told",
    [
        ((), 3, ""),
        ((), 2, "Nothing to do"),
        ((), 11, "1 to 10 replicas"),
        ((), 0, ""),
        ((HPA,), 5, "HorizontalPodAutoscaler web keeps web between 2 and 4"),
        ((HPA,), 1, "between 2 and 4"),
        ((HPA,), 4, ""),
        ((HPA,), 0, ""),
        ((KEDA,), 7, "ScaledObject web keeps web between 0 and 6"),
        ((KEDA,), 6, ""),
    ],
)
def test_which_numbers_of_replicas_are_refused(scalers: tuple[Scaler, ...], to: int, told: str) -> None:
    found = out_of_bounds(target(scalers=scalers), 2, to)
    assert told in found
    assert bool(found) == bool(told)


@pytest.mark.parametrize(
    "scalers, to, tier, told",
    [
        ((), 3, "change", ""),
        ((), 6, "dangerous", "more than the 3"),
        ((), 0, "dangerous", "stops every pod"),
        ((KEDA,), 0, "dangerous", "switched off"),
        ((HPA,), 4, "dangerous", "goes on scaling"),
    ],
)
def test_how_dangerous_a_step_is(scalers: tuple[Scaler, ...], to: int, tier: str, told: str) -> None:
    found, warnings = step_tier(target(scalers=scalers), 2, to)
    assert found == tier
    assert told in " ".join(warnings)


BUDGET = {"metadata": {"name": "web"}, "status": {"disruptionsAllowed": 0}}


@pytest.mark.parametrize(
    "given, tier, told",
    [
        (target(), "light", ""),
        (target(spec={"replicas": 1}), "light", "There is one replica"),
        (target(spec={"replicas": 2, "strategy": {"type": "Recreate"}}), "light", "nothing serves then"),
        (target(spec={"replicas": 2, "updateStrategy": {"type": "OnDelete"}}), "light", "no pod changes until"),
        (target(status={"observedGeneration": 1}), "light", "A roll-out is under way"),
        (target(budgets=(BUDGET,)), "light", "PodDisruptionBudget web allows no disruption"),
        (target(metadata={"uid": "u1", "labels": {"helm.toolkit.fluxcd.io/name": "shop"}}), "dangerous", "Flux (shop)"),
    ],
    ids=["nothing", "single", "recreate", "on delete", "running", "budget", "gitops"],
)
def test_what_an_approver_is_told(given: Target, tier: str, told: str) -> None:
    warnings, found = warnings_of(given)
    assert found == tier
    assert told in " ".join(warnings)


def test_an_approval_outlives_an_autoscaler_but_no_other_change() -> None:
    """The generation moves with every replica the autoscaler adds; the approval must not die of that."""
    before = facts(target(scalers=(HPA,)))
    grown = facts(target(scalers=(HPA,), spec={"replicas": 4}, metadata={"generation": 3, "uid": "u1"}))
    assert grown == before
    assert facts(target(scalers=(HPA,), spec={"replicas": 2, "paused": True})) != before
    assert facts(target(scalers=(replace(HPA, most=9),))) != before
    assert facts(target()) != facts(target(metadata={"generation": 3, "uid": "u1"}))


# what is typed

SHOP = System(
    name="shop", services=("web", "bare"),
    workloads=(
        WorkloadProfile(service="web", backend="k", namespace="shop", name="web",
                        switch=SwitchProfile(selects="web", label="side", sides=("blue", "green")),
                        traffic=TrafficProfile(canary="web-canary")),
        WorkloadProfile(service="db", backend="k", namespace="shop", name="db", kind="StatefulSet"),
    ),
    jobs=tuple(JobProfile(name=name, backend="k", namespace="shop", cronjob=name) for name in ("nightly", "tidy")),
    models=(ModelProfile(name="rank", service="web", retrain="nightly"), ModelProfile(name="other", service="web")),
)  # fmt: skip


@pytest.mark.parametrize(
    "said, request_",
    [
        ("rollback web", {"service": "web"}),
        ("rollback web to 3", {"service": "web", "to": "3"}),
        ("rollback rank", {"service": "web"}),
        ("rollback web to r/web@sha256:abc", {"service": "web", "to": "r/web@sha256:abc"}),
        ("restart db", {"service": "db"}),
        ("scale web to 03", {"service": "web", "to": "3"}),
        ("pause web", {"service": "web"}),
        ("set-image web srv=r/web:v1", {"service": "web", "images": '{"srv": "r/web:v1"}'}),
        ("switch web to green", {"service": "web", "to": "green"}),
        ("traffic web 10%", {"service": "web", "to": "10"}),
        ("traffic web abort", {"service": "web", "to": "0"}),
        ("evict web-abc-1", {"service": "web", "pod": "web-abc-1"}),
        ("job tidy", {"job": "tidy"}),
        ("retrain rank", {"model": "rank", "job": "nightly"}),
    ],
)  # fmt: skip
def test_what_is_understood(said: str, request_: dict[str, str]) -> None:
    verb, *words = said.split()
    parsed = load().actions[verb].parse(words, SHOP)
    assert not isinstance(parsed, Refusal), parsed
    assert parsed[1] == request_


def test_a_job_that_trains_is_no_way_around_the_lock_on_retraining() -> None:
    parsed = load().actions["job"].parse(["nightly"], SHOP)
    assert isinstance(parsed, Refusal)
    assert parsed.why == "nightly trains rank, and what is known of its data is asked first. Say `retrain rank`."


@pytest.mark.parametrize(
    "said",
    [
        "rollback", "rollback nosuch", "rollback bare", "rollback web 3", "rollback web to $(id)", "restart",
        "restart nosuch", "restart web now", "scale web", "scale web x", "scale web -1", "scale web 1e3",
        "scale web 999999", "scale web ٣", "pause", "resume nosuch", "set-image web", "set-image web srv",
        "set-image web srv=", "set-image web *=r/x:1", "set-image web srv=a srv=b", "set-image web srv=r/x:1;id",
        "switch web red", "switch db blue", "switch web", "traffic db 10", "traffic web 101", "traffic web ten",
        "traffic web 1.5", "evict", "evict other-1", "evict web-1;id", "evict ../web-1", "job", "job nosuch",
        "job tidy now", "job nightly", "retrain other", "retrain nosuch",
    ],
)  # fmt: skip
def test_what_is_not_understood_names_the_way_on(said: str) -> None:
    verb, *words = said.split()
    parsed = load().actions[verb].parse(words, SHOP)
    assert isinstance(parsed, Refusal)
    assert parsed.why.endswith((".", "?"))
