"""Every diagnostic: one plain sentence, rows, and silence of a backend told as silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bot.model import Severity
from bot.ports import Diagnostic, Foreign, Move
from handlers.diagnostics import health, metric_graph, metric_now, served_version, what_changed
from tests.handlers.fakes import ACCURACY, DOWN, LATENCY, LOST, MODEL, NOW, World, minutes, version

ALL = [module.DIAGNOSTIC for module in (health, metric_graph, metric_now, served_version, what_changed)]


@pytest.mark.parametrize("diagnostic", ALL, ids=lambda one: one.name)
def test_every_diagnostic_answers_in_one_plain_sentence(diagnostic: Diagnostic) -> None:
    finding = diagnostic.ask(World(bounds=(ACCURACY, LATENCY)).scene())
    assert finding.diagnostic == diagnostic.name
    assert finding.sentence.endswith((".", ")"))
    assert "\n" not in finding.sentence
    assert finding.available
    assert all(len(row) == 3 for row in finding.rows)
    assert diagnostic.question.endswith("?")


@pytest.mark.parametrize("diagnostic", ALL, ids=lambda one: one.name)
def test_without_a_model_there_is_nothing_to_ask(diagnostic: Diagnostic) -> None:
    scene = replace(World().scene(), model=None, service="")
    with pytest.raises(Foreign, match="names no single model of playground"):
        diagnostic.ask(scene)
    by_service = replace(World().scene(), model=None)
    assert diagnostic.ask(by_service).diagnostic == diagnostic.name, "a service with one model names it"


@pytest.mark.parametrize("diagnostic", ALL, ids=lambda one: one.name)
def test_a_profile_without_the_backend_is_told_so(diagnostic: Diagnostic) -> None:
    with pytest.raises(Foreign, match="The profile of playground has no backend"):
        diagnostic.ask(replace(World().scene(), backends={}))


# current


def test_current_values_against_their_bounds() -> None:
    finding = metric_now.DIAGNOSTIC.ask(World(bounds=(ACCURACY, LATENCY), latency={"3": 0.2}).scene())
    assert finding.sentence == "intent_classifier: accuracy is 0.41 (should be at least 0.8)."
    assert finding.rows == (
        ("accuracy of intent_classifier", "0.41", "at least 0.8: broken"),
        ("95th percentile of the answer time", "0.2 s", "at most 1 s: kept"),
    )


def test_current_values_that_are_fine_or_missing() -> None:
    world = World(bounds=(ACCURACY, LATENCY), accuracy={"3": 0.9})
    assert metric_now.DIAGNOSTIC.ask(world.scene()).sentence == (
        "intent_classifier: its metric is within bounds now. No value for latency."
    )
    nothing = metric_now.DIAGNOSTIC.ask(World(accuracy={}).scene())
    assert (
        nothing.sentence
        == "intent_classifier: none of its 1 metrics has a value now, which is not the same as being fine."
    )
    assert nothing.rows == (("accuracy of intent_classifier", "no value", "at least 0.8"),)


def test_current_takes_the_worst_of_several_series() -> None:
    world = World()
    world.metrics.answers[ACCURACY.query] = lambda _: [({"instance": "a"}, 0.95), ({"instance": "b"}, 0.3)]
    assert "accuracy is 0.3" in metric_now.DIAGNOSTIC.ask(world.scene()).sentence


def test_current_without_bounds_or_without_an_answer() -> None:
    with pytest.raises(Foreign, match="no bounds"):
        metric_now.DIAGNOSTIC.ask(World(bounds=()).scene())
    world = World()
    world.metrics.trouble = LOST
    with pytest.raises(Foreign, match="did not answer"):
        metric_now.DIAGNOSTIC.ask(world.scene())


# health


def test_health_in_the_servers_own_words() -> None:
    world = World()
    assert health.DIAGNOSTIC.ask(world.scene()).sentence == "intent-server says that it is healthy."
    world.server.healthy = (False, "still loading")
    finding = health.DIAGNOSTIC.ask(world.scene())
    assert finding.sentence == "intent-server answers, but says that it cannot serve: still loading."
    assert finding.severity is Severity.P0
    world.server.trouble["is_healthy"] = DOWN
    finding = health.DIAGNOSTIC.ask(world.scene())
    assert (finding.severity, finding.severity_why) == (Severity.P0, "0 of 1 replicas answer")
    world.server.trouble["is_healthy"] = Foreign("invalid", "It answered no JSON.")
    with pytest.raises(Foreign, match="no JSON"):
        health.DIAGNOSTIC.ask(world.scene())


# served_version


def test_served_version_agrees() -> None:
    finding = served_version.DIAGNOSTIC.ask(World().scene())
    assert finding.sentence == "The server serves v3 of intent_classifier, as the registry's champion says."
    assert finding.rows == (
        ("server", "v3, loaded 14:25 UTC", ""),
        ("registry, alias champion", "v3", "registered: v3, v2, v1"),
    )
    assert finding.severity is None


def test_served_version_disagrees_loudly() -> None:
    world = World(bad={"3": "left by plan PLN-1"})
    world.registry.aliases["champion"] = "2"
    finding = served_version.DIAGNOSTIC.ask(world.scene())
    assert finding.sentence.startswith(
        "MISMATCH: the server serves v3 of intent_classifier, but the registry's champion is v2."
    )
    assert "`reload intent_classifier` would load v2" in finding.sentence
    assert "v3 (marked bad)" in finding.rows[1][2]


def test_served_version_of_a_server_that_is_down_raises_the_severity() -> None:
    world = World()
    world.server.trouble["served"] = DOWN
    finding = served_version.DIAGNOSTIC.ask(world.scene())
    assert finding.sentence == f"0 of 1 replicas answer. {DOWN.sentence} The registry's champion is v3."
    assert (finding.severity, finding.severity_why) == (Severity.P0, "0 of 1 replicas answer")
    world.server.trouble["served"] = Foreign("not_found", "It runs, but has no model loaded: still loading.")
    finding = served_version.DIAGNOSTIC.ask(world.scene())
    assert (finding.severity, finding.severity_why) == (Severity.P0, "nothing is served")
    world.server.trouble["served"] = Foreign("invalid", "It answered no JSON.")
    assert served_version.DIAGNOSTIC.ask(world.scene()).severity is None, "an odd answer is no evidence of an outage"


def test_served_version_when_the_registry_is_silent_or_has_no_alias() -> None:
    world = World()
    world.registry.aliases.clear()
    assert "no alias champion" in served_version.DIAGNOSTIC.ask(world.scene()).sentence
    world.registry.trouble["alias"] = DOWN
    finding = served_version.DIAGNOSTIC.ask(world.scene())
    assert finding.sentence.startswith("The server serves v3 of intent_classifier. The registry could not be asked:")
    world.server.trouble["served"] = LOST
    assert served_version.DIAGNOSTIC.ask(world.scene()).severity is Severity.P0
    world.server.trouble["served"] = Foreign("invalid", "It answered no JSON.")
    with pytest.raises(Foreign, match="refused"):
        served_version.DIAGNOSTIC.ask(world.scene())


# what_changed


def move(what: str, old: str, new: str, ago: float, by: str = "") -> Move:
    return Move(
        system="playground",
        model=MODEL,
        what=what,
        from_=old,
        to=new,
        earliest_at=minutes(ago),
        latest_at=minutes(ago),
        by=by,
    )


def test_what_changed_ranks_by_nearness_to_the_start() -> None:
    """The alert began 4 minutes ago; v3 went live 2 minutes before it."""
    world = World(past=[(120, "1"), (60, "2"), (6, "3")], moves=(move("alias champion", "2", "3", 6.5, "U2"),))
    world.registry.known[0] = version("3", age=90)
    finding = what_changed.DIAGNOSTIC.ask(world.scene())
    assert finding.sentence == "v3 went live 2 min before the alert (champion moved from v2 to v3)."
    assert [row[0] for row in finding.rows[:4]] == [
        "the server changed from v2 to v3",
        "champion moved from v2 to v3",
        "the server changed from v1 to v2",
        "v3 was registered",
    ]
    assert finding.rows[1] == ("champion moved from v2 to v3", "14:28 UTC, 2 min before", "by U2")


def test_what_changed_after_the_start_comes_last() -> None:
    world = World(past=[(120, "1"), (60, "2"), (6, "3"), (1, "2")])
    rows = [row[0] for row in what_changed.DIAGNOSTIC.ask(world.scene()).rows]
    assert rows[0] == "the server changed from v2 to v3"
    assert rows[-1] == "the server changed from v3 to v2"


def test_two_witnesses_of_one_move_are_told_once() -> None:
    world = World(moves=(move("alias champion", "2", "3", 6),))
    stamp = minutes(6).isoformat()
    world.registry.known[0] = version("3", tags={"ops.prod_from": stamp, "ops.replaced": "2"})
    rows = [row[0] for row in what_changed.DIAGNOSTIC.ask(world.scene()).rows]
    assert rows.count("champion moved from v2 to v3") == 1
    world = World()
    world.registry.known[0] = version("3", tags={"ops.prod_from": stamp, "ops.replaced": "2"})
    assert ("champion moved from v2 to v3", "14:29 UTC, 2 min before", "registry tag") in (
        what_changed.DIAGNOSTIC.ask(world.scene()).rows
    )
    world.registry.known[0] = version("3", tags={"ops.prod_from": "yesterday; DROP TABLE"})
    assert what_changed.DIAGNOSTIC.ask(world.scene()).rows[0][0] == "the server changed from v2 to v3"


def test_a_new_version_is_told_when_nothing_is_nearer() -> None:
    world = World(past=[(2000, "3")])
    world.registry.known[0] = version("3", age=14)
    assert what_changed.DIAGNOSTIC.ask(world.scene()).sentence == (
        "V3 was registered 10 min before the alert; nothing nearer is known."
    )


def test_nothing_changed_is_said_with_what_could_not_be_asked() -> None:
    world = World(past=[(4000, "3")])
    world.registry.known = [version("3", age=9_000)]
    told = "Nothing is known to have changed in the 24 h before the start"
    assert what_changed.DIAGNOSTIC.ask(world.scene()).sentence == f"{told}."
    world.metrics.trouble = DOWN
    finding = what_changed.DIAGNOSTIC.ask(world.scene())
    assert finding.sentence == f"{told} as far as can be told; not every source answered."
    assert finding.rows == (("not known", "", DOWN.sentence),)
    world.registry.trouble["versions"] = LOST
    with pytest.raises(Foreign, match="did not answer"):
        what_changed.DIAGNOSTIC.ask(world.scene())


def test_the_first_look_of_the_ledger_is_no_change() -> None:
    world = World(past=[(4000, "3")], moves=(move("alias champion", "", "3", 5),))
    world.registry.known = [version("3", age=9_000)]
    assert what_changed.DIAGNOSTIC.ask(world.scene()).rows == ()


# metric_graph


def drawn(world: World) -> tuple[Mapping[str, Any], Any]:
    given: list[Mapping[str, Any]] = []

    def draw(specification: Mapping[str, object]) -> str:
        given.append(specification)
        return "/tmp/a.png"

    finding = metric_graph.DIAGNOSTIC.ask(world.scene(draw=draw))
    return given[0], finding


def test_the_graph_shows_bound_start_and_version_change() -> None:
    specification, finding = drawn(World(past=[(120, "1"), (60, "2"), (6, "3")]))
    assert specification["title"] == "accuracy of intent_classifier"
    assert specification["axis"] == "accuracy (ratio)"
    assert specification["bounds"] == [{"value": 0.8, "label": "bound: at least 0.8"}]
    assert specification["marks"][0] == {"at": minutes(4).timestamp(), "label": "alert starts", "style": "start"}
    [change] = specification["marks"][1:]
    assert change["label"] == "v3 live"
    assert abs(change["at"] - minutes(6).timestamp()) <= 4, "as near as the grid is fine"
    times = [at for at, _ in specification["points"]]
    assert times == sorted(times)
    assert 200 <= len(times) <= 420
    assert NOW.timestamp() - times[-1] < 1, "the last point is now"
    assert finding.picture == "/tmp/a.png"
    assert finding.sentence == "accuracy was 0.97 before 14:31 UTC and is 0.41 now (should be at least 0.8)."
    for words in ("Line graph: accuracy of intent_classifier", "Lowest 0.41, highest 0.97", "v3 from 14:29"):
        assert words in finding.picture_alt


def test_the_graph_is_of_the_bound_that_is_broken_most() -> None:
    specification, _ = drawn(World(bounds=(LATENCY, ACCURACY), latency={"1": 0.1, "2": 0.1, "3": 0.1}))
    assert specification["axis"] == "accuracy (ratio)"


def test_a_short_history_is_looked_at_closely() -> None:
    specification, _ = drawn(World(past=[(5, "2"), (4.2, "3")]))
    times = [at for at, _ in specification["points"]]
    assert times[1] - times[0] == 1


def test_the_graph_without_worker_or_values_or_version_history() -> None:
    finding = metric_graph.DIAGNOSTIC.ask(World().scene())
    assert finding.picture == ""
    assert "No picture" in finding.sentence
    with pytest.raises(Foreign, match="no values of accuracy"):
        metric_graph.DIAGNOSTIC.ask(World(accuracy={}).scene())
    with pytest.raises(Foreign, match="no bounds"):
        metric_graph.DIAGNOSTIC.ask(World(bounds=()).scene())
    specification, _ = drawn(World(served_query=""))
    assert len(specification["marks"]) == 1


def test_a_chart_worker_that_fails_costs_the_picture_only() -> None:
    def draw(_: Mapping[str, object]) -> str:
        raise Foreign("timeout", "No picture: the chart took longer than 10 s.")

    with pytest.raises(Foreign, match="No picture"):
        metric_graph.DIAGNOSTIC.ask(World().scene(draw=draw))
