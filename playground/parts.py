"""Where the real programs are that the playground and the tests start, and how to get the ones that are missing.

`find("prometheus")` looks on PATH, then in the usual places of Debian, then in our own cache. `install([...])` fetches
what `find` does not know. Two ways, because the packages differ:

* *unpacked*: Prometheus and Alertmanager are single static programs. The package is downloaded by apt (which checks
  its signature) and unpacked into the cache; nothing is installed, no service starts, no root is needed.
* *installed*: PostgreSQL and Chromium need a tree of libraries, and PostgreSQL must be readable by another user than
  root, so they are installed by apt. Only root can do that; everybody else is told what to type.

Rejected: one apt-get install for everything. It starts a Prometheus and an Alertmanager on their fixed ports on the
developer's machine, and the tests need neither.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# A download that stands still for this long is given up; the slowest seen (Chromium, 90 MB) took under a minute.
APT_TIMEOUT_S = 900

# Debian makes and starts a database cluster as soon as the server is installed, unless this file says no.
POSTGRES_SWITCH = Path("/etc/postgresql-common/createcluster.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One program we may start."""

    name: str  # what the code calls it
    package: str  # the Debian package that brings it
    programs: tuple[str, ...]  # file names, best first
    places: tuple[str, ...] = ("/usr/bin", "/usr/local/bin")  # where Debian puts it; globs, the highest version wins
    is_unpacked: bool = False  # True: unpack into our cache; False: install with apt, as root
    is_library: bool = False  # loaded into programs, not started


PARTS = {
    part.name: part
    for part in (
        Part(name="prometheus", package="prometheus", programs=("prometheus",), is_unpacked=True),
        Part(name="promtool", package="prometheus", programs=("promtool",), is_unpacked=True),
        Part(
            name="alertmanager",
            package="prometheus-alertmanager",
            programs=("prometheus-alertmanager", "alertmanager"),
            is_unpacked=True,
        ),
        Part(name="postgres", package="postgresql", programs=("postgres",), places=("/usr/lib/postgresql/*/bin",)),
        Part(
            name="libfaketime",
            package="libfaketime",
            programs=("libfaketimeMT.so.1",),
            places=("/usr/lib/*/faketime",),
            is_unpacked=True,
            is_library=True,
        ),
        Part(name="dockerd", package="docker.io", programs=("dockerd",), places=("/usr/sbin", "/usr/bin")),
        Part(name="chromium", package="chromium", programs=("chromium", "chromium-browser")),
    )
}


class MissingPart(Exception):
    """A program is not on this machine. The message says which, and what to type to get it."""


def cache_dir() -> Path:
    """The folder that unpacked packages live in; honours XDG_CACHE_HOME. It need not exist."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mlops-bot" / "debian"


def find(name: str) -> Path | None:
    """The program called `name` (a key of PARTS), or None when this machine has none. KeyError for an unknown name.

    A link is followed, so that a program's companions (initdb beside postgres) are found in the folder of the answer.
    """
    part = PARTS[name]
    for program in part.programs:
        on_path = shutil.which(program)
        if on_path:
            return Path(on_path).resolve()
    for folder in _folders(part):
        for program in part.programs:
            if os.access(folder / program, os.R_OK if part.is_library else os.X_OK):
                return folder / program
    return None


def need(name: str) -> Path:
    """Like `find`, but raises MissingPart instead of returning None."""
    found = find(name)
    if found is None:
        raise MissingPart(_advice(PARTS[name]))
    return found


def install(names: Iterable[str]) -> None:
    """Get every named part that is missing. Raises MissingPart when one cannot be had, after trying the others.

    Running it again is harmless. Does not upgrade a part that is there.
    """
    packages = {PARTS[name].package: PARTS[name] for name in names if find(name) is None}
    failed: list[str] = []
    for part in packages.values():
        try:
            _unpack(part) if part.is_unpacked else _install(part)
        except (OSError, subprocess.SubprocessError) as error:
            tried = _reason(error)
        else:
            tried = f"the package came, but holds no {part.programs[0]}"
        # Asked even after an error: another process may have brought the same part a moment before us.
        if find(part.name) is None:
            failed.append(f"{_advice(part)} (what was tried: {tried})")
    if failed:
        raise MissingPart("\n".join(failed))


def _folders(part: Part) -> Iterable[Path]:
    for place in part.places:
        # The highest version first: "15" and "9" would sort wrongly as text.
        found = Path("/").glob(place.lstrip("/"))
        yield from sorted(found, key=lambda path: [int(p) if p.isdigit() else 0 for p in path.parts], reverse=True)
    unpacked = cache_dir() / part.package
    yield unpacked / "usr" / "bin"
    if part.is_library:
        for place in part.places:
            yield from unpacked.glob(place.lstrip("/"))


def _advice(part: Part) -> str:
    return (
        f"{part.name} is not on this machine, and the playground or a test needs it. "
        f"On Debian or Ubuntu, as root: apt-get install --no-install-recommends {part.package}"
    )


def _reason(error: Exception) -> str:
    output = getattr(error, "stderr", None) or str(error)
    return str(output).strip().splitlines()[-1]


def _is_root() -> bool:
    return os.geteuid() == 0


def _apt(arguments: Sequence[str], *, folder: Path | None = None) -> None:
    """Run apt-get without questions. Package lists that are missing or old are fetched once, then it is tried again."""
    command = ["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=120", *_private_lists()]
    try:
        _run([*command, *arguments], folder)
    except subprocess.CalledProcessError:
        _run([*command, "update"], folder)
        _run([*command, *arguments], folder)


def _private_lists() -> list[str]:
    """Options that let apt-get work without root: it keeps its package lists in our cache."""
    if _is_root():
        return []
    state = cache_dir() / "apt"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (state / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}"]


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=APT_TIMEOUT_S,
    )


def _unpack(part: Part) -> None:
    print(f"parts: unpacking {part.package} into {cache_dir()} …", flush=True)
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix=".new-") as name:
        fresh = Path(name)
        _apt(["download", part.package], folder=fresh)
        [package] = fresh.glob("*.deb")
        _run(["dpkg", "-x", str(package), "tree"], folder=fresh)
        # Moved into place whole, so that somebody who looks meanwhile never sees half a package.
        target = cache_dir() / part.package
        shutil.rmtree(target, ignore_errors=True)
        (fresh / "tree").rename(target)


def _install(part: Part) -> None:
    if not _is_root():
        raise PermissionError("only root may install packages")
    print(f"parts: installing the Debian package {part.package} …", flush=True)
    if part.name == "postgres" and not POSTGRES_SWITCH.exists():
        POSTGRES_SWITCH.parent.mkdir(parents=True, exist_ok=True)
        POSTGRES_SWITCH.write_text("create_main_cluster = false\n")
    _apt(["install", "--no-install-recommends", part.package])


def main(arguments: Sequence[str] | None = None) -> int:
    """`list` what is where, or `install NAME…`. Exit code 0 when all are there, 1 when one is missing."""
    parser = argparse.ArgumentParser(prog="python -m playground.parts", description="Programs the playground starts.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print each part and where it is")
    wanted = commands.add_parser("install", help="get the parts that are missing")
    wanted.add_argument("names", nargs="+", choices=sorted(PARTS), metavar="NAME", help=", ".join(sorted(PARTS)))
    options = parser.parse_args(arguments)
    if options.command == "list":
        places = {name: find(name) for name in PARTS}
        for name, place in places.items():
            print(f"{name:<14}{place or 'missing'}")
        return 0 if all(places.values()) else 1
    try:
        install(options.names)
    except MissingPart as error:
        print(f"parts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
