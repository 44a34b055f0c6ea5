"""The command `mlops-bot demo`."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from playground import parts
from playground.demo import on_kubernetes
from playground.demo.story import Failed, Story
from playground.demo.town import CHANNEL, Town
from playground.system.monitoring import MonitoringPrograms, find_programs
from playground.system.processes import StartFailed
from playground.system.webhook import build_webhook

FIRST_INCIDENT_S = 20.0
ACCURACY_BOUND = 0.8


def run(arguments: Sequence[str]) -> int:
    """Parse and run; 0 when everything went as it should."""
    given = _parser().parse_args([word for word in arguments if word != "--"])
    if given.kubernetes:
        return on_kubernetes.run(
            minute=given.minute or ("500ms" if given.scripted else "60s"), port=given.port, slack_mode=given.slack_mode,
            is_scripted=given.scripted, is_calm=given.calm,
        )  # fmt: skip
    began = time.monotonic()
    try:
        programs = find_programs()
    except parts.MissingPart as problem:
        programs = None
        print(
            f"{problem}\nWithout them the demo posts the same webhook itself; proofs from metrics are missing.",
            flush=True,
        )
        if given.scripted:
            print("The scripted story proves its steps by them, so it cannot be played.")
            return 1
    print(
        "Starting a small ML system (MLflow, model server, traffic), a local Slack workspace and the bot…", flush=True
    )
    town = Town(
        minute=given.minute or ("500ms" if given.scripted else "60s"), page_port=given.port, metrics=programs,
        slack_mode=given.slack_mode, cache_dir=_cache(), limits="real" if given.scripted else "soft",
    )  # fmt: skip
    try:
        with town:
            print(f"Up after {time.monotonic() - began:.0f} s.", flush=True)
            if given.scripted:
                return _scripted(town)
            return _interactive(town, programs, calm=given.calm)
    except StartFailed as problem:
        print(problem)
        return 1
    except KeyboardInterrupt:
        return 0


class Alarm:
    """Stands in for Prometheus and Alertmanager: posts their webhook when the accuracy crosses its bound."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._since: datetime | None = None

    def look(self) -> None:
        """Compare the accuracy with the bound once."""
        accuracy = self._town.stack.accuracy() if self._town.stack is not None else None
        if accuracy is None:
            return
        now = datetime.now(UTC)
        if accuracy < ACCURACY_BOUND and self._since is None:
            self._since = now
            self._town.post_webhook(build_webhook(accuracy, started_at=now))
        elif accuracy >= ACCURACY_BOUND and self._since is not None:
            self._town.post_webhook(build_webhook(accuracy, started_at=self._since, ended_at=now))
            self._since = None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlops-bot demo", description="Run everything on this machine and open a page to play it."
    )
    parser.add_argument("--scripted", action="store_true", help="play the whole story without a person, and check it")
    parser.add_argument("--minute", metavar="SPAN", default="", help="what a minute of the policy lasts, such as 2s")
    parser.add_argument("--port", type=int, default=0, help="port of the page (default: a free one)")
    parser.add_argument("--slack-mode", choices=("socket", "http"), default="socket", help="how Slack reaches the bot")
    parser.add_argument(
        "--kubernetes", action="store_true", help="play a bad roll-out in a cluster (needs `make kube`)"
    )
    parser.add_argument("--calm", action="store_true", help="let nothing go wrong by itself")
    return parser


def _cache() -> Path:
    return parts.cache_dir().parent / "trained"


def _scripted(town: Town) -> int:
    story = Story(town)
    try:
        story.play(with_drift=find_spec("duckdb") is not None)
    except (Failed, AssertionError) as problem:
        print(f"\nThe story broke: {problem}\n\nThe end of the bot's log:\n{town.tail()}", flush=True)
        return 1
    print(f"\nEvery step was observed: {story.steps} steps in {story.seconds:.0f} s.", flush=True)
    return 0


def _interactive(town: Town, programs: MonitoringPrograms | None, *, calm: bool) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(f"\n  Open {town.workspace.url} and look at #{CHANNEL}.\n", flush=True)
    if not calm:
        print(f"In {FIRST_INCIDENT_S:.0f} s a bad model (v3) goes live. Ctrl-C ends everything.", flush=True)
        if not stop.wait(FIRST_INCIDENT_S) and town.stack is not None:
            town.wait_until_proven()
            town.stack.go_bad()
            print("v3 is live. Watch the channel; you are Alice, on call.", flush=True)
    alarm = None if programs else Alarm(town)
    while not stop.wait(1.0):
        if alarm is not None:
            alarm.look()
        if town.bot is not None and town.bot.poll() is not None:
            print(f"The bot ended by itself:\n{town.tail()}")
            return 1
    return 0
