"""A command of the profile: run once whatever happens, kept outside the bot, and never by a shell."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.model import Outcome
from bot.policy.training import Argument, Cause, TrainingProfile
from bot.ports import Foreign, Run
from handlers.backends.command import BACKEND, KEEPER, Commands
from tests.training.drive import Driver

SECRET = "hunter2-very-secret"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Commands]:
    """A backend; what its runs left running is ended after the test."""
    client = BACKEND.build({"folder": str(tmp_path / "runs"), "env": f"REGISTRY={SECRET} HOME={tmp_path}"})
    yield client
    for known in (tmp_path / "runs").glob("*/command.json"):
        pid = json.loads(known.read_text())["pid"]
        if not (known.parent / "ended.json").exists():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def training(program: str, **more: Any) -> TrainingProfile:
    """A training whose command is a piece of Python."""
    values: dict[str, Any] = {"command": (sys.executable, "-c", program), "name": "nightly", **more}
    return TrainingProfile(backend="here", **values)


def until(look: Callable[[], Any], within_s: float = 20) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return found


def ended(client: Commands, one: TrainingProfile, key: str) -> Run:
    def look() -> Run | None:
        run = client.run(one, key)
        return run if run is not None and run.state not in ("running", "waiting") else None

    found: Run = until(look)
    return found


def test_a_training_is_followed_to_its_good_end(here: Commands, tmp_path: Path) -> None:
    go = tmp_path / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)"
    one = Driver(training(f"print('fitting fold 1 of 5', flush=True)\n{wait}\nprint('done')"), {"here": here})
    draft = one.drawn()
    assert (draft.tier, draft.inverse, [step.proves for step in draft.steps]) == ("light", {}, [False, True])
    assert one.fingerprint() == draft.fingerprint
    one.follow(until=lambda seen: "fold 1 of 5" in seen.detail)
    assert one.plan is not None
    assert Driver(one.training, {"here": here}).refused().startswith("nightly runs already (mlops-nightly-")
    go.touch()
    assert one.follow().outcome is Outcome.DONE
    assert one.told[-1].startswith("It ended well after ")


def test_two_plans_one_after_the_other_are_two_runs_and_one_plan_is_one(here: Commands, tmp_path: Path) -> None:
    """The danger: a retry after a crash trains twice, or a second request finds the first one's run."""
    counter = tmp_path / "count"
    one = Driver(training(f"open({str(counter)!r}, 'a').write('x')"), {"here": here})
    one.drawn()
    one.follow()
    for _ in range(2):
        assert one.plan is not None
        again = Driver(one.training, {"here": here})
        again.drawn()
        again.follow()
    assert counter.read_text() == "x"
    other = Driver(one.training, {"here": here})
    other.drawn(plan_id="PLN-2")
    other.follow()
    assert counter.read_text() == "xx"


def test_many_at_once_start_it_once(here: Commands, tmp_path: Path) -> None:
    counter = tmp_path / "count"
    one = training(f"import time; open({str(counter)!r}, 'a').write('x'); time.sleep(0.3)")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: here.start(one, "mlops-nightly-1", {}, ""), range(6)))
    assert ended(here, one, "mlops-nightly-1").exit_code == 0
    here.start(one, "mlops-nightly-1", {}, "")
    assert ended(here, one, "mlops-nightly-1").state == "succeeded"
    assert counter.read_text() == "x"


def test_a_run_outlives_the_process_that_started_it(here: Commands, tmp_path: Path) -> None:
    """The bot dies by kill -9 in the middle. The run goes on and is found again, with its end."""
    go, runs = tmp_path / "go", tmp_path / "runs"
    program = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\nprint('a long way')"
    script = f"""
from handlers.backends.command import BACKEND
from bot.policy.training import TrainingProfile
import sys, time
client = BACKEND.build({{"folder": {str(runs)!r}}})
client.start(TrainingProfile(name="n", backend="b", command=(sys.executable, "-c", {program!r})), "mlops-n-1", {{}}, "")
print("started", flush=True)
time.sleep(60)
"""
    bot = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert bot.stdout is not None
    assert bot.stdout.readline() == b"started\n"
    os.killpg(bot.pid, signal.SIGKILL)
    bot.wait()
    bot.stdout.close()
    one = training(program, name="n")
    found = here.run(one, "mlops-n-1")
    assert found is not None
    assert found.state == "running"
    go.touch()
    found = ended(here, one, "mlops-n-1")
    assert (found.state, found.exit_code, found.log) == ("succeeded", 0, "a long way")


def test_a_run_whose_keeper_was_killed_is_unknown_and_never_started_again(here: Commands, tmp_path: Path) -> None:
    go, counter = tmp_path / "go", tmp_path / "count"
    program = f"import os, time; open({str(counter)!r}, 'a').write('x')"
    program += f"\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)"
    one = Driver(training(program), {"here": here})
    one.drawn()
    one.perform()
    known = until(lambda: list((tmp_path / "runs").glob("*/command.json")))[0]
    until(counter.exists)
    os.kill(_parent(json.loads(known.read_text())["pid"]), signal.SIGKILL)
    one.follow(until=lambda seen: "nobody will see how it ends" in seen.detail)
    go.touch()
    seen = one.follow()
    assert seen.outcome is Outcome.UNKNOWN
    assert "nobody saw how it ended" in seen.detail
    here.start(one.training, known.parent.name, {}, "")
    assert one.observe().outcome is Outcome.UNKNOWN
    assert counter.read_text() == "x"


@pytest.mark.parametrize(
    "program, exits, words",
    [
        ("raise SystemExit(3)", {3: Cause.TOO_FEW_LABELS}, "too few labels (exit code 3)"),
        ("print('only 12 rows left'); raise SystemExit(4)", {4: Cause.VALIDATION}, "Its log: “only 12 rows left”"),
        ("raise MemoryError", {}, "out of memory (exit code 1)"),
        ("import os; os.kill(os.getpid(), 9)", {}, "killed, most often for want of memory (signal 9)"),
        ("import os; os.kill(os.getpid(), 15)", {}, "stopped from outside (signal 15)"),
        ("1/0", {}, "Its log: “ZeroDivisionError: division by zero”"),
    ],
)
def test_a_failed_training_is_classified(here: Commands, program: str, exits: dict[int, Cause], words: str) -> None:
    one = Driver(training(program, exits=exits), {"here": here})
    one.drawn()
    seen = one.follow()
    assert seen.outcome is Outcome.FAILED
    assert words in seen.detail
    assert "The whole log: " in seen.detail


def test_a_program_that_cannot_be_started_is_a_failure_of_its_own(here: Commands, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("not a program")
    (tmp_path / "broken").chmod(0o755)
    one = Driver(TrainingProfile(name="b", backend="here", command=(str(tmp_path / "broken"),)), {"here": here})
    one.drawn()
    assert "cannot be started: Exec format error" in one.follow().detail


def test_its_time_is_limited_and_its_children_end_with_it(here: Commands, tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"sleep 60 & echo $! > {child}; wait"
    one = Driver(
        TrainingProfile(name="n", backend="here", command=("sh", "-c", script), limit=timedelta(seconds=1)),
        {"here": here},
    )
    one.drawn()
    seen = one.follow()
    assert seen.outcome is Outcome.FAILED
    assert "its time was over (signal 15)" in seen.detail
    until(lambda: not _is_alive(int(child.read_text())))


def test_what_it_prints_is_capped_and_its_secrets_stay_inside(here: Commands, tmp_path: Path) -> None:
    program = """
import os
for number in range(60_000): print("line", number, "x" * 60)
print("password=swordfish and", os.environ["REGISTRY"])
raise SystemExit(1)
"""
    one = Driver(training(program), {"here": here})
    one.drawn()
    seen = one.follow()
    assert seen.outcome is Outcome.FAILED
    assert "swordfish" not in seen.detail
    assert SECRET not in seen.detail
    assert "password=… and …" in seen.detail
    [folder] = (tmp_path / "runs").iterdir()
    assert sum(path.stat().st_size for path in folder.glob("log*")) < 2_100_000
    assert SECRET not in "".join(path.read_text() for path in folder.iterdir() if not path.name.startswith("log"))


def test_the_bots_environment_does_not_reach_it(here: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_SECRET_KEY", "0123456789abcdef")
    one = Driver(training("import os; print(sorted(os.environ))"), {"here": here})
    one.drawn()
    one.follow()
    [folder] = here.folder.iterdir()
    assert "MLOPS" not in (folder / "log").read_text()
    assert "REGISTRY" in (folder / "log").read_text()


def test_an_argument_stays_one_word_and_only_what_is_listed_is_let_through(here: Commands, tmp_path: Path) -> None:
    rows = Argument(name="rows", pattern="[0-9]{1,5}", default="100")
    kind = Argument(name="kind", choices=("full", "quick"), default="full")
    one = Driver(
        TrainingProfile(
            name="n", backend="here", arguments=(rows, kind),
            command=(sys.executable, "-c", "import sys; print(sys.argv[1:])", "--rows={rows}", "{kind}", "{other}"),
        ),
        {"here": here},
    )  # fmt: skip
    assert "--rows=250 full '{other}'" in one.drawn("retrain rank rows=250").steps[0].sentence
    one.follow()
    [folder] = here.folder.iterdir()
    assert (folder / "log").read_text() == "['--rows=250', 'full', '{other}']\n"
    for said in (
        "rows=1;id", "rows=", "rows=$(id)", "rows=123456", "rows=-1", "kind=--help", "kind=other", "nosuch=1", "rows",
        "rows=1 rows=2", "kind={rows}",
    ):  # fmt: skip
        assert one.refused(f"retrain rank {said}").endswith(".")


@pytest.mark.parametrize(
    "settings, words",
    [
        ({}, "needs `folder`"),
        ({"folder": "runs"}, "needs `folder`, an absolute path"),
        ({"folder": "/x", "env": "A='"}, "`env` cannot be read"),
        ({"folder": "/x", "env": "A=1 B"}, "something else than NAME=value"),
        ({"folder": "/x", "env": "A-B=1"}, "something else than NAME=value"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", "\\(")):
        BACKEND.build(settings)


def test_what_is_missing_is_said_before_anybody_is_asked(here: Commands, tmp_path: Path) -> None:
    nobody = TrainingProfile(name="n", backend="here", command=("no-such-program",))
    assert Driver(nobody, {"here": here}).refused().startswith("There is no program “no-such-program” on ")
    nowhere = training("pass", folder=str(tmp_path / "nowhere"))
    assert "There is no folder" in Driver(nowhere, {"here": here}).refused()
    with pytest.raises(Foreign) as raised:
        Driver(training("pass"), {}).ask()
    assert (raised.value.reason, raised.value.happened) == ("invalid", False)


def test_another_machine_neither_looks_nor_starts(here: Commands) -> None:
    """The danger: a replica elsewhere sees no run in its own folder and trains a second time."""
    one = Driver(training("pass"), {"here": here})
    one.drawn()
    here.place = "another-host"
    for go in (one.perform, one.observe):
        with pytest.raises(Foreign) as raised:
            go()
        assert (raised.value.reason, raised.value.happened) == ("unreachable", None)
    assert not here.folder.exists()


def test_hostile_names_of_runs_are_no_paths(here: Commands) -> None:
    for key in ("../x", "a/b", "", ".", "-x"):
        with pytest.raises(Foreign):
            here.run(training("pass"), key)


def test_a_keeper_that_is_asked_twice_says_so(tmp_path: Path) -> None:
    order = {"words": ["/bin/true"], "cwd": "/", "env": {}, "limit_s": 5, "log_bytes": 1000}
    ask = [sys.executable, "-I", str(KEEPER), str(tmp_path)]
    codes = [subprocess.run(ask, input=json.dumps(order).encode(), check=False).returncode for _ in range(2)]
    assert codes == [0, 3]
    until((tmp_path / "ended.json").exists)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
