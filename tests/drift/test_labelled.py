"""Numbers from predictions and late labels: as scikit-learn's on real data, whatever is wrong with the rows."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, roc_auc_score
from sklearn.preprocessing import scale

from bot.drift.asked import DataSource, Limits, SourceKind
from bot.drift.label_runner import LabelRunner
from bot.drift.labelled import LabelColumns, Labelled, LabelProfile, request
from bot.drift.runner import WorkerSettings
from bot.ports import Foreign
from handlers.drift.fetch import Allowed, Missing
from handlers.drift.labelled import answered
from handlers.drift.source import Unreadable

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
COLUMNS = LabelColumns(prediction="said", target="true", probability="p", time="at", labelled_at="came", key="id")
Row = dict[str, Any]


@pytest.fixture(scope="module")
def real() -> list[Row]:
    """569 real tumours, judged by a model that saw half of them; one prediction each ten minutes."""
    data = load_breast_cancer()
    model = LogisticRegression(max_iter=500).fit(scale(data.data)[::2, :4], data.target[::2])
    chances = model.predict_proba(scale(data.data)[:, :4])[:, 1]
    return [
        {
            "id": number, "said": int(chance > 0.5), "true": int(true), "p": float(chance),
            "at": (NOW - timedelta(minutes=10 * number + 5)).isoformat(),
            "came": (NOW - timedelta(minutes=10 * number + 5) + timedelta(hours=2)).isoformat(),
        }
        for number, (chance, true) in enumerate(zip(chances, data.target, strict=True))
    ]  # fmt: skip


def write(path: Path, rows: Sequence[Row]) -> DataSource:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return DataSource(kind=SourceKind.CSV, path=str(path))


def profile(source: DataSource, labels: DataSource | None = None, **more: Any) -> LabelProfile:
    whole = {
        "system": "clinic", "model": "tumour", "predictions": source, "labels": labels, "columns": COLUMNS,
        "positive": "1", "window": timedelta(days=30), "limits": Limits(wall=timedelta(seconds=60)),
    }  # fmt: skip
    return LabelProfile(**(whole | more))


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Labelled]:
    def asked(one: LabelProfile) -> Labelled:
        folder = tmp_path / "scratch"
        folder.mkdir()
        return answered(request(one, NOW), folder, Allowed(folders=[tmp_path], limits=one.limits))

    return asked


def test_the_numbers_are_those_of_scikit_learn(real: list[Row], ask: Callable[..., Labelled], tmp_path: Path) -> None:
    found = ask(profile(write(tmp_path / "rows.csv", real)))
    true, said, chances = ([row[name] for row in real] for name in ("true", "said", "p"))
    assert (found.rows, found.labelled) == (569, 569)
    assert found.metrics == pytest.approx({
        "accuracy": accuracy_score(true, said), "f1": f1_score(true, said), "brier": brier_score_loss(true, chances),
        "auc": roc_auc_score(true, chances),
    })  # fmt: skip
    assert found.delay_p50_s == found.delay_p90_s == 7200
    assert found.notes == ()


def test_equal_probabilities_share_their_rank(real: list[Row], ask: Callable[..., Labelled], tmp_path: Path) -> None:
    rounded = [row | {"p": round(row["p"], 1)} for row in real]
    found = ask(profile(write(tmp_path / "rows.csv", rounded)))
    expected = roc_auc_score([row["true"] for row in rounded], [row["p"] for row in rounded])
    assert found.metrics["auc"] == pytest.approx(expected)


def test_late_labels_are_counted_and_the_rest_says_nothing(
    real: list[Row], ask: Callable[..., Labelled], tmp_path: Path
) -> None:  # fmt: skip
    late = [row if number >= 400 else row | {"true": "", "came": ""} for number, row in enumerate(real)]
    found = ask(profile(write(tmp_path / "rows.csv", late)))
    assert (found.rows, found.labelled) == (569, 169)
    kept = real[400:]
    assert found.metrics["accuracy"] == pytest.approx(
        accuracy_score([row["true"] for row in kept], [row["said"] for row in kept])
    )


def test_no_label_at_all_gives_no_number(real: list[Row], ask: Callable[..., Labelled], tmp_path: Path) -> None:
    found = ask(profile(write(tmp_path / "rows.csv", [row | {"true": "", "came": ""} for row in real])))
    assert (found.rows, found.labelled, found.metrics) == (569, 0, {})


def test_labels_in_another_place_are_joined_and_the_last_one_counts(
    real: list[Row], ask: Callable[..., Labelled], tmp_path: Path
) -> None:  # fmt: skip
    """A key that was labelled twice must not count twice."""
    predictions = [{name: row[name] for name in ("id", "said", "p", "at")} for row in real]
    labels = [{name: row[name] for name in ("id", "true", "came")} for row in real[:300]]
    early = [row | {"true": 1 - row["true"], "came": row["came"].replace("2026", "2025")} for row in labels[:50]]
    found = ask(profile(write(tmp_path / "said.csv", predictions), write(tmp_path / "true.csv", [*early, *labels])))
    assert (found.rows, found.labelled) == (569, 300)
    assert found.metrics["accuracy"] == pytest.approx(
        accuracy_score([row["true"] for row in real[:300]], [row["said"] for row in real[:300]])
    )


def test_only_the_window_counts(real: list[Row], ask: Callable[..., Labelled], tmp_path: Path) -> None:
    found = ask(profile(write(tmp_path / "rows.csv", real), window=timedelta(hours=10)))
    assert found.rows == 60


def test_several_classes_have_a_mean_f1(ask: Callable[..., Labelled], tmp_path: Path) -> None:
    data = load_digits()
    said = LogisticRegression(max_iter=200).fit(data.data[::3], data.target[::3]).predict(data.data)
    rows = [{"said": f"{one}", "true": float(two)} for one, two in zip(said, data.target, strict=True)]
    columns = LabelColumns(prediction="said", target="true")
    found = ask(profile(write(tmp_path / "rows.csv", rows), columns=columns, positive=""))
    assert found.metrics == pytest.approx({
        "accuracy": accuracy_score(data.target, said), "f1": f1_score(data.target, said, average="macro"),
    })  # fmt: skip


FAULTS: dict[str, tuple[Mapping[str, Any], str]] = {
    "labels older than predictions": ({"came": "2020-01-01T00:00:00+00:00"}, "older than their prediction"),
    "a probability that is none": ({"p": 7}, "no probability from 0 to 1"),
    "one class only": ({"true": 1}, "no AUC"),
    "a positive class that is not there": ({"true": "yes", "said": "yes"}, "neither predicted nor true"),
    "no prediction": ({"said": ""}, "have no prediction"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_odd_about_the_rows_is_told(
    real: list[Row], ask: Callable[..., Labelled], tmp_path: Path, name: str
) -> None:  # fmt: skip
    change, told = FAULTS[name]
    found = ask(profile(write(tmp_path / "rows.csv", [row | dict(change) for row in real])))
    assert any(told in note for note in found.notes), found.notes


def test_labels_that_come_for_one_class_only_are_told(
    real: list[Row], ask: Callable[..., Labelled], tmp_path: Path
) -> None:  # fmt: skip
    """As when only rejected loans are looked at again: the numbers are not about all predictions."""
    uneven = [row if row["said"] == 1 else row | {"true": ""} for row in real]
    [note] = [note for note in ask(profile(write(tmp_path / "rows.csv", uneven))).notes if "unevenly" in note]
    assert "“0” is 34% of all predictions, but 0% of the labelled" in note or "but 100% of the labelled" in note


@pytest.mark.parametrize("column", ["said", "true", "p", "came"])
def test_a_column_that_is_missing_is_named(
    real: list[Row], ask: Callable[..., Labelled], tmp_path: Path, column: str
) -> None:  # fmt: skip
    rows = [{name: value for name, value in row.items() if name != column} for row in real]
    with pytest.raises(Unreadable, match=f"no column '{column}'"):
        ask(profile(write(tmp_path / "rows.csv", rows)))


def test_a_file_outside_the_folders_is_refused(real: list[Row], tmp_path: Path) -> None:
    source = write(tmp_path / "rows.csv", real)
    (tmp_path / "scratch").mkdir()
    with pytest.raises(Missing):
        answered(request(profile(source), NOW), tmp_path / "scratch", Allowed(folders=[tmp_path / "other"]))


def runner(tmp_path: Path, one: LabelProfile) -> LabelRunner:
    return LabelRunner(WorkerSettings(folders=(tmp_path,)), {"clinic": {"tumour": one}})


def test_a_process_of_its_own_computes_it(real: list[Row], tmp_path: Path) -> None:
    found = runner(tmp_path, profile(write(tmp_path / "rows.csv", real))).ask("clinic", "tumour", NOW)
    assert found.labelled == 569
    assert np.isfinite(list(found.metrics.values())).all()


def test_its_failures_are_sentences(real: list[Row], tmp_path: Path) -> None:
    source = write(tmp_path / "rows.csv", real)
    broken = profile(DataSource(kind=SourceKind.CSV, path=str(tmp_path / "gone.csv")))
    with pytest.raises(Foreign, match="does not exist"):
        runner(tmp_path, broken).ask("clinic", "tumour", NOW)
    quick = profile(source, limits=Limits(wall=timedelta(milliseconds=1)))
    with pytest.raises(Foreign, match="took longer than") as raised:
        runner(tmp_path, quick).ask("clinic", "tumour", NOW)
    assert raised.value.reason == "timeout"
    with pytest.raises(Foreign, match="names no rows"):
        runner(tmp_path, quick).ask("clinic", "other", NOW)
