"""python -m playground.slack: a workspace in its own process."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from pathlib import Path
from typing import Any

import yaml

from playground.slack import setup
from playground.slack.workspace import Workspace


def _load(path: Path | None) -> Any:
    """JSON is YAML, so one reader serves both."""
    return yaml.safe_load(path.read_text()) if path else None


def main(argv: list[str] | None = None) -> int:
    """Serve until interrupted; the first line of output is JSON with the addresses."""
    parser = argparse.ArgumentParser(prog="python -m playground.slack", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--manifest", type=Path, help="app manifest, JSON or YAML")
    parser.add_argument("--setup", type=Path, help="{people, channels, usergroups}, JSON or YAML")
    parser.add_argument("--limits", choices=("off", "soft", "real"), default="soft")
    parser.add_argument("--request-url", help="HTTP mode: where the app listens")
    options = parser.parse_args(argv)
    world = _load(options.setup) or {}
    workspace = Workspace(
        manifest=_load(options.manifest),
        people=world.get("people", setup.DEFAULT_PEOPLE),
        channels=world.get("channels", setup.DEFAULT_CHANNELS),
        usergroups=world.get("usergroups"),
        port=options.port,
        limits=options.limits,
        request_url=options.request_url,
    ).start()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(json.dumps({"page": workspace.url, **workspace.environment}), flush=True)
    stop.wait()
    workspace.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
