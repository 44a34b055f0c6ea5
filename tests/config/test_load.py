"""The configuration is read whole, and becomes records that need no second look."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.config import ConfigError, Secret, Settings, data_folder, load
from bot.config.fields import duration
from bot.model import Severity, Who
from tests.config.folder import ENV, NAMES, Folder

PLAYGROUND = tuple(f"PLAYGROUND_{name}" for name in ("MLFLOW_URL", "SERVER_URL", "PROMETHEUS_URL", "RUNS", "PYTHON"))
REPO = Path(__file__).resolve().parents[2]


def settings_of(folder: Folder) -> Settings:
    settings, problems = folder.inspect()
    assert settings is not None
    assert [str(problem) for problem in problems if not problem.warning] == []
    return settings


def test_a_good_configuration_becomes_settings(tmp_path: Path) -> None:
    settings = settings_of(Folder(tmp_path))
    system = settings.policy.systems["shop"]
    assert settings.policy.person(Who(team_id="T0SHOP", user_id="U0BOB")) == settings.policy.by_key("bob")
    assert (system.channel, system.catch_all, system.oncall) == ("#ml", ("channel:#ml",), ("alice",))
    assert system.models[0].bounds[0].limit == "at least 0.8"
    kind, values = settings.backends["shop"]["registry"]
    assert (kind, values) == ("mlflow", {"url": "http://mlflow", "token": ENV["MLFLOW_TOKEN"]})
    assert (settings.http.host, settings.http.port, settings.http.max_body_bytes) == (
        "127.0.0.1",
        8080,
        32 * 1024 * 1024,
    )
    assert settings.slack.api_url == "https://slack.com/api/"
    assert settings.database_url.reveal() == "sqlite:///mlops.db"
    assert [book.name for book in settings.runbooks] == ["default", "shop/ThingDown"]
    assert settings.policy.default.channel == "#ml"


def test_no_secret_is_shown_by_any_record(tmp_path: Path) -> None:
    settings = settings_of(Folder(tmp_path))
    shown = repr(settings) + str(settings.slack.bot_token) + f"{settings.secret_key}"
    assert [value for value in ENV.values() if value in shown] == []
    assert {secret.reveal() for secret in settings.secrets} == set(ENV.values())
    assert repr(Secret("x")) == "Secret(hidden)"
    assert repr(Secret()) == "Secret(empty)"


def test_no_problem_shows_a_secret(tmp_path: Path) -> None:
    """A secret in a place where it does not fit must not come out with the complaint about it."""
    folder = Folder(tmp_path)
    folder.main += "public: ${env:KEY}\n"
    folder.main = folder.main.replace("team_id: T0SHOP", "team_id: ${env:KEY}").replace('"#ml"', "${env:HOOK} x")
    folder.profile = folder.profile.replace("kind: prometheus", "kind: 3").replace("below: 0.8", "below: ${env:KEY}")
    told = "\n".join(folder.errors())
    assert "unknown key" in told
    assert ENV["KEY"] not in told


def test_the_environment_overrides_the_files(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.main = folder.main.replace("  bot_token: ${env:BOT}\n", "").replace("secret_key: ${env:KEY}\n", "")
    folder.env |= {
        "SLACK_BOT_TOKEN": "xoxb-other", "SLACK_API_URL": "http://127.0.0.1:9/api", "MLOPS_SECRET_KEY": "k" * 20,
        "MLOPS_DATABASE_URL": "postgresql://bot:p4ssw0rd@db/x", "MLOPS_WEBHOOK_TOKEN": "other-hook",
    }  # fmt: skip
    settings = settings_of(folder)
    assert settings.slack.bot_token.reveal() == "xoxb-other"
    assert settings.slack.api_url == "http://127.0.0.1:9/api/"
    assert settings.database_url.reveal() == "postgresql://bot:p4ssw0rd@db/x"
    assert settings.http.webhook_token.reveal() == "other-hook"
    assert Secret("p4ssw0rd") in settings.secrets


def test_a_secret_can_come_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "key").write_text("from-a-file-0123456789\n", encoding="utf-8")
    folder.main = folder.main.replace("${env:KEY}", "${file:key}")
    assert settings_of(folder).secret_key.reveal() == "from-a-file-0123456789"


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.main = folder.main.replace("team_id:", "team:").replace("channel:", "chanel:").replace("[alice]", "[alicia]")
    folder.profile = folder.profile.replace("service: ranker", "service: rankr").replace("kind: mlflow", "kind: mlfow")
    with pytest.raises(ConfigError) as caught:
        load(folder.write(), folder.env, NAMES)
    told = str(caught.value)
    assert 'mlops.yaml:2: unknown key "team"; did you mean "team_id"?' in told
    assert 'mlops.yaml:14: unknown key "chanel"; did you mean "channel"?' in told
    assert len(caught.value.problems) == 2  # what depends on a form that is wrong is told once the form is right


def test_absent_secrets_are_warnings_where_nobody_needs_them(tmp_path: Path) -> None:
    folder = Folder(tmp_path, env={"MLFLOW_TOKEN": "x"})
    settings, problems = folder.inspect(is_lenient=True)
    assert settings is not None
    assert not settings.slack.bot_token
    assert [problem for problem in problems if not problem.warning] == []
    assert sum("is not set" in problem.text for problem in problems) == 4
    assert sum("is not set" in error for error in folder.errors()) == 4


def test_drills_scale_escalation_quiet_reopen_and_approval_times_only(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.main += "demo: {minute: 2s}\n"
    folder.profile += "quiet: 3m\nescalation: {P0: [{after: 15m, to: oncall}], repeat_every: 10m}\n"
    settings = settings_of(folder)
    system = settings.policy.systems["shop"]
    assert system.ladders[Severity.P0].levels[0].after == timedelta(seconds=30)
    assert system.ladders[Severity.P0].repeat_every == timedelta(seconds=20)
    assert [level.after for level in system.ladders[Severity.P1].levels] == [
        timedelta(minutes=n) for n in (2, 4, 8, 16)
    ]
    assert (system.quiet, system.reopen_within) == (timedelta(seconds=6), timedelta(minutes=1))
    assert system.expiry[Severity.P1] == timedelta(minutes=1)
    assert system.models[0].watch_for == timedelta(minutes=10)
    assert settings.delivery.lease == timedelta(seconds=30)
    assert settings.policy.default.quiet == timedelta(seconds=10)


def test_a_system_wins_over_the_defaults_key_by_key(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.main = folder.main.replace(
        '  channel: "#ml"\n',
        '  channel: "#ml"\n  quiet: 9m\n  approvals: {dangerous: {needed: 3, roles: [senior, manager, director]}}\n',
    )
    folder.profile += "channel: shop-ml\napprovals: {dangerous: {break_glass: false}}\nexpiry: {P0: 5m}\n"
    system = settings_of(folder).policy.systems["shop"]
    assert (system.channel, system.quiet) == ("#shop-ml", timedelta(minutes=9))
    rule = system.approvals["dangerous"]
    assert (rule.needed, rule.break_glass) == (3, False)
    assert system.expiry[Severity.P0] == timedelta(minutes=5)
    assert system.expiry[Severity.P2] == timedelta(minutes=60)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mlops.yaml:1: cannot be read .* copy deploy/example/mlops.yaml"):
        load(None, {"MLOPS_CONFIG": str(tmp_path / "mlops.yaml")})


@pytest.mark.parametrize(
    "text, seconds", [("2s", 2), ("15m", 900), ("1h30m", 5400), ("1.5h", 5400), ("500ms", 0.5), ("2d", 172_800)]
)
def test_durations_are_numbers_with_units(text: str, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "15", "m", "0s", "-5m", "1h 30m", "1y", "9999d", "15 m", "1:30", None])
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match=r"duration|more than nothing"):
        duration(text)


def test_the_example_and_the_playground_are_right() -> None:
    env = dict.fromkeys(PLAYGROUND, "http://127.0.0.1:1")
    settings = load(REPO / "deploy/example/mlops.yaml", env, is_lenient=True)
    assert settings.policy.default.channel == "#ml-incidents"
    assert data_folder("templates") == REPO / "templates"
