"""A registry in a file: whole or not at all, compared before it is set, and never led out of its folder."""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
import os
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bot.ports import Foreign, ModelVersion
from handlers.backends import _safe_files, registry_file
from tests.handlers.conformance import check_registry

MODEL = "credit"
FILES = {"1": b"forest one", "2": b"forest two", "10": b"forest ten"}


def content(folder: Path) -> dict[str, Any]:
    versions = {
        number: {
            "path": f"artifacts/{MODEL}-{number}.pkl", "sha256": hashlib.sha256(data).hexdigest(),
            "created_at": f"2026-03-{int(number):02}T08:00:00", "metrics": {"f1": 0.9, "brier": 0.15, "odd": "text"},
            "params": {"trees": 100}, "tags": {"reviewed": True}, "data": {"holdout": "d1"},
        }
        for number, data in FILES.items()
    }  # fmt: skip
    return {"note": "kept as it is ✓", "models": {MODEL: {"production": "2", "versions": versions}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "models").mkdir()
    for number, data in FILES.items():
        (tmp_path / "artifacts" / f"{MODEL}-{number}.pkl").write_bytes(data)
    (tmp_path / "models" / "production.pkl").write_bytes(FILES["2"])
    write(tmp_path, content(tmp_path))
    return tmp_path


def write(folder: Path, found: object) -> None:
    (folder / "registry.json").write_text(json.dumps(found), encoding="utf-8")


def read(folder: Path) -> Any:
    return json.loads((folder / "registry.json").read_text(encoding="utf-8"))


def client(folder: Path, **more: str) -> Any:
    return registry_file.BACKEND.build({"folder": str(folder), **more})


def problem_of(call: Any, *args: Any, **more: Any) -> Foreign:
    with pytest.raises(Foreign) as raised:
        call(*args, **more)
    return raised.value


def move(one: Any, expected: str = "2", to: str = "1") -> None:
    one.move_alias(MODEL, "production", expected=expected, to=to)


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*.new"))


def test_it_keeps_the_promises_of_a_registry(folder: Path) -> None:
    one = client(folder)
    assert [version.version for version in one.versions(MODEL)] == ["10", "2", "1"], "by number, not as text"
    assert one.alias(MODEL, "production") == "2"
    assert one.alias(MODEL, "shadow") is None
    check_registry(one, MODEL, "production", lists_pointers=False)
    assert read(folder) == content(folder), "back as it was, and nothing else was touched"
    assert registry_file.BACKEND.check(one).startswith("registry.json is there, ")


def test_what_was_recorded_can_be_judged(folder: Path) -> None:
    one = client(folder)
    version = one.versions(MODEL)[0]
    found = one.evaluation(MODEL, version)
    assert (found.metrics, found.params, found.tags) == (
        {"f1": 0.9, "brier": 0.15}, {"trees": "100"}, {"reviewed": "True"}
    )  # fmt: skip
    assert [(data.name, data.digest, data.context) for data in found.data] == [("holdout", "d1", "evaluation")]
    gone = ModelVersion(version="77", status="READY", created_at=version.created_at)
    assert problem_of(one.evaluation, MODEL, gone).reason == "not_found"


def test_a_home_made_form_is_described_by_the_profile(folder: Path) -> None:
    made = {"live": {MODEL: 2}, "list": [{"version": 1}, {"version": 2}, {"name": "no version"}, "junk"]}
    write(folder, made)
    one = client(folder, pointer="/live/{model}", versions="/list")
    assert one.alias(MODEL, "whatever") == "2"
    one.move_alias(MODEL, "whatever", expected="2", to="1")
    assert read(folder)["live"] == {MODEL: 1}, "a number stays a number"


def test_a_name_cannot_become_part_of_the_path(folder: Path) -> None:
    assert problem_of(client(folder).alias, "credit/production", "x").reason == "not_found"
    assert client(folder).alias(MODEL, "versions/2/path") is None


def test_mode_and_backup(folder: Path) -> None:
    path = folder / "registry.json"
    path.chmod(0o640)
    before = path.read_bytes()
    move(client(folder))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    [backup] = folder.glob("registry.json.*.bak")
    assert backup.read_bytes() == before
    for turn in range(14):
        here, there = ("1", "2") if turn % 2 == 0 else ("2", "1")
        write(folder, content(folder) | {"turn": turn, "models": _at(here)})
        move(client(folder), expected=here, to=there)
    assert len(list(folder.glob("registry.json.*.bak"))) <= 10
    assert left_over(folder) == []


def _at(version: str) -> dict[str, Any]:
    return {MODEL: {"production": version, "versions": {"1": {}, "2": {}}}}


# the file that the server reads


def test_the_served_file_goes_with_it(folder: Path) -> None:
    one = client(folder, serves="models/production.pkl")
    move(one)
    assert (folder / "models" / "production.pkl").read_bytes() == FILES["1"]
    assert read(folder)["models"][MODEL]["production"] == "1"
    assert left_over(folder) == []


def test_a_damaged_file_is_never_put_in_place(folder: Path) -> None:
    (folder / "artifacts" / f"{MODEL}-1.pkl").write_bytes(b"half a fo")
    problem = problem_of(move, client(folder, serves="models/production.pkl"))
    assert (problem.reason, problem.happened) == ("invalid", False)
    assert "it is damaged" in problem.sentence
    assert (folder / "models" / "production.pkl").read_bytes() == FILES["2"]
    assert read(folder)["models"][MODEL]["production"] == "2"
    assert left_over(folder) == []


def test_a_death_between_the_two_leaves_a_move_that_is_done_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The served file is new, the registry still says the old one: not done yet, and doing it again ends it."""

    def die(*_: object, **__: object) -> None:
        raise OSError(5, "the disk is gone")

    one = client(folder, serves="models/production.pkl")
    with monkeypatch.context() as patch:
        patch.setattr(_safe_files, "keep", die)
        assert problem_of(move, one).happened is None, "something was changed, so it is not called unchanged"
    assert one.alias(MODEL, "production") == "2"
    assert (folder / "models" / "production.pkl").read_bytes() == FILES["1"]
    move(one)
    assert one.alias(MODEL, "production") == "1"


# a stranger's paths


@pytest.mark.parametrize(
    "path", ["../outside.pkl", "/etc/passwd", "artifacts/../../outside.pkl", "artifacts//x", "", "."]
)
def test_a_version_cannot_name_a_file_outside(folder: Path, path: str) -> None:
    found = content(folder)
    found["models"][MODEL]["versions"]["1"] |= {"path": path, "sha256": ""}
    write(folder, found)
    problem = problem_of(move, client(folder, serves="models/production.pkl"))
    assert problem.happened is False or problem.reason == "refused"
    assert (folder / "models" / "production.pkl").read_bytes() == FILES["2"]


def test_links_are_not_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.pkl").write_bytes(b"secret")
    linked = folder / "artifacts" / f"{MODEL}-1.pkl"
    linked.unlink()
    linked.symlink_to(outside / "secret.pkl")
    one = client(folder, serves="models/production.pkl")
    assert "symbolic link" in problem_of(move, one).sentence
    (folder / "artifacts" / f"{MODEL}-10.pkl").unlink()
    for path in (folder / "artifacts").iterdir():
        path.unlink()
    (folder / "artifacts").rmdir()
    (folder / "artifacts").symlink_to(outside)
    assert "symbolic link" in problem_of(move, one, to="10").sentence
    assert (folder / "models" / "production.pkl").read_bytes() == FILES["2"]


@pytest.mark.parametrize("name", ["registry.json", "registry.json.lock", "models/production.pkl"])
def test_a_link_in_the_place_of_what_is_written_is_refused(
    folder: Path, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    victim = tmp_path_factory.mktemp("victim") / "file"
    victim.write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"precious")
    before = victim.read_bytes()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(victim)
    problem = problem_of(move, client(folder, serves="models/production.pkl"))
    assert problem.reason == "refused"
    assert victim.read_bytes() == before


def test_a_pipe_does_not_hold_the_bot(folder: Path) -> None:
    (folder / "registry.json").unlink()
    os.mkfifo(folder / "registry.json")
    assert problem_of(client(folder).alias, MODEL, "production").reason == "refused"


# others who write


def test_somebody_was_faster(folder: Path) -> None:
    problem = problem_of(move, client(folder), expected="10")
    assert (problem.reason, problem.happened) == ("conflict", False)
    assert "says 2 for production of credit, not 10" in problem.sentence
    assert problem_of(move, client(folder), to="99").reason == "not_found"
    assert read(folder) == content(folder)


def test_a_writer_without_the_lock_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = _safe_files.keep

    def meddle(*args: Any, **more: Any) -> None:
        real(*args, **more)
        write(folder, content(folder) | {"note": "written in between"})

    monkeypatch.setattr(_safe_files, "keep", meddle)
    assert problem_of(move, client(folder)).reason == "conflict"
    assert read(folder)["note"] == "written in between"


def test_the_lock_is_waited_for_and_then_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_safe_files, "LOCK_S", 0.2)
    with (folder / "registry.json.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        problem = problem_of(move, client(folder))
    assert (problem.reason, problem.happened) == ("overloaded", False)
    move(client(folder))  # a lock that was let go is no obstacle


def test_of_many_who_move_at_once_one_wins_and_readers_see_whole_files(folder: Path) -> None:
    ends: list[str] = []
    over = threading.Event()
    torn: list[str] = []

    def look() -> None:
        while not over.is_set():
            try:
                read(folder)
            except ValueError as problem:
                torn.append(str(problem))

    def go(to: str) -> None:
        try:
            move(client(folder), to=to)
            ends.append("done")
        except Foreign as problem:
            ends.append(problem.reason)

    reader = threading.Thread(target=look)
    reader.start()
    threads = [threading.Thread(target=go, args=[to]) for to in ("1", "10", "1", "10")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    over.set()
    reader.join(20)
    winners = ends.count("done")
    assert winners in (1, 2), "the second who wanted the same finds it done"
    assert set(ends) == {"done", "conflict"}
    assert torn == []
    assert read(folder)["models"][MODEL]["production"] in ("1", "10")


def _move_for_ever(folder: str, said: Any) -> None:
    one = client(Path(folder), serves="models/production.pkl")
    said.set()
    while True:
        for here, there in (("2", "1"), ("1", "2")):
            move(one, expected=here, to=there)


@pytest.mark.timeout(60)
def test_killed_at_any_moment_the_registry_is_whole_and_free(folder: Path) -> None:
    """kill -9 in the middle of writing, again and again: JSON that parses, one of the two versions, no lock left."""
    context = multiprocessing.get_context("spawn")
    for turn in range(3):
        begun = context.Event()
        writer = context.Process(target=_move_for_ever, args=[str(folder), begun])
        writer.start()
        assert begun.wait(30)
        time.sleep(0.02 + 0.031 * turn)  # some moment; any is fair
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join(20)
        now = client(folder).alias(MODEL, "production")
        assert now in ("1", "2")
        other = "1" if now == "2" else "2"
        one = client(folder, serves="models/production.pkl")
        move(one, expected=now, to=other)  # neither the lock nor a draft that was left is in the way
        assert (folder / "models" / "production.pkl").read_bytes() == FILES[other]
        if other == "1":
            move(one, expected="1", to="2")
    assert left_over(folder) == []


# what cannot be read


@pytest.mark.parametrize(
    "text, reason",
    [("{", "invalid"), ("[]", "not_found"), ('{"models": {"credit": []}}', "not_found"), ("[" * 50_000, "invalid")],
)
def test_a_file_of_another_form(folder: Path, text: str, reason: str) -> None:
    (folder / "registry.json").write_text(text)
    problem = problem_of(client(folder).alias, MODEL, "production")
    assert (problem.reason, problem.happened) == (reason, False)


def test_a_file_that_is_missing_or_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_file, "CAP_BYTES", 100)
    assert "File too large" in problem_of(client(folder).alias, MODEL, "production").sentence
    (folder / "registry.json").unlink()
    assert problem_of(client(folder).alias, MODEL, "production").reason == "not_found"


@pytest.mark.parametrize(
    "settings, told",
    [
        ({}, "needs `folder`, an absolute path"),
        ({"folder": "relative"}, "needs `folder`, an absolute path"),
        ({"folder": "/x", "file": "../registry.json"}, "`file` must be a plain path inside the folder"),
        ({"folder": "/x", "serves": "/etc/passwd"}, "`serves` must be a plain path inside the folder"),
        ({"folder": "/x", "pointer": "models"}, "`pointer` must be a JSON pointer"),
    ],
)
def test_wrong_settings(settings: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        registry_file.BACKEND.build(settings)
