"""What is found in the folders of handlers, and what stops the start."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bot.ports import Action, Backend, Diagnostic, Source
from bot.registry import Registry, RegistryError, load

HEAVY = ("mlflow", "kubernetes", "prometheus_api_client", "matplotlib", "numpy", "pandas", "requests", "evidently")


@pytest.fixture(scope="module")
def found() -> Registry:
    return load()


def test_every_handler_file_is_found(found: Registry) -> None:
    assert {"rollback", "reload"} <= found.actions.keys()
    assert {"current", "metric_graph", "served_version", "what_changed", "health"} <= found.diagnostics.keys()
    assert {"mlflow", "prometheus", "model-http"} <= found.backends.keys()
    assert "alertmanager" in found.sources
    assert all(isinstance(one, Action) for one in found.actions.values())
    assert all(isinstance(one, Diagnostic) for one in found.diagnostics.values())
    assert all(isinstance(one, Backend) for one in found.backends.values())
    assert all(isinstance(one, Source) for one in found.sources.values())


def test_what_diagnostics_need_is_what_backends_offer(found: Registry) -> None:
    of_profile = {"drift", "histogram", "quality"}  # what a model's own profile says about its data
    offered = of_profile | {ability for backend in found.backends.values() for ability in backend.offers}
    assert {need for one in found.diagnostics.values() for need in one.needs} <= offered


def test_usage_begins_with_the_verb(found: Registry) -> None:
    assert [one.usage.split()[0] for one in found.actions.values()] == list(found.actions)


def test_looking_for_handlers_imports_no_heavy_library() -> None:
    code = f"import sys, bot.registry, bot.charts; bot.registry.load(); print([m for m in {HEAVY} if m in sys.modules])"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert seen.stdout.strip() == "[]"


def test_an_unknown_name_tells_file_key_and_the_nearest(found: Registry) -> None:
    with pytest.raises(RegistryError) as raised:
        found.diagnostic("what_change", file="runbooks/x/Y.md:3", key="diagnostics")
    assert str(raised.value) == (
        "runbooks/x/Y.md:3: diagnostics: there is no diagnostic “what_change”; did you mean “what_changed”?"
    )
    with pytest.raises(RegistryError, match=r"system.yaml: kind: there is no kind of backend “zzz”; known: .*mlflow"):
        found.backend("zzz", file="system.yaml", key="kind")
    assert found.action("rollback", file="f", key="k") is found.actions["rollback"]
    assert found.source("alertmanager", file="f", key="k").name == "alertmanager"


GOOD = """
class One:
    name = "one"
    question = "?"
    needs = ()
    def ask(self, scene): ...
DIAGNOSTIC = One()
"""


@pytest.mark.parametrize(
    "name, text, told",
    [
        ("empty", "", "diagnostics/empty.py: offers no DIAGNOSTIC"),
        ("broken", "import no_such_module", "diagnostics/broken.py: cannot be imported (ModuleNotFoundError"),
        ("partly", "class X:\n  name = 'x'\nDIAGNOSTIC = X()", "diagnostics/partly.py: DIAGNOSTIC is not fit"),
        ("klass", GOOD.replace("One()", "One"), "it is a class, not a value"),
        ("noname", GOOD.replace('"one"', '""'), "diagnostics/noname.py: DIAGNOSTIC has no name"),
        ("second", GOOD, "is named “one”, and so is the one in"),
    ],
)
def test_a_wrong_file_stops_the_start(
    name: str, text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = _package(tmp_path, name)
    (package / "diagnostics" / f"{name}.py").write_text(textwrap.dedent(text))
    (package / "diagnostics" / "a_good_one.py").write_text(GOOD)
    (package / "diagnostics" / "_shared.py").write_text("raise RuntimeError('shared code is not looked at')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RegistryError) as raised:
        load(f"handlers_{name}")
    assert told in str(raised.value)


def test_a_missing_folder_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = _package(tmp_path, "missing")
    (package / "sources" / "__init__.py").unlink()
    (package / "sources").rmdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RegistryError, match=r"handlers_missing/sources: the folder is missing"):
        load("handlers_missing")


def _package(folder: Path, name: str) -> Path:
    package = folder / f"handlers_{name}"
    for part in (".", "actions", "diagnostics", "backends", "sources"):
        (package / part).mkdir(parents=True, exist_ok=True)
        (package / part / "__init__.py").write_text("")
    return package
