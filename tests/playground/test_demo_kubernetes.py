"""The demo on Kubernetes, where there is no Kubernetes."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground import demo


def test_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for name in ("MLOPS_TEST_KUBECONFIG", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert demo.run(["--kubernetes", "--scripted"]) == 1
    said = capsys.readouterr().out
    assert "There is no Kubernetes to run the demo on" in said
    assert "make kube" in said
