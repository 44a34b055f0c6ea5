"""What holds for every test: nothing of the person's own settings reaches it, and a red run means a change."""

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.stack_fixture"]

# Only who names a channel for it has tests/wire/test_same_as_slack.py talk to a real workspace.
if "SLACK_TEST_CHANNEL" in os.environ:
    os.environ |= {f"REAL_{n}": os.environ.get(n, "") for n in ("SLACK_BOT_TOKEN", "SLACK_TEST_CHANNEL")}
# A developer's real tokens and databases must never be what a test talks to.
# What names a Kubernetes for tests is meant for us; a person's own KUBECONFIG is not.
MEANT = {"MLOPS_TEST_KUBECONFIG", "KUBEBUILDER_ASSETS"}
OURS = ("SLACK_", "MLOPS_", "KUBE", "MLFLOW_", "DOCKER_")
for name in [name for name in os.environ if name.startswith(OURS) and name not in MEANT]:
    del os.environ[name]

os.environ |= {
    # Servers under test listen on the loopback; a proxy would answer in their place.
    "NO_PROXY": "127.0.0.1,localhost,::1",
    "no_proxy": "127.0.0.1,localhost,::1",
    # The libraries stay silent about us, and charts need no screen.
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MPLBACKEND": "Agg",
}

# No deadlines: two busy cores stall now and then. Same examples each time: `--hypothesis-profile search` looks for new.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what tests measured (`record_property("figure", …)`), in whatever process they ran."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    told = [value for one in reports for name, value in getattr(one, "user_properties", ()) if name == "figure"]
    if told:
        terminalreporter.section("figures")
    for figure in dict.fromkeys(told):
        terminalreporter.write_line(str(figure))
