"""`python -m playground.system up|go-bad|restore|status`: the playground from a shell.

`up` runs in the foreground until Ctrl-C and writes its addresses into a state file, which the other commands read.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from playground import parts
from playground.system import registry
from playground.system.monitoring import Webhook, find_programs
from playground.system.processes import StartFailed
from playground.system.registry import MODEL_NAME
from playground.system.stack import BAD_VERSION, GOOD_VERSION, Stack
from playground.system.wire import CallFailed, call


def default_state_file() -> Path:
    return Path(tempfile.gettempdir()) / f"mlops-playground-{os.getuid()}.json"


def up(options: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM; 1 when a part does not start."""
    webhook = Webhook(url=options.webhook, token=os.environ.get("MLOPS_WEBHOOK_TOKEN")) if options.webhook else None
    try:
        programs = find_programs()
    except parts.MissingPart as missing:
        print(f"Going on without alerts: {missing}")
        programs = None
    signal.signal(signal.SIGTERM, _leave)
    try:
        with Stack(webhook=webhook, metrics=programs, cache_dir=options.cache) as stack:
            _write_state(options.state, stack)
            print(f"{MODEL_NAME} version {stack.served_version()} is served. Ctrl-C ends it all. Logs: {stack.folder}")
            for name, url in _addresses(stack).items():
                print(f"  {name:<13} {url}", flush=True)
            while True:
                time.sleep(3600)
    except StartFailed as failure:
        print(f"The playground did not start. {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        options.state.unlink(missing_ok=True)


def move(options: argparse.Namespace) -> int:
    """Promote the version the command stands for on a running playground and have the server reload."""
    state = _read_state(options.state)
    version = BAD_VERSION if options.command == "go-bad" else GOOD_VERSION
    replaced = registry.promote(state["mlflow"], MODEL_NAME, version)
    query = {"model_name": MODEL_NAME, "alias": registry.CHAMPION}
    call("POST", f"{state['model server']}/admin/reload-model", query=query, timeout_seconds=30.0)
    print(f"{registry.CHAMPION} moved from version {replaced} to {version}; the server has reloaded")
    return 0


def status(options: argparse.Namespace) -> int:
    """Print what the server serves and what the registry says."""
    state = _read_state(options.state)
    info = call("GET", f"{state['model server']}/model/info")
    champion = registry.alias_version(state["mlflow"], MODEL_NAME, registry.CHAMPION)
    print(f"served: {info['name']} version {info['version']}, loaded at {info['loaded_at']}")
    print(f"registry: {registry.CHAMPION} is version {champion}")
    return 0


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _addresses(stack: Stack) -> dict[str, str]:
    found = {
        "mlflow": stack.mlflow_url,
        "model server": stack.server_url,
        "prometheus": stack.prometheus_url,
        "alertmanager": stack.alertmanager_url,
    }
    return {name: url for name, url in found.items() if url}


def _write_state(path: Path, stack: Stack) -> None:
    path.unlink(missing_ok=True)  # never through a link somebody else left in the shared folder
    with path.open("x") as file:
        json.dump(_addresses(stack), file)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"No running playground found ({error}). Start one: python -m playground.system up") from None
    assert isinstance(state, dict)
    return state


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m playground.system", description="The playground's ML system.")
    parser.add_argument("--state", type=Path, default=default_state_file(), help="where `up` writes its addresses")
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("up", help="start everything, print the addresses, run until Ctrl-C")
    runner.add_argument("--webhook", metavar="URL", help="where Alertmanager posts; token from MLOPS_WEBHOOK_TOKEN")
    runner.add_argument("--cache", type=Path, metavar="DIR", help="keep the trained models here and reuse them")
    runner.set_defaults(run=up)
    for name, text in (("go-bad", "promote the bad version 3"), ("restore", "go back to version 2")):
        commands.add_parser(name, help=text).set_defaults(run=move)
    commands.add_parser("status", help="what is served").set_defaults(run=status)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except CallFailed as failure:
        print(f"The playground did not do it: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
