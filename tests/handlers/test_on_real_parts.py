"""The same promises on a real MLflow, a real Prometheus and the playground's model server; then the story of a
rollback."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.charts import ChartPool
from bot.config import gate as gates
from bot.config.shape import ModelShape
from bot.drift.asked import DriftProfile, Histogram
from bot.model import Draft, Outcome, Plan, Severity, StepState
from bot.policy import Bound, ModelProfile, System
from bot.ports import Foreign, Refusal, Scene, Seen
from handlers.actions import promote, reload, rollback
from handlers.backends import mlflow, mlflow_stages, model_http, prometheus
from handlers.diagnostics import health, metric_graph, metric_now, prediction_drift, served_version, what_changed
from playground.system.stack import Stack
from playground.system.wire import call
from tests.handlers.conformance import check_metrics, check_registry, check_server
from tests.handlers.fakes import MODEL, incident, plan_of

PLAYGROUND = Path(__file__).resolve().parents[2] / "playground/runbooks/playground/system.yaml"
JOB = 'job="intent-server"'
ACCURACY = Bound(signal="accuracy", query=f"model_accuracy{{{JOB}}}", below=0.8, unit="ratio")
ERRORS = Bound(
    signal="error_rate",
    above=0.05,
    unit="ratio",
    query=f'(sum(rate(http_requests_total{{{JOB},endpoint="/predict",status=~"5.."}}[3s])) or vector(0))'
    f' / sum(rate(http_requests_total{{{JOB},endpoint="/predict"}}[3s]))',
)
PROFILE = ModelProfile(
    name=MODEL,
    service="intent-server",
    registry="registry",
    server="server",
    metrics="metrics",
    alias="champion",
    bounds=(ACCURACY, ERRORS),
    served_query=f'model_info{{model="{MODEL}"}}',
    proven_after=timedelta(seconds=4),
    watch_for=timedelta(minutes=1),
)
SYSTEM = System(name="playground", services=("intent-server",), models=(PROFILE,))


@pytest.fixture(scope="module")
def charts() -> Iterator[ChartPool]:
    pool = ChartPool()
    yield pool
    pool.close()


def backends(stack: Stack) -> dict[str, Any]:
    return {
        "registry": mlflow.BACKEND.build({"url": stack.mlflow_url}),
        "server": model_http.BACKEND.build({"url": stack.server_url}),
        "metrics": prometheus.BACKEND.build({"url": str(stack.prometheus_url)}),
    }


@pytest.fixture
def scene(stack: Stack, charts: ChartPool) -> Callable[..., Scene]:
    """A scene of now; the incident began when the fixture was made, or at `since`."""
    clients = backends(stack)
    began = datetime.now(UTC)

    def look(since: datetime = began, **more: Any) -> Scene:
        about = replace(incident(), started_at=since)
        return Scene(
            now=datetime.now(UTC),
            system=SYSTEM,
            model=PROFILE,
            service="intent-server",
            backends=clients,
            incident=about,
            draw=charts.draw,
            **more,
        )

    return look


def test_mlflow_keeps_the_promises_of_a_registry(stack: Stack) -> None:
    client = mlflow.BACKEND.build({"url": stack.mlflow_url})
    check_registry(client, MODEL, "champion")
    assert stack.champion_version() == "2", "everything is as it was"
    assert mlflow.BACKEND.check(client).endswith("answers, 1 registered models")
    newest, *_ = client.versions(MODEL)
    assert (newest.version, newest.status) == ("3", "READY")
    assert newest.run_id
    with pytest.raises(Foreign) as raised:
        client.versions("it's")
    assert raised.value.reason == "invalid"


def test_mlflow_by_stage_keeps_the_promises_of_a_registry(stack: Stack) -> None:
    """The same server, read by stage: one version is in Production, and whoever moves another there archives it."""
    by_alias, by_stage = backends(stack)["registry"], mlflow_stages.BACKEND.build({"url": stack.mlflow_url})
    assert by_stage.alias(MODEL, "Production") is None
    assert stage(stack, "2", "Production") == "Production"
    try:
        check_registry(by_stage, MODEL, "Production", absent="Staging")
        assert mlflow_stages.BACKEND.check(by_stage).endswith("answers, 1 registered models")
        by_stage.move_alias(MODEL, "production", expected="2", to="1")  # people write it as they like
        assert {one.version: one.stage for one in by_stage.versions(MODEL)} == {
            "3": "Archived", "2": "Archived", "1": "Production"
        }  # fmt: skip
        stage(stack, "3", "Production")
        with pytest.raises(Foreign, match="Versions 3, 1 of intent_classifier are all in the stage Production"):
            by_stage.alias(MODEL, "Production")
        for name in ("Archived", "Prod", "None"):
            with pytest.raises(Foreign, match="is no stage that a server can follow"):
                by_stage.alias(MODEL, name)
        assert by_alias.alias(MODEL, "champion") == "2", "aliases are another thing"
    finally:
        for number in "123":
            stage(stack, number, "None")


def stage(stack: Stack, number: str, name: str) -> str:
    """Move a version to a stage as somebody would by hand, leaving the others where they are."""
    body = {"name": MODEL, "version": number, "stage": name, "archive_existing_versions": False}
    url = f"{stack.mlflow_url}/api/2.0/mlflow/model-versions/transition-stage"
    return str(call("POST", url, body=body)["model_version"]["current_stage"])


def test_the_model_server_keeps_the_promises_of_a_server(stack: Stack) -> None:
    client = model_http.BACKEND.build({"url": stack.server_url})
    check_server(client, MODEL, "champion")
    assert client.served(MODEL).version == "2"
    assert "healthy (ok)" in model_http.BACKEND.check(client)


def test_prometheus_keeps_the_promises_of_metrics(stack: Stack) -> None:
    client = prometheus.BACKEND.build({"url": str(stack.prometheus_url)})
    check_metrics(client, one="vector(1)", nothing="no_such_metric", not_a_number="vector(0) / 0")
    [scalar] = client.instant("scalar(vector(7))")
    assert scalar.value == 7
    assert prometheus.BACKEND.check(client).endswith("answers queries, 1 targets")
    with pytest.raises(Foreign, match="parse error") as raised:
        client.instant("up{")
    assert raised.value.reason == "invalid"
    with pytest.raises(Foreign, match="exceeded maximum resolution"):
        client.over("up", datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC), timedelta(seconds=1))
    hostile = prometheus.filled('up{job="${job}"}', job='x"} or vector(1) #')
    assert list(client.instant(hostile)) == [], "the label's value stays inside its quotes"


def finish(action: Any, look: Callable[..., Scene], plan: Plan, since: datetime) -> list[Seen]:
    """Carry out every step as the engine does: perform, and look again while it is not yet there."""
    seen: list[Seen] = []
    for index, step in enumerate(plan.steps):
        deadline = time.monotonic() + 30
        seen.append(action.perform(look(since), plan, step.name))
        while seen[-1].outcome is Outcome.NOT_YET:
            assert time.monotonic() < deadline, seen[-1].detail
            time.sleep(0.3)
            seen[-1] = action.perform(look(since), plan, step.name)
        done = replace(step, state=StepState.DONE, ended_at=datetime.now(UTC))
        plan = replace(plan, steps=(*plan.steps[:index], done, *plan.steps[index + 1 :]))
    return seen


def test_there_is_nothing_to_do(stack: Stack, scene: Callable[..., Scene]) -> None:
    refusal = rollback.ACTION.draw(scene(), {"model": MODEL, "to": "2"})
    assert refusal == Refusal(why="Nothing to do: champion of intent_classifier points at v2 already.")
    assert stack.champion_version() == "2"


def test_a_metric_of_nothing_is_said_to_be_nothing(scene: Callable[..., Scene]) -> None:
    silent = replace(scene(), model=replace(PROFILE, bounds=(replace(ACCURACY, query="no_such_metric"),)))
    assert "none of its 1 metrics has a value now" in metric_now.DIAGNOSTIC.ask(silent).sentence
    with pytest.raises(Foreign, match="There are no values of accuracy since"):
        metric_graph.DIAGNOSTIC.ask(silent)


def test_somebody_moves_the_alias_between_preview_and_start(stack: Stack, scene: Callable[..., Scene]) -> None:
    draft = rollback.ACTION.draw(scene(), {"model": MODEL, "to": "3"})
    assert isinstance(draft, Draft), draft
    plan = plan_of("rollback", draft)
    stack.promote("1")
    assert rollback.ACTION.fingerprint(scene(), plan) == draft.fingerprint | {"alias champion": "1", "served": "1"}
    seen = rollback.ACTION.perform(scene(), plan, "move_alias")
    assert seen.outcome is Outcome.FAILED
    assert "points at version 1, not at version 2" in seen.detail
    assert stack.champion_version() == "1", "nothing was changed"


def test_a_reload_is_proven_by_the_server(stack: Stack, scene: Callable[..., Scene]) -> None:
    backends(stack)["registry"].move_alias(MODEL, "champion", expected="2", to="1")
    told = served_version.DIAGNOSTIC.ask(scene()).sentence
    assert told.startswith("MISMATCH: the server serves v2 of intent_classifier, but the registry's champion is v1.")
    draft = reload.ACTION.draw(scene(), {"model": MODEL})
    assert isinstance(draft, Draft), draft
    assert [one.outcome for one in finish(reload.ACTION, scene, plan_of("reload", draft), datetime.now(UTC))] == [
        Outcome.DONE
    ] * 2
    assert stack.served_version() == "1"


def test_from_a_bad_release_to_a_proven_rollback(stack: Stack, scene: Callable[..., Scene]) -> None:
    """The story: v2 serves well, v3 goes live and is bad; the evidence says so; v2 is proven, chosen, restored,
    proven."""
    _served_well_for(stack, scene, timedelta(seconds=8))
    stack.go_bad()
    stack.wait_for_accuracy(below=0.8)
    since = datetime.now(UTC)

    current = metric_now.DIAGNOSTIC.ask(scene(since))
    assert current.sentence.startswith("intent_classifier: accuracy is 0.")
    assert current.rows[0][2] == "at least 0.8: broken"
    served = served_version.DIAGNOSTIC.ask(scene(since))
    assert served.sentence == "The server serves v3 of intent_classifier, as the registry's champion says."
    changed = what_changed.DIAGNOSTIC.ask(scene(since))
    assert changed.sentence.startswith("v3 went live ")
    assert "champion moved from v2 to v3" in [row[0] for row in changed.rows[:3]]
    graph = metric_graph.DIAGNOSTIC.ask(scene(since))
    assert Path(graph.picture).read_bytes().startswith(b"\x89PNG")
    assert "v3 from" in graph.picture_alt
    assert health.DIAGNOSTIC.ask(scene(since)).sentence == "intent-server says that it is healthy."

    draft = rollback.ACTION.draw(scene(since), {"model": MODEL})
    assert isinstance(draft, Draft), draft
    assert (draft.from_, draft.to) == ("v3", "v2")
    assert "accuracy" in draft.args["signals"].split(",")  # a busy machine may break another bound as well
    assert draft.because.startswith("v2 is the last known-good: it served from ")
    assert re.search(r"accuracy (0\.9|1\b)", draft.because), draft.because
    plan = plan_of("rollback", draft)
    assert rollback.ACTION.fingerprint(scene(since), plan) == draft.fingerprint
    seen = finish(rollback.ACTION, scene, plan, since)
    assert [one.outcome for one in seen] == [Outcome.DONE] * 4
    assert re.match(r"Back within bounds with v2 served: accuracy is (0\.9|1 )", seen[-1].detail), seen[-1].detail
    assert (stack.champion_version(), stack.served_version()) == ("2", "2")


def test_the_server_is_down_during_the_reload(stack: Stack, scene: Callable[..., Scene]) -> None:
    """The alias has moved, the server does not answer: said clearly, nothing pretended, and it goes on when it is
    back."""
    draft = rollback.ACTION.draw(scene(), {"model": MODEL, "to": "1"})
    assert isinstance(draft, Draft), draft
    plan = plan_of("rollback", draft)
    assert rollback.ACTION.perform(scene(), plan, "move_alias").outcome is Outcome.DONE
    stack.stop_server()
    seen = rollback.ACTION.perform(scene(), plan, "reload_server")
    assert seen.outcome is Outcome.NOT_YET
    assert seen.detail.startswith("champion is now v1, the server was last seen with v2: The model server at ")
    assert "Next: /mlops reload intent_classifier" in seen.detail
    finding = served_version.DIAGNOSTIC.ask(scene())
    assert finding.sentence.startswith("0 of 1 replicas answer.")
    assert finding.severity is Severity.P0
    assert health.DIAGNOSTIC.ask(scene()).severity is Severity.P0
    stack.start_server()
    assert rollback.ACTION.observe(scene(), plan, "reload_server").outcome is Outcome.DONE, (
        "it came up with what champion says"
    )


def gated() -> ModelProfile:
    """With the gate and the smoke prediction that the playground's own profile has."""
    text = yaml.safe_load(PLAYGROUND.read_text(encoding="utf-8"))["models"][MODEL]
    shape = ModelShape.model_validate(text)
    return replace(PROFILE, gate=gates.gate(shape.gate), smoke=gates.smoke(shape.smoke))


def test_the_gate_keeps_the_bad_version_out_and_lets_a_good_one_in(stack: Stack, scene: Callable[..., Scene]) -> None:
    """v3 reports the best accuracy of all, measured against wrong labels: other data than v2's, so it is refused."""

    def look(since: datetime | None = None) -> Scene:
        return replace(scene(since or datetime.now(UTC)), model=gated())

    no = promote.ACTION.draw(look(), {"model": MODEL, "to": "3"})
    assert isinstance(no, Draft), no
    assert no.refusal.startswith("The gate says no to v3: it was judged on other data (")
    assert {row[1]: row[0] for row in no.checks} == {
        "evaluation data": "FAIL", "accuracy": "pass", "accuracy vs champion": "not compared", "f1": "pass",
        "tag validation_status": "pass",
    }  # fmt: skip

    draft = promote.ACTION.draw(look(), {"model": MODEL, "to": "1"})
    assert isinstance(draft, Draft), draft
    assert draft.refusal == ""
    assert {row[0] for row in draft.checks} == {"pass"}
    plan = plan_of("promote", draft)
    assert promote.ACTION.fingerprint(look(), plan) == draft.fingerprint
    seen = finish(promote.ACTION, look, plan, datetime.now(UTC))
    assert [one.outcome for one in seen] == [Outcome.DONE] * 5
    assert seen[3].detail.startswith("1 of 1 as expected, in ")
    assert (stack.champion_version(), stack.served_version()) == ("1", "1")


@pytest.mark.slow
def test_the_bad_version_fails_its_smoke_prediction(stack: Stack, scene: Callable[..., Scene]) -> None:
    """Somebody names it in a rollback, which asks no gate: the server serves it, and the prediction tells."""
    draft = rollback.ACTION.draw(replace(scene(), model=gated()), {"model": MODEL, "to": "3"})
    assert isinstance(draft, Draft), draft
    stack.promote("3")
    seen = rollback.ACTION.perform(replace(scene(), model=gated()), plan_of("rollback", draft), "prove_smoke")
    assert seen.outcome is Outcome.FAILED
    assert "/predictions/0/label is “market_news”, not cancel_order" in seen.detail


def test_a_registry_that_is_frozen_in_the_middle_is_waited_for(stack: Stack, scene: Callable[..., Scene]) -> None:
    """It takes the connection and says nothing: clear words, nothing changed, and the same step goes on afterwards."""
    look = replace(scene(), model=gated())
    draft = promote.ACTION.draw(look, {"model": MODEL, "to": "1"})
    assert isinstance(draft, Draft), draft
    plan = plan_of("promote", draft)
    stack.freeze_mlflow(frozen=True)
    try:
        seen = promote.ACTION.perform(look, plan, "move_alias")
    finally:
        stack.freeze_mlflow(frozen=False)
    assert seen.outcome is Outcome.NOT_YET
    assert "did not answer within 3 s. Nothing was changed." in seen.detail
    assert stack.champion_version() == "2"
    assert promote.ACTION.perform(look, plan, "move_alias").outcome is Outcome.DONE
    assert stack.champion_version() == "1"


def _served_well_for(stack: Stack, scene: Callable[..., Scene], span: timedelta) -> None:
    """Wait until Prometheus itself has seen v2 serve within its bounds for that long."""
    deadline = time.monotonic() + 40
    metrics: Any = scene().backends["metrics"]
    seconds = int(span.total_seconds())
    query = (
        f"min_over_time(model_accuracy{{{JOB}}}[{seconds}s]) > 0.8 and on () "
        f'count_over_time(model_info{{model="{MODEL}",version="2"}}[{seconds}s]) >= {seconds}'
    )
    while not metrics.instant(query):
        assert time.monotonic() < deadline, "version 2 did not serve well in time"
        time.sleep(0.3)
    assert stack.served_version() == "2"


def test_how_the_predictions_are_spread_is_read_from_a_real_histogram(scene: Callable[..., Scene]) -> None:
    """Of windows of eight seconds; which verdict it is depends on the versions that earlier tests served."""
    histogram = Histogram(
        metric="prediction_probability_bucket", match={"job": "intent-server"}, reference_before=timedelta(seconds=8)
    )
    look = scene(drift=DriftProfile(system="playground", model=MODEL, histogram=histogram))
    deadline = time.monotonic() + 40
    while True:
        try:
            finding = prediction_drift.DIAGNOSTIC.ask(look)
        except Foreign as problem:
            if "has no data in the" not in problem.sentence:
                raise
        else:
            told = {what: value for what, value, _ in finding.rows}
            if int(told["predictions"].replace(",", "")) >= 50:
                break
        assert time.monotonic() < deadline, "no predictions in both windows in time"
        time.sleep(0.3)
    assert 0 <= float(told["index of the predictions"]) < 20
    assert float(told["noise"]) > 0
    assert finding.sentence.startswith(f"{MODEL}: ")
    nowhere = replace(histogram, match={"job": 'no"such\\'})
    with pytest.raises(Foreign, match="has no data in the reference window"):
        prediction_drift.DIAGNOSTIC.ask(replace(look, drift=replace(look.drift, histogram=nowhere)))
