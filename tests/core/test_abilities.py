"""Which diagnostics can tell something: nobody is shown six times that an alert names no model."""

from __future__ import annotations

import pytest

from bot.policy import ModelProfile, System, WorkloadProfile

SHOP = System(
    name="shop",
    models=(
        ModelProfile(name="rank", service="ranker", metrics="prom"),
        ModelProfile(name="price", service="pricer", registry="mlflow"),
        ModelProfile(name="price_b", service="pricer", registry="mlflow"),
    ),
    workloads=(WorkloadProfile(service="pricer", backend="cluster", namespace="shop", name="pricer"),),
)


@pytest.mark.parametrize(
    "service, model, able",
    [
        ("ranker", "rank", {"metrics"}),
        ("ranker", "", {"metrics"}),  # the only one it serves
        ("pricer", "price", {"registry", "workloads"}),
        ("pricer", "", {"workloads"}),  # one of two, and nobody said which
        ("", "", set()),  # the system as a whole, as when its monitoring is silent
        ("ranker", "gone", set()),
    ],
)
def test_only_what_can_answer_is_asked(service: str, model: str, able: set[str]) -> None:
    assert SHOP.abilities(service, model) == able
