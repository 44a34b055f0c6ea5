"""Where the Kubernetes of the tests comes from: every setting, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground.kube import MissingPrograms, find, programs


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLOPS_TEST_KUBECONFIG", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


def test_without_any_one_line_says_what_is_missing_and_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert programs.main(["found"]) == 1
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "no etcd, kube-apiserver, kube-controller-manager, kube-scheduler" in said
    assert "make kube" in said


def test_what_was_built_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = _program(programs.cache_dir() / "kube")
    assert tmp_path in ours.parents
    assert find().commands["kube-apiserver"] == (str(ours), "kube-apiserver")
    assert programs.main(["found"]) == 0
    assert capsys.readouterr().out == ""


def test_a_folder_of_programs_replaces_ours_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = _program(programs.cache_dir() / "kube")
    theirs = _program(tmp_path / "assets" / "etcd")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(theirs.parent))
    commands = find().commands
    assert commands["etcd"] == (str(theirs),)
    assert commands["kube-scheduler"] == (str(ours), "kube-scheduler")


def test_a_folder_that_lacks_some_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("etcd", "kube-apiserver"):
        _program(tmp_path / "assets" / name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    with pytest.raises(MissingPrograms, match="no kube-controller-manager, kube-scheduler on this"):
        find()


def test_a_named_cluster_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(programs.cache_dir() / "kube")
    named = _program(tmp_path / "kubeconfig")
    monkeypatch.setenv("MLOPS_TEST_KUBECONFIG", str(named))
    assert find().kubeconfig == named
    named.unlink()
    with pytest.raises(MissingPrograms, match="there is no such file"):
        find()


def test_nothing_is_built_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is there built from what is in the repository, no compiler is asked: there is none on this PATH."""
    ours = _program(programs.cache_dir() / "kube")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingPrograms, match="there is no Go on this machine"):
        programs.build()
    (ours.parent / "built-from").write_text(programs.source_digest())
    assert programs.build() == ours


def test_the_module_is_of_the_release_we_name() -> None:
    required = (programs.SOURCE / "go.mod").read_text()
    assert f"k8s.io/kubernetes {programs.VERSION}\n" in required
    libraries = programs.VERSION.replace("v1.", "v0.")
    replaced = [line.split()[-1] for line in required.splitlines() if "=>" in line]
    assert len(replaced) > 30
    assert set(replaced) == {libraries}
