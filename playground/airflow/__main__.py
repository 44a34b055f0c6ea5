"""Build the environments of Airflow, or run one until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from playground.airflow import MissingAirflow, Server, build


def main() -> int:
    """0 when all is well, 1 when an Airflow cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m playground.airflow", description="A real Airflow, 2 or 3.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make both environments")
    commands.add_parser("run", help="start one until Ctrl-C").add_argument("release", type=int, choices=(2, 3))
    options = parser.parse_args()
    try:
        if options.command == "build":
            for release in (3, 2):
                print(f"airflow: Airflow {release} is in {build(release)}")
            return 0
        with Server(options.release) as server, contextlib.suppress(KeyboardInterrupt):
            server.pause(False)
            print(f"Airflow {options.release} at {server.url}; users: {server.passwords}", flush=True)
            while True:
                time.sleep(3600)
    except MissingAirflow as problem:
        print(f"airflow: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
