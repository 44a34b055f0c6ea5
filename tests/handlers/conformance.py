"""What every implementation of a port must do, whoever wrote it. Called by the tests of the real ones and of the
fakes."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from bot.ports import Foreign, Metrics, ModelRegistry, ModelServer


def check_registry(
    registry: ModelRegistry, model: str, alias: str, *, absent: str = "no-such-alias", lists_pointers: bool = True
) -> None:
    """Needs at least two versions, the alias on the second newest or any other; leaves everything as it was.

    `absent`: a pointer that is there for nothing. `lists_pointers`: whether versions tell what points at them.
    """
    versions = registry.versions(model)
    numbers = [int(one.version) for one in versions]
    assert numbers == sorted(numbers, reverse=True), "newest number first"
    assert all(type(one.version) is str and one.created_at.tzinfo is not None for one in versions)
    here = registry.alias(model, alias)
    assert here is not None
    told = [one.version for one in versions if alias in one.aliases]
    assert told == ([here] if lists_pointers else []), "aliases are told with the versions"
    assert registry.alias(model, absent) is None
    other = next(one.version for one in versions if one.version != here)

    registry.move_alias(model, alias, expected=here, to=other)
    assert registry.alias(model, alias) == other
    registry.move_alias(model, alias, expected=here, to=other)  # a repeat of what is done is no conflict
    assert registry.alias(model, alias) == other
    with pytest.raises(Foreign) as raised:
        registry.move_alias(model, alias, expected=here, to=str(max(numbers) + 100))
    assert (raised.value.reason, raised.value.happened) == ("conflict", False)
    assert registry.alias(model, alias) == other, "a refused move moves nothing"
    with pytest.raises(Foreign) as raised:
        registry.move_alias(model, alias, expected=other, to=str(max(numbers) + 100))
    assert raised.value.reason == "not_found"
    assert raised.value.happened is False
    registry.move_alias(model, alias, expected=other, to=here)
    for ask in (lambda: registry.alias("no_such_model", alias), lambda: registry.versions("no_such_model")):
        with pytest.raises(Foreign) as raised:
            ask()
        assert raised.value.reason == "not_found"


def check_server(server: ModelServer, model: str, alias: str) -> None:
    """Needs a server that serves what the alias says."""
    before = server.served(model)
    assert before.model == model
    assert before.version
    assert before.loaded_at is not None
    assert before.loaded_at.tzinfo is not None
    assert server.is_healthy()[0] is True
    assert server.reload(model, alias) == before.version
    after = server.served(model)
    assert after.loaded_at is not None
    assert after.loaded_at > before.loaded_at, "a reload of the same version can be seen"
    with pytest.raises(Foreign) as raised:
        server.reload("another_model", alias)
    assert raised.value.happened is False
    with pytest.raises(Foreign):
        server.reload(model, "no-such-alias")
    assert server.served(model).version == before.version, "a refused reload keeps what was served"


def check_metrics(metrics: Metrics, *, one: str, nothing: str, not_a_number: str) -> None:
    """Needs three queries: one that is always 1, one without series, and one that is always NaN."""
    [sample] = metrics.instant(one)
    assert sample.value == 1
    assert sample.at.tzinfo is not None
    assert list(metrics.instant(nothing)) == [], "no data is an empty answer, not zero"
    assert list(metrics.instant(not_a_number)) == []
    end = datetime.now(UTC).replace(microsecond=0)
    [series] = metrics.over(one, end - timedelta(seconds=10), end, timedelta(seconds=2))
    assert len(series.points) == 6, "both ends belong to it"
    assert [at for at, _ in series.points] == sorted(at for at, _ in series.points)
    assert series.points[-1] == (end, 1.0)
    assert list(metrics.over(nothing, end - timedelta(seconds=10), end, timedelta(seconds=2))) == []
    kept = metrics.over(not_a_number, end - timedelta(seconds=10), end, timedelta(seconds=2))
    assert not [value for series in kept for _, value in series.points if math.isnan(value)]
