"""rollback on a real cluster: which revision, what is stored, what stays, and every trap that people fall into."""

from __future__ import annotations

from bot.model import PlanState
from playground.kube import Cluster
from tests.cluster.cluster import wait_available
from tests.cluster.desk import BOB, CAROL, MakeTown, image, refusal, restart, roll


def test_the_template_goes_back_and_everything_else_stays(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    """Danger: an undo that wipes annotations or takes replicas along."""
    where = roll(cluster, namespace, "v1")
    here = town()
    here.ledger.look()
    roll(cluster, namespace, "v2")
    here.ledger.look()
    cluster.api.patch(where, {"metadata": {"annotations": {"owner": "ml", "kubernetes.io/change-cause": "deploy v2"}}})
    cluster.api.patch(where, {"spec": {"replicas": 3}})
    wait_available(cluster, where, 3)

    plan = here.ask("rollback web")
    assert plan.draft is not None, plan.ended_why
    assert (plan.draft.from_, plan.draft.to, plan.draft.tier) == ("web:v2", "web:v1", "change")
    assert "last known-good: all its pods were available from" in plan.draft.because
    assert plan.draft.changes == ("containers[srv].image: registry.local/web:v2 → registry.local/web:v1",)
    assert image(cluster, where).endswith("web:v2"), "a preview changes nothing"

    done = here.finish()
    assert done.state is PlanState.VERIFIED, done.ended_why
    live = cluster.api.get(where)
    assert image(cluster, where).endswith("web:v1")
    assert live["spec"]["replicas"] == 3
    notes = live["metadata"]["annotations"]
    assert notes["owner"] == "ml"
    assert notes["kubernetes.io/change-cause"].endswith(f"by alice plan {done.id}")
    assert "pod-template-hash" not in live["spec"]["template"]["metadata"]["labels"]
    sets = cluster.api.get(f"/apis/apps/v1/namespaces/{namespace}/replicasets")["items"]
    assert len(sets) == 2, "the known-good ReplicaSet itself serves again"
    managers = {one["manager"] for one in live["metadata"]["managedFields"]}
    assert "mlops-bot" in managers

    undo = here.ask(f"rollback web to {done.draft.inverse['to']}") if done.draft else done
    assert undo.draft is not None
    assert undo.draft.to == "web:v2"
    assert undo.draft.tier == "dangerous", "a second rollback within ten minutes, and to what was marked bad"
    assert "marked bad" in " ".join(undo.draft.warnings)


def test_a_restart_hides_nothing(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    """Trap: undo after a restart undoes the restart only, and says that it worked."""
    where = roll(cluster, namespace, "v1")
    roll(cluster, namespace, "v2")
    restart(cluster, where)
    restart(cluster, where, "2026-01-02T00:00:00Z")
    here = town()
    done = here.do("rollback web")
    assert done.state is PlanState.VERIFIED, done.ended_why
    assert image(cluster, where).endswith("web:v1")


def test_going_back_twice_does_not_return_to_the_bad_version(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    where = roll(cluster, namespace, "v1")
    roll(cluster, namespace, "v2")
    roll(cluster, namespace, "v3")
    here = town()
    assert here.do("rollback web").state is PlanState.VERIFIED
    assert image(cluster, where).endswith("web:v2")
    again = here.ask("rollback web")
    assert again.draft is not None, again.ended_why
    assert again.draft.to == "web:v1", "v3 has the second highest number now, and is marked bad"
    assert again.needed == 2
    assert here.finish(BOB, CAROL).state is PlanState.VERIFIED
    assert image(cluster, where).endswith("web:v1")
    assert "No earlier version is fit" in refusal(here.ask("rollback web"))
