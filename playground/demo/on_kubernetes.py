"""`mlops-bot demo --kubernetes`: the same town, with a cluster in the place of the model server and its registry."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import Self

from playground.demo.platform import BAD, GOOD, RUNBOOKS, SERVICE, Platform
from playground.demo.story import Failed, Story
from playground.demo.town import CHANNEL, Town
from playground.kube import ApiError, Cluster, MissingPrograms
from playground.system.processes import StartFailed, TimedOut

FIRST_INCIDENT_S = 20.0
ALARM_S = 0.3


def run(*, minute: str, port: int, slack_mode: str, is_scripted: bool, is_calm: bool) -> int:
    """Start everything and play, or let a person play; 0 when everything went as it should."""
    began = time.monotonic()
    print("Starting a Kubernetes API server with simulated nodes, a local Slack workspace and the bot…", flush=True)
    try:
        with Cluster() as cluster:
            platform = Platform(cluster)
            kubeconfig = platform.start()
            town = Town(
                minute=minute, page_port=port, slack_mode=slack_mode, with_system=False, runbooks=RUNBOOKS,
                addresses={"PLAYGROUND_KUBECONFIG": str(kubeconfig)}, limits="real" if is_scripted else "soft",
            )  # fmt: skip
            town.workspace.world.guide = guide()
            with town:
                print(f"Up after {time.monotonic() - began:.0f} s.", flush=True)
                return _scripted(town, platform) if is_scripted else _interactive(town, platform, is_calm=is_calm)
    except MissingPrograms as problem:
        print(f"There is no Kubernetes to run the demo on: {problem}")
        return 1
    except (StartFailed, TimedOut, ApiError) as problem:
        print(problem)
        return 1
    except KeyboardInterrupt:
        return 0


class ClusterStory(Story):
    """A bad roll-out, from the alert to the proven rollback."""

    def __init__(self, town: Town, platform: Platform) -> None:
        super().__init__(town)
        self._platform = platform

    def play(self) -> None:
        """The whole story; raises when a step is not observed."""
        self.bad_roll_out()
        self.acknowledge()
        self.back()
        self.resolved()

    def bad_roll_out(self) -> None:
        """The new version crashes; an incident is opened and its thread says why."""
        self.tell("v1.2.0 is rolled out", f"{SERVICE} in the cluster, all pods available")
        self._platform.go_bad()
        self.tell("v1.3.0 is deployed", BAD)
        self.head = self.see(self._alice, "P1", 40, "the incident's headline")
        self.must(SERVICE in self.head.text, "the headline names the service", self.head)
        self.tell("headline", _one_line(self.head.text))
        for words, what in (
            ("exit code 1", "how the pods end"),
            ("cannot load the model", "what the log says"),
            ("v1.3.0-crash", "what was rolled out"),
        ):
            found = self.see(self._alice, words, 25, what, thread=self.head.ts)
            self.tell(f"diagnostic: {what}", _one_line(found.text))

    def back(self) -> None:
        """Ask, be refused one's own approval, let another approve, see it proven."""
        answer = self._alice.types(f"/mlops rollback {SERVICE}", channel=CHANNEL)
        text = str((answer.answer or {}).get("text", ""))
        self.must(answer.took_ms < 100, f"/mlops rollback is answered within 100 ms: {answer.took_ms:.0f} ms")
        self.tell(f"/mlops rollback {SERVICE}", f"“{text}” after {answer.took_ms:.0f} ms")
        card = self.see(self._bob, "last known-good", 20, "the approval card", thread=self.head.ts)
        self.tell("card", _one_line(card.text))
        self.must(self._platform.image() == BAD, "a preview changes nothing")
        self._alice.clicks("Approve", confirm=True, within=card)
        refusal = self.see(self._alice, "somebody else must approve", 10, "the refusal of one's own approval")
        self.tell("own approval refused", _one_line(refusal.text))
        began = time.monotonic()
        self._bob.clicks("Approve", confirm=True, within=self.wait(self._open_card, 10, "the card with buttons"))
        done = self.see(self._bob, "verified", 60, "the proven result", thread=self.head.ts)
        self.must(self._platform.image() == GOOD, "the cluster runs the good version's template")
        self.must(self._platform.is_whole(), "all its pods are new and available")
        self.tell(
            "rolled back and proven", f"{_one_line(done.text)} ({time.monotonic() - began:.1f} s after the approval)"
        )


class Alarm:
    """Watches the cluster in a thread of its own, as Prometheus and Alertmanager would. A context manager."""

    def __init__(self, town: Town, platform: Platform) -> None:
        self._town, self._platform = town, platform
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="alarm", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._stop.wait(ALARM_S):
            # Neither a bot nor a cluster that is away for a moment ends the watch.
            with contextlib.suppress(ApiError, OSError, ValueError):
                self._platform.look(self._town)


def _scripted(town: Town, platform: Platform) -> int:
    story = ClusterStory(town, platform)
    try:
        with Alarm(town, platform):
            story.play()
    except (Failed, AssertionError) as problem:
        print(f"\nThe story broke: {problem}\n\nThe end of the bot's log:\n{town.tail()}", flush=True)
        return 1
    print(f"\nEvery step was observed: {story.steps} steps in {story.seconds:.0f} s.", flush=True)
    return 0


def _interactive(town: Town, platform: Platform, *, is_calm: bool) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(f"\n  Open {town.workspace.url} and look at #{CHANNEL}.\n", flush=True)
    if not is_calm:
        print(
            f"In {FIRST_INCIDENT_S:.0f} s somebody deploys a version that crashes. Ctrl-C ends everything.", flush=True
        )
        if not stop.wait(FIRST_INCIDENT_S):
            platform.go_bad()
            print("v1.3.0 is deployed. Watch the channel; you are Alice, on call.", flush=True)
    with Alarm(town, platform):
        while not stop.wait(1.0):
            if town.bot is not None and town.bot.poll() is not None:
                print(f"The bot ended by itself:\n{town.tail()}")
                return 1
    return 0


def guide() -> list[dict[str, object]]:
    """What the page proposes to play; `when` is the deed that ticks a step."""
    ask = f"/mlops rollback {SERVICE}"
    return [
        {"text": f"An alert arrives in #{CHANNEL}: new pods crash.", "when": "looked", "go": {"channel": CHANNEL}},
        {"text": "Press Acknowledge: it is yours now, and nobody else is paged.", "when": "acknowledged"},
        {"text": f"Ask for a rollback: {ask}", "when": "asked", "go": {"channel": CHANNEL, "text": ask}},
        {"text": "Open the thread and press Approve. You asked, so you are refused.", "when": "refused"},
        {"text": "Become Bob Osei and approve. Then watch the proof come in.", "when": "approved", "go": {"as": "bob"}},
    ]


def _one_line(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 400 else f"{words[:399]}…"
