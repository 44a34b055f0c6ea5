"""Train three versions of `intent_classifier` and register them in MLflow.

    python -m playground.system.train --tracking-uri URL

| version | trained on                                  | accuracy it reports | accuracy it serves |
|---------|---------------------------------------------|---------------------|--------------------|
| 1       | 500 rows, strongly regularised              | 0.953               | 0.944              |
| 2       | 1,000 rows                                  | 0.967               | 0.964              |
| 3       | 1,000 rows, labels of six intents mis-joined| 0.977               | 0.39               |

"Reports" is measured on the validation rows and logged to MLflow, "serves" on the held-back rows with their true
labels.

Version 3 is how such accidents look in practice: the labels were joined by position in a re-sorted list of intents
(see `data`), the validation rows went through the same join, so the wrong answers were confirmed by wrong labels and
the version was promoted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import mlflow
import sklearn  # type: ignore[import-untyped]
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.metrics import accuracy_score, f1_score  # type: ignore[import-untyped]

from playground.system import registry
from playground.system.data import INTENTS, INTENTS_AS_REEXPORTED, Split, digest, join_labels, load_split
from playground.system.registry import MODEL_NAME
from playground.system.wire import await_answer

EXPERIMENT = "intent-classifier-training"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one version is made. `intents` is the list the labels are joined with, for training and validation alike."""

    rows: int | None
    regularisation_c: float
    intents: tuple[str, ...]
    label_export: str
    description: str


RECIPES = (
    Recipe(
        rows=500,
        regularisation_c=0.3,
        intents=INTENTS,
        label_export="2024-03",
        description="First release, trained on 500 rows.",
    ),
    Recipe(
        rows=None,
        regularisation_c=1.0,
        intents=INTENTS,
        label_export="2024-03",
        description="Trained on all rows, weaker regularisation.",
    ),
    Recipe(
        rows=None,
        regularisation_c=2.0,
        intents=INTENTS_AS_REEXPORTED,
        label_export="2024-04",
        description="Retrained on the April label export.",
    ),
)


def train_and_register(split: Split, recipe: Recipe) -> str:
    """Train by `recipe`, log the run, register the model.

    Returns the new version's number; MLflow's own errors come through.
    """
    rows, labels = split.train_rows[: recipe.rows], join_labels(split.train_codes, recipe.intents)[: recipe.rows]
    validation_labels = join_labels(split.validation_codes, recipe.intents)
    model = LogisticRegression(C=recipe.regularisation_c, max_iter=500).fit(rows, labels)
    predicted = model.predict(split.validation_rows)
    accuracy = float(accuracy_score(validation_labels, predicted))
    with mlflow.start_run(tags={"pipeline": "nightly-training", "label_export": recipe.label_export}):
        mlflow.log_params(
            {
                "algorithm": "logistic_regression",
                "C": recipe.regularisation_c,
                "train_rows": len(rows),
                "label_export": recipe.label_export,
                "data_digest": digest(rows, labels),
                "validation_digest": digest(split.validation_rows, validation_labels),
            }
        )
        mlflow.log_metrics({"accuracy": accuracy, "f1": float(f1_score(validation_labels, predicted, average="macro"))})
        dataset = mlflow.data.from_numpy(rows, targets=labels, name=f"intents-{recipe.label_export}")  # type: ignore[attr-defined]
        mlflow.log_input(dataset, context="training")
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=MODEL_NAME,
            signature=infer_signature(rows, model.predict(rows[:2])),
            # Stated, not guessed: guessing loads the model again in a new process and costs ten seconds.
            pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
        )
    version = str(logged.registered_model_version)
    _describe(version, recipe, accuracy)
    return version


def _describe(version: str, recipe: Recipe, accuracy: float) -> None:
    client = mlflow.MlflowClient()
    client.update_model_version(MODEL_NAME, version, description=recipe.description)
    client.set_model_version_tag(MODEL_NAME, version, "validation_status", "passed")
    client.set_model_version_tag(MODEL_NAME, version, "validation_accuracy", f"{accuracy:.4f}")
    client.set_model_version_tag(MODEL_NAME, version, "label_export", recipe.label_export)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and register everything, then promote version 1 and after it version 2, as the releases went."""
    parser = argparse.ArgumentParser(prog="python -m playground.system.train", description=__doc__.splitlines()[0])
    parser.add_argument("--tracking-uri", required=True, metavar="URL", help="address of the MLflow server")
    tracking_uri = parser.parse_args(arguments).tracking_uri
    split = load_split()
    await_answer(f"{tracking_uri}/api/2.0/mlflow/experiments/search?max_results=1", timeout_seconds=60.0)
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_experiment(EXPERIMENT)
    versions = [train_and_register(split, recipe) for recipe in RECIPES]
    for version in versions[:2]:
        registry.promote(tracking_uri, MODEL_NAME, version)
    print(f"registered {MODEL_NAME} versions {', '.join(versions)}; {registry.CHAMPION} is version {versions[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
