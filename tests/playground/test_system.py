"""The playground's ML system on its real parts: MLflow, scikit-learn, Prometheus, Alertmanager."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from playground import parts
from playground.system import registry, rules
from playground.system.data import INTENTS, join_labels, load_split
from playground.system.monitoring import Webhook, query_number
from playground.system.processes import wait_until
from playground.system.registry import MODEL_NAME
from playground.system.stack import Stack
from playground.system.wire import CallFailed, call, call_text
from tests.alert_sink import AlertSink

GOLDEN = Path(__file__).parents[1] / "golden"
TOKEN = "sink-token"


def test_version_two_is_served_and_prometheus_measures_that_it_is_good(stack: Stack) -> None:
    assert stack.prometheus_url is not None
    served = query_number(stack.prometheus_url, f'model_info{{model="{MODEL_NAME}",version="2"}}')
    accuracy = stack.wait_for_accuracy(at_least=0.9)
    print(f"served accuracy of version 2: {accuracy:.3f}")
    assert (stack.champion_version(), stack.served_version(), served) == ("2", "2", 1.0)


def test_the_bad_version_was_promoted_because_its_own_numbers_look_best(running_stack: Stack) -> None:
    own = {version: _metrics_of(running_stack, version) for version in ("1", "2", "3")}
    assert own["1"]["accuracy"] < own["2"]["accuracy"] <= own["3"]["accuracy"]
    assert own["3"]["f1"] > 0.9


def test_each_version_says_what_it_was_trained_on(running_stack: Stack) -> None:
    seen = [_run_of(running_stack, version) for version in ("1", "2", "3")]
    digests = {_pairs(run["data"]["params"])["data_digest"] for run in seen}
    assert len(digests) == 3
    assert all(run["inputs"]["dataset_inputs"][0]["dataset"]["digest"] for run in seen)


def test_the_release_step_leaves_a_trail(running_stack: Stack) -> None:
    replaced, current = _version(running_stack, "1"), _version(running_stack, "2")
    assert registry.alias_version(running_stack.mlflow_url, MODEL_NAME, registry.PREVIOUS) is not None
    assert "ops.prod_until" in _pairs(replaced["tags"])
    assert "ops.prod_from" in _pairs(current["tags"])


@pytest.mark.slow
def test_an_incident_from_the_bad_release_to_the_resolved_notification(stack: Stack) -> None:
    with AlertSink() as sink:
        stack.send_alerts_to(Webhook(url=sink.url, token=TOKEN))
        stack.go_bad()
        assert stack.served_version() == "3"
        fallen = stack.wait_for_accuracy(below=0.8)
        firing = sink.wait_for("ModelAccuracyLow", "firing")
        stack.restore()
        stack.wait_for_version("2")
        risen = stack.wait_for_accuracy(at_least=0.9)
        resolved = sink.wait_for("ModelAccuracyLow", "resolved")
    print(f"served accuracy: {fallen:.2f} with version 3, {risen:.2f} back on version 2")
    assert fallen < 0.6
    assert firing.authorization == f"Bearer {TOKEN}"
    assert _shape(firing.body) == _shape(_golden("firing"))
    assert _shape(resolved.body) == _shape(_golden("resolved"))
    (alert,) = firing.alerts("ModelAccuracyLow", "firing")
    assert alert["labels"]["severity"] == "critical"
    assert alert["labels"]["model"] == MODEL_NAME
    assert alert["annotations"]["bound"] == "0.80"
    assert 0.2 < float(alert["annotations"]["value"]) < 0.8
    assert "Watchdog" not in json.dumps([seen.body for seen in sink.received])


def test_a_reload_that_fails_keeps_the_old_version_and_says_why(stack: Stack) -> None:
    with pytest.raises(CallFailed, match="alias nowhere not found") as failed:
        stack.reload_server(alias="nowhere")
    assert failed.value.status == 502
    assert json.loads(failed.value.body)["kept_version"] == "2"
    stack.set_fault(refuse_reload="the registry is locked")
    with pytest.raises(CallFailed, match="the registry is locked") as refused:
        stack.go_bad()
    assert refused.value.status == 503
    assert (stack.champion_version(), stack.served_version()) == ("3", "2")


@pytest.mark.slow
def test_a_stopped_server_is_noticed_and_comes_back(stack: Stack) -> None:
    with AlertSink() as sink:
        stack.send_alerts_to(Webhook(url=sink.url))
        stack.stop_server()
        firing = sink.wait_for("ModelServerDown", "firing")
        stack.start_server()
        stack.wait_for_accuracy(at_least=0.9)
    assert firing.authorization is None
    assert firing.body["groupLabels"] == {
        "alertname": "ModelServerDown",
        "model": MODEL_NAME,
        "system": "playground",
    }


def test_rows_that_drift_is_told_from_are_kept(stack: Stack) -> None:
    wait_until(lambda: stack.served_rows() >= 20, what="rows are kept", timeout_seconds=20)
    assert stack.served_rows(broken=True) == 0
    stack.set_fault(blank_feature=1.0)
    wait_until(lambda: stack.served_rows(broken=True) >= 20, what="broken rows are kept", timeout_seconds=20)
    assert len((stack.data / "reference.csv").read_text().splitlines()) == 1001


def test_labels_may_come_later(stack: Stack) -> None:
    split = load_split()
    rows = split.held_back_rows[:3].tolist()
    answer = call("POST", f"{stack.server_url}/predict", body={"rows": rows})
    truth = join_labels(split.held_back_codes[:3], INTENTS).tolist()
    ids = [prediction["id"] for prediction in answer["predictions"]]
    labels = dict(zip(ids, truth, strict=True)) | {"never-given": "greeting"}
    first = call("POST", f"{stack.server_url}/feedback", body={"labels": labels})
    again = call("POST", f"{stack.server_url}/feedback", body={"labels": labels})
    assert (first["accepted"], first["unknown"]) == (3, 1)
    assert (again["accepted"], again["unknown"]) == (0, 4)


@pytest.mark.parametrize(
    "body,reason",
    [
        ([], "at least one row"),
        ({"rows": []}, "at least one row"),
        ({"rows": [[1.0, 2.0]]}, "64 numbers"),
        ({"rows": [["a"] * 64]}, "list of numbers"),
        ({"rows": [[1e999] * 64]}, "not finite"),
        ({"rows": [[0.0] * 64] * 1001}, "at most 1000 rows"),
        ({"rows": [[0.0] * 64], "true_labels": ["greeting", "greeting"]}, "one label for each row"),
    ],
)
def test_a_wrong_predict_body_is_refused_with_the_reason(running_stack: Stack, body: Any, reason: str) -> None:
    with pytest.raises(CallFailed, match=reason) as refused:
        call("POST", f"{running_stack.server_url}/predict", body=body)
    assert refused.value.status == 400


def test_the_server_exports_the_agreed_series(running_stack: Stack) -> None:
    running_stack.wait_for_accuracy()
    text = call_text("GET", f"{running_stack.server_url}/metrics")
    assert 'http_requests_total{endpoint="/predict",status="200"}' in text
    assert 'http_request_duration_seconds_bucket{endpoint="/predict",le="1.0"}' in text
    assert 'predictions_total{label="greeting"}' in text
    assert 'prediction_probability_bucket{le="0.9"}' in text
    assert f'model_info{{model="{MODEL_NAME}",version="' in text
    assert "\nmodel_accuracy_labels " in text
    assert "\nlabels_total " in text
    assert "\nmodel_accuracy 0." in text or "\nmodel_accuracy 1.0" in text


def test_another_model_is_not_reloaded_here(running_stack: Stack) -> None:
    url = f"{running_stack.server_url}/admin/reload-model"
    with pytest.raises(CallFailed, match="serves intent_classifier, not fraud_model") as refused:
        call("POST", url, query={"model_name": "fraud_model"})
    assert refused.value.status == 409


@pytest.mark.slow
def test_without_prometheus_the_accuracy_comes_from_the_server_and_admin_calls_need_the_token() -> None:
    cache = parts.cache_dir().parent / "trained"
    with Stack(metrics=None, cache_dir=cache, admin_token="of-the-admin") as alone:
        assert alone.prometheus_url is None
        accuracy = alone.wait_for_accuracy(at_least=0.9)
        with pytest.raises(CallFailed, match="bearer token") as refused:
            call("POST", f"{alone.server_url}/admin/reload-model")
        alone.go_bad()
        served = alone.served_version()
        folder = alone.folder
    assert accuracy >= 0.9
    assert refused.value.status == 401
    assert served == "3"
    assert not folder.exists()


def test_the_rules_fire_on_what_they_are_for_and_stay_quiet_otherwise(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rules.rule_file())
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(_rule_tests()))
    command = [str(parts.need("promtool")), "test", "rules", str(tmp_path / "tests.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# A constant series `<expression>: <value>x60`, a second apart, and the one rule that must fire on it.
_QUIET = {'up{job="intent-server",instance="i"}': "1x60", 'model_info{job="intent-server",instance="i"}': "1x60"}
_CASES: list[tuple[dict[str, str], str | None]] = [
    (_QUIET, None),
    (_QUIET | {'model_accuracy{job="intent-server"}': "0.81x60"}, None),
    (_QUIET | {'model_accuracy{job="intent-server"}': "0.41x60"}, "ModelAccuracyLow"),
    (_QUIET | {'up{job="intent-server",instance="i"}': "0x60"}, "ModelServerDown"),
    ({}, "ModelServerDown"),
    ({'up{job="intent-server",instance="i"}': "1x60"}, "ModelNotLoaded"),
    (
        _QUIET
        | {
            'http_requests_total{job="intent-server",endpoint="/predict",status="200"}': "0+10x60",
            'http_requests_total{job="intent-server",endpoint="/predict",status="500"}': "0+1x60",
        },
        "ModelErrorRateHigh",
    ),
    (
        _QUIET
        | {
            'http_requests_total{job="intent-server",endpoint="/predict",status="200"}': "0+10x60",
            'http_requests_total{job="intent-server",endpoint="/health",status="503"}': "0+10x60",
        },
        None,
    ),
    (
        _QUIET
        | {
            'http_request_duration_seconds_bucket{job="intent-server",endpoint="/predict",le="1.0"}': "0+1x60",
            'http_request_duration_seconds_bucket{job="intent-server",endpoint="/predict",le="2.5"}': "0+10x60",
            'http_request_duration_seconds_bucket{job="intent-server",endpoint="/predict",le="+Inf"}': "0+10x60",
        },
        "ModelLatencyHigh",
    ),
]


def _rule_tests() -> dict[str, Any]:
    names = [rule.name for rule in rules.RULES]
    return {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1s",
        "tests": [
            {
                "interval": "1s",
                "input_series": [{"series": name, "values": _steps(values)} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f'count by (alertname) (ALERTS{{alertstate="firing",alertname="{name}"}})',
                        "eval_time": "40s",
                        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1}] if name == expected else [],
                    }
                    for name in names
                ],
            }
            for series, expected in _CASES
        ],
    }


def _steps(values: str) -> str:
    """promtool counts up from a start by a step; a constant is a step of nothing."""
    return values if "+" in values else values.replace("x", "+0x")


def _version(stack: Stack, version: str) -> dict[str, Any]:
    query = {"name": MODEL_NAME, "version": version}
    answer = call("GET", f"{stack.mlflow_url}/api/2.0/mlflow/model-versions/get", query=query)
    found: dict[str, Any] = answer["model_version"]
    return found


def _run_of(stack: Stack, version: str) -> dict[str, Any]:
    query = {"run_id": _version(stack, version)["run_id"]}
    found: dict[str, Any] = call("GET", f"{stack.mlflow_url}/api/2.0/mlflow/runs/get", query=query)["run"]
    return found


def _metrics_of(stack: Stack, version: str) -> dict[str, float]:
    return {metric["key"]: metric["value"] for metric in _run_of(stack, version)["data"]["metrics"]}


def _pairs(items: list[dict[str, str]]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in items}


def _golden(status: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((GOLDEN / f"alertmanager_{status}.json").read_text())
    return body


def _shape(value: Any) -> Any:
    """What a body is made of, without what differs from run to run."""
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value]
    return type(value).__name__


def test_the_fixture_hands_over_a_quiet_playground(stack: Stack) -> None:
    names = wait_until(stack.firing_alerts, what="no alert", timeout_seconds=5, is_met=lambda seen: not seen)
    assert names == []
