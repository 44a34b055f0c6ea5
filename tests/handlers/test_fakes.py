"""The fakes keep the promises of the ports, or tests that use them would prove nothing."""

from tests.handlers.conformance import check_metrics, check_registry, check_server
from tests.handlers.fakes import MODEL, FakeMetrics, FakeRegistry, FakeServer


def test_the_fake_registry_is_a_registry() -> None:
    registry = FakeRegistry()
    check_registry(registry, MODEL, "champion")
    assert registry.aliases == {"champion": "3"}


def test_the_fake_server_is_a_server() -> None:
    server = FakeServer(registry=FakeRegistry())
    check_server(server, MODEL, "champion")
    assert server.reloads == 1


def test_the_fake_metrics_are_metrics() -> None:
    metrics = FakeMetrics(answers={"one": lambda _: [({}, 1.0)], "nan": lambda _: [({}, float("nan"))]})
    check_metrics(metrics, one="one", nothing="none", not_a_number="nan")
    assert "none" in metrics.asked
