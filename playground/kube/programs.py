"""Where the control plane's programs are, and how they are built.

Kubernetes publishes no Debian package and nothing on PyPI, but its programs are Go modules. `tests/cluster/kube/` is a
Go program of ours that holds etcd, kube-apiserver, kube-controller-manager and kube-scheduler at once; `build` compiles
it into `~/.cache/mlops-bot/kube/<version>/` (XDG_CACHE_HOME is honoured), outside the repository, once per version.

`find` looks at MLOPS_TEST_KUBECONFIG first (a cluster that runs already), then in KUBEBUILDER_ASSETS (a folder of
programs, as other projects use it), then in the cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VERSION = "v1.36.3"
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
SOURCE = Path(__file__).resolve().parents[2] / "tests" / "cluster" / "kube"
BUILD_TIMEOUT_S = 3600
ADVICE = "get it with `make kube` (needs Go 1.26 or newer), or name a test cluster in MLOPS_TEST_KUBECONFIG"


class MissingPrograms(Exception):
    """There is no Kubernetes to run. The message says what is missing and what to type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """How to get at a control plane: commands to start one, or the kubeconfig of one that runs."""

    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name → how its command line begins
    kubeconfig: Path | None = None  # of a cluster that is not ours to start or stop


def cache_dir() -> Path:
    """The folder of the programs of this version. It need not exist."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mlops-bot" / "kube" / VERSION


def find() -> Programs:
    """What this machine has. MissingPrograms when that is no Kubernetes, or a setting names one that is not there."""
    named = os.environ.get("MLOPS_TEST_KUBECONFIG")
    if named:
        if not Path(named).is_file():
            raise MissingPrograms(
                f"MLOPS_TEST_KUBECONFIG names {named}, and there is no such file: correct or unset it"
            )
        return Programs(kubeconfig=Path(named))
    ours = cache_dir() / "kube"
    commands: dict[str, tuple[str, ...]] = {name: (str(ours), name) for name in NAMES if os.access(ours, os.X_OK)}
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if folder:
        commands |= {name: (str(Path(folder) / name),) for name in NAMES if os.access(Path(folder) / name, os.X_OK)}
    missing = [name for name in NAMES if name not in commands]
    if missing:
        raise MissingPrograms(f"no {', '.join(missing)} on this machine: {ADVICE}")
    return Programs(commands=commands)


def build() -> Path:
    """Compile the control plane of VERSION, unless that is done already; the program's path.

    MissingPrograms when there is no Go, it is too old, or it fails; the message carries the end of what it said.
    """
    folder, stamp = cache_dir(), source_digest()
    if (folder / "kube").exists() and _text(folder / "built-from") == stamp:
        return folder / "kube"
    _require_go()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        program = Path(scratch) / "kube"
        _compile(program, Path(scratch) / "cache")
        # In this order: a build that was interrupted between the two is done again.
        program.replace(folder / "kube")
    (folder / "built-from").write_text(stamp)
    return folder / "kube"


def source_digest() -> str:
    """What the program is built from, as one word."""
    digest = hashlib.sha256()
    for name in ("main.go", "go.mod", "go.sum"):
        digest.update((SOURCE / name).read_bytes())
    return digest.hexdigest()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _go_environment(cache: Path) -> dict[str, str]:
    # local: the installed Go or none; fetching another toolchain would be a download nobody asked for.
    # A cache of its own: compiling leaves 3 GB that would help only whoever builds the same release again.
    ours = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOCACHE": str(cache)}
    return {**os.environ, **ours}


def _require_go() -> None:
    if shutil.which("go") is None:
        raise MissingPrograms(
            f"kube: there is no Go on this machine, and Kubernetes {VERSION} is built with it: install Go"
        )
    found = re.search(
        r"go(\d+)\.(\d+)", subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    )
    needed = re.search(r"^go (\d+)\.(\d+)", (SOURCE / "go.mod").read_text(), re.MULTILINE)
    if found and needed and tuple(map(int, found.groups())) < tuple(map(int, needed.groups())):
        raise MissingPrograms(
            f"kube: Kubernetes {VERSION} needs Go {needed[0][3:]}, this machine has {found[0][2:]}: install a newer Go"
        )


def _compile(program: Path, cache: Path) -> None:
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", _flags(), "-o", str(program), "."]
    # Compiling fills every core for minutes; whoever works on this machine goes first.
    lowly = [nice, "-n", "10"] if (nice := shutil.which("nice")) else []
    done = subprocess.run(
        [*lowly, *command],
        cwd=SOURCE,
        env=_go_environment(cache),
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        end = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise MissingPrograms(
            f"kube: building Kubernetes {VERSION} failed. Is the Go module proxy in reach, is the disk full?\n{end}"
        )


def _flags() -> str:
    """No symbol tables (a third of the size), and the version to report: a plain build calls itself v0.0.0."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    values = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return "-s -w " + " ".join(f"-X {package}.{key}={value}" for package in packages for key, value in values.items())


def main(arguments: list[str]) -> int:
    """`build` makes the programs; `found` is silent when they are there, else says why not. Exit code 0 or 1."""
    try:
        if arguments == ["build"]:
            return _build_and_tell()
        if arguments == ["found"]:
            find()
            return 0
    except MissingPrograms as problem:
        print(problem)
        return 1
    print("usage: python -m playground.kube build|found")
    return 2


def _build_and_tell() -> int:
    if os.environ.get("MLOPS_TEST_KUBECONFIG") or os.environ.get("KUBEBUILDER_ASSETS"):
        try:
            find()
        except MissingPrograms:
            print(
                "kube: what MLOPS_TEST_KUBECONFIG or KUBEBUILDER_ASSETS names is not enough; building the rest",
                file=sys.stderr,
            )
        else:
            print("kube: using what MLOPS_TEST_KUBECONFIG or KUBEBUILDER_ASSETS names")
            return 0
    if _text(cache_dir() / "built-from") != source_digest():
        print(f"kube: building Kubernetes {VERSION} and etcd; the first time takes some minutes", flush=True)
    began = time.monotonic()
    program = build()
    size_mb = program.stat().st_size / 1e6
    print(f"kube: {program} ({size_mb:.0f} MB, {time.monotonic() - began:.0f} s)")
    return 0
