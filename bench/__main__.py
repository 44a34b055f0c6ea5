"""`python -m bench [MODULE …]`: run the modules, print a line for each figure, end with 1 when a bound is missed."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

NO_MODULES = {"figure"}


def modules() -> list[str]:
    """The names of the modules that measure something."""
    found = (one.name for one in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name for name in found if name not in NO_MODULES and not name.startswith("_"))


def run(names: Iterable[str]) -> list[str]:
    """Print every figure as it comes; what went wrong, a line each. A module that fails costs only its own figures."""
    wrong: list[str] = []
    for name in names:
        try:
            for figure in importlib.import_module(f"bench.{name}").measure():
                print(figure.line, flush=True)
                if figure.missed:
                    wrong.append(figure.missed)
        except Exception as error:  # noqa: BLE001 - the next module can still be measured
            traceback.print_exc()
            wrong.append(f"{name} could not be measured: {type(error).__name__}")
    return wrong


def main() -> int:
    """0 when every bound is kept, 1 when not, 2 for a module that does not exist."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("module", nargs="*", help=f"some of: {', '.join(modules())}. Default: all")
    chosen = parser.parse_args().module or modules()
    if unknown := sorted(set(chosen) - set(modules())):
        parser.error(f"there is no module {unknown[0]}; there are: {', '.join(modules())}")
    wrong = run(chosen)
    for text in wrong:
        print(f"bound: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
