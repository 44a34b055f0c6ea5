"""What the how-to pages tell a reader to write is written and run, as a reader would do it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from bot.check import check_everything
from tests.docs.samples import ROOT, unpack

SECRETS = {
    "SLACK_BOT_TOKEN": "xoxb-0", "SLACK_APP_TOKEN": "xapp-0", "MLOPS_WEBHOOK_TOKEN": "hook-token-0123456789",
    "MLOPS_SECRET_KEY": "0123456789abcdef", "SHOP_MLFLOW_URL": "http://127.0.0.1:9", "SHOP_SERVER_URL": "http://127.0.0.1:9",
    "SHOP_PROMETHEUS_URL": "http://127.0.0.1:9",
}  # fmt: skip


def run(folder: Path, *words: str, extra: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), **SECRETS, **(extra or {})}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=90, check=False
    )


def test_a_reader_can_test_their_own_slack_app(tmp_path: Path) -> None:
    """The app and its tests on the page, run by a plain pytest in a folder of their own."""
    unpack("docs/how-to/test-your-slack-app.md", tmp_path)
    done = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "test_shipit.py")
    assert done.returncode == 0, done.stdout[-3_000:]
    assert "5 passed" in done.stdout


def test_a_reader_can_add_a_system(tmp_path: Path) -> None:
    """Folder, profile and runbook as on the page: checked, and an alert finds its way to them."""
    unpack("docs/how-to/add-a-system.md", tmp_path)
    checked = run(tmp_path, "bot", "check")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    assert run(tmp_path, "bot", "migrate").returncode == 0
    replayed = run(tmp_path, "bot", "replay", "drill.json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    listed = run(tmp_path, "bot", "incidents").stdout
    assert "INC-1    P1 open         ranker" in listed
    told = run(tmp_path, "bot", "incidents", "--json").stdout
    assert '"runbook": "shop/RankerAccuracyLow"' in told
    assert "answers are wrong for users" in told


ON_CALL = {"ALICE_SMS": "json://127.0.0.1:9/page"}


def test_a_team_lead_can_set_up_on_call(tmp_path: Path) -> None:
    """People, rotation and ladder as on the page: accepted as they stand, and asked who is on call."""
    unpack("docs/how-to/on-call.md", tmp_path)
    checked = run(tmp_path, "bot", "check", extra=ON_CALL)
    assert (checked.returncode, checked.stdout.count("\n"), checked.stderr) == (0, 1, ""), checked.stdout
    assert run(tmp_path, "bot", "migrate", extra=ON_CALL).returncode == 0
    told = run(tmp_path, "bot", "run", "oncall main at 2026-12-02 06:00", extra=ON_CALL).stdout
    assert "that is Wed 2 Dec 06:00 (Europe/Berlin)" in told
    assert "rotation main: @bob; next @chen, Wed 2 Dec 08:30 (Europe/Berlin)" in told


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[alice, chen]", "[alice, cheng]", 'mlops.yaml:34: rotation "main", layer "week": unknown person "cheng"'),
        (
            "      every: 7d\n",
            "      hours: [{opens: 08:00, closes: 20:00}]\n",
            'mlops.yaml:26: rotation "main": nobody is on call from',
        ),
        ("      every: 7d\n", "      every: 1d\n      hand_over: 02:30\n", "the hand-over at 02:30"),
        ('to: [oncall, "role:manager"]', "to: []", "mlops.yaml:47: level 2 of P0 names nobody; use oncall,"),
        ('"role:director"]', '"role:directors"]', 'role "directors" is held by nobody; did you mean "director"?'),
        ("after: 30m", "after: 10m", "level 3 is not later than the one before; raise `after`"),
    ],
)
def test_a_schedule_that_would_lose_a_page_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    unpack("docs/how-to/on-call.md", tmp_path)
    file = tmp_path / "mlops.yaml"
    whole = file.read_text(encoding="utf-8")
    assert old in whole
    file.write_text(whole.replace(old, new, 1), encoding="utf-8")

    problems = check_everything(file, SECRETS, None, date(2026, 11, 23))

    told = [f"{Path(one.file).name}:{one.line}: {one.text}" for one in problems if not one.warning]
    assert any(said in one for one in told), told


def test_a_mistake_in_the_profile_is_told_with_its_line(tmp_path: Path) -> None:
    unpack("docs/how-to/add-a-system.md", tmp_path)
    profile = tmp_path / "runbooks/shop/system.yaml"
    profile.write_text(profile.read_text(encoding="utf-8").replace("served_query:", "served_qery:"), encoding="utf-8")
    checked = run(tmp_path, "bot", "check")
    assert checked.returncode == 1
    assert "served_query" in checked.stdout


@pytest.mark.parametrize(
    ("page", "test", "verb"),
    [
        ("add-an-action", "tests/handlers/actions/test_shadow.py", "help shadow"),
        ("add-a-diagnostic", "tests/handlers/diagnostics/test_label_age.py", ""),
    ],
)
def test_a_reader_can_add_a_handler(tmp_path: Path, page: str, test: str, verb: str) -> None:
    """The page's files in a copy of the tree: found without editing anything else, tested, and clean."""
    for name in ("bot", "handlers", "templates", "runbooks", "tests/handlers"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for shipped in (tmp_path / "runbooks").iterdir():  # the reader's people do not have the roles of those ladders
        if shipped.is_dir():
            shutil.rmtree(shipped)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    written = unpack(f"docs/how-to/{page}.md", tmp_path)
    here = {"PYTHONPATH": str(tmp_path)}
    done = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", test, extra=here)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-1_000:]
    linted = run(tmp_path, "ruff", "check", "--quiet", "--no-cache", *map(str, written), extra=here)
    assert linted.returncode == 0, linted.stdout
    unpack("docs/how-to/add-a-system.md", tmp_path)
    assert run(tmp_path, "bot", "check", extra=here).returncode == 0
    if verb:
        run(tmp_path, "bot", "migrate", extra=here)
        assert "score another version beside production" in run(tmp_path, "bot", "run", verb, extra=here).stdout


def test_a_reader_can_say_where_the_data_are(tmp_path: Path) -> None:
    """The profile of the page, accepted as it stands; what it names is what the worker would be asked for."""
    unpack("docs/how-to/add-a-system.md", tmp_path)
    for shipped in (tmp_path / "runbooks").rglob("*.md"):
        shipped.unlink()
    unpack("docs/how-to/drift-sources.md", tmp_path)
    extra = {"FEATURES_PASSWORD": "reader-very-secret", "SIZER_SIGNATURE": "signature-very-secret"}
    checked = run(tmp_path, "bot", "check", extra=extra)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    assert "very-secret" not in checked.stdout


@pytest.mark.parametrize("page", sorted((ROOT / "docs/how-to").glob("*.md")), ids=lambda path: path.stem)
def test_no_page_names_a_file_twice(page: Path) -> None:
    names = [
        line.partition("file=")[2] for line in page.read_text(encoding="utf-8").splitlines() if "file=" in line[:40]
    ]
    assert len(names) == len(set(names))


def test_a_reader_can_say_how_a_model_is_trained(tmp_path: Path) -> None:
    """The profile with all four ways is accepted as it stands; a training that is no one's is told with its line."""
    unpack("docs/how-to/add-a-system.md", tmp_path)
    for shipped in (tmp_path / "runbooks").rglob("*.md"):
        shipped.unlink()
    unpack("docs/how-to/retrain.md", tmp_path)
    extra = {"AIRFLOW_PASSWORD": "airflow-very-secret"}
    checked = run(tmp_path, "bot", "check", extra=extra)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    profile = tmp_path / "runbooks/shop/system.yaml"
    whole = profile.read_text(encoding="utf-8")
    profile.write_text(
        whole.replace("retrain: embedder}", "retrain: embeder}").replace("backend: engine", "backend: here")
    )
    told = run(tmp_path, "bot", "check", extra=extra).stdout
    assert 'unknown training or job "embeder"; did you mean "embedder"?' in told
    assert 'backend "here" is no services; it offers commands' in told
    assert "very-secret" not in told
