"""The main story, played by a script: every step is looked for on a person's screen, and told with its real values."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from bot.config.fields import duration
from playground.demo.town import CHANNEL, Town
from playground.slack import Human, Seen
from playground.system import registry
from playground.system.stack import Stack

T = TypeVar("T")
POLL_S = 0.1


class Failed(Exception):
    """A step was not observed."""


class Story:
    """Plays on a running town and prints what it sees."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._began = time.monotonic()
        self.steps = 0
        self._alice = town.as_("alice").looks_at(CHANNEL)
        self._bob = town.as_("bob").looks_at(CHANNEL)
        self._carol = town.as_("carol").looks_at(CHANNEL)

    @property
    def seconds(self) -> float:
        """Since the story began."""
        return time.monotonic() - self._began

    def play(self, *, with_drift: bool = False) -> None:
        """The whole story; raises when a step is not observed. Drift takes half a minute and needs its libraries."""
        self.bad_model()
        self.diagnostics()
        self.acknowledge()
        self.rollback()
        self.resolved()
        if with_drift:
            self.drift()
        self.nobody_answers()

    # the chapters

    def bad_model(self) -> None:
        """A bad version goes live and an incident is opened."""
        stack = self._stack()
        self._town.wait_until_proven()
        self.tell("v2 is served", f"accuracy {stack.accuracy():.2f}")
        stack.go_bad()
        accuracy = stack.wait_for_accuracy(below=0.8)
        self.tell("v3 is live", f"the registry's alias moved, the server reloaded; accuracy fell to {accuracy:.2f}")
        head = self.see(self._alice, "P1", 40, "the incident's headline")
        self.must("accuracy" in head.text and "bound 0.80" in head.text, "the headline gives the reason", head)
        self.must("intent_classifier" in head.text, "the headline names the model", head)
        self.tell("headline", _one_line(head.text))
        self.head = head

    def diagnostics(self) -> None:
        """Findings come into the thread, a picture among them."""
        for words, what in (
            ("at least 0.8", "current values against their bounds"),
            ("v3", "the served version against the registry"),
            ("went live", "what changed"),
        ):
            found = self.see(self._alice, words, 25, what, thread=self.head.ts)
            self.tell(f"diagnostic: {what}", _one_line(found.text))
        picture = self.wait(self._file_in_thread, 25, "a graph in the thread")
        self.tell("diagnostic: graph", f"PNG of {picture} bytes")

    def acknowledge(self) -> None:
        """On call takes it."""
        answer = self._alice.types("/mlops ack", channel=CHANNEL)
        text = str((answer.answer or {}).get("text", ""))
        specific = "on it" in text or "Working on `ack`" in text  # a busy machine announces first and answers next
        self.must(answer.is_acked and specific, f"/mlops ack is answered: {text}")
        self.must(answer.took_ms < at_once_ms(), f"it is answered at once: {answer.took_ms:.0f} ms")
        self.tell("/mlops ack", f"“{text}” after {answer.took_ms:.0f} ms")
        self.see(self._alice, "is on it", 10, "the owner in the headline", channel=CHANNEL)

    def rollback(self) -> None:
        """Ask, be refused, see a plan become void, approve the new one, see it proven."""
        answer = self._alice.types("/mlops rollback intent_classifier", channel=CHANNEL)
        text = str((answer.answer or {}).get("text", ""))
        self.must(answer.took_ms < at_once_ms(), f"/mlops rollback is answered at once: {answer.took_ms:.0f} ms")
        self.tell("/mlops rollback intent_classifier", f"“{text}” after {answer.took_ms:.0f} ms")
        card = self.see(self._bob, "last known-good", 20, "the approval card", thread=self.head.ts)
        self.tell("card", _one_line(card.text))
        self._alice.clicks("Approve", confirm=True, within=card)
        refusal = self.see(self._alice, "somebody else must approve", 10, "the refusal of one's own approval")
        self.tell("own approval refused", _one_line(refusal.text))
        registry.promote(self._stack().mlflow_url, registry.MODEL_NAME, "1", leave_trail=False)
        self._bob.clicks("Approve", confirm=True, within="last known-good")
        void = self.see(self._bob, "alias champion was 3, is 1", 20, "the void plan", thread=self.head.ts)
        self.tell("somebody moved the alias: the plan is void", _one_line(void.text))
        fresh = self.wait(self._open_card, 20, "a new preview with buttons")
        self.tell("new preview", _one_line(fresh.text))
        began = time.monotonic()
        self._bob.clicks("Approve", confirm=True, within=fresh)
        done = self.see(self._bob, "verified", 60, "the proven result", thread=self.head.ts)
        self.must(self._stack().served_version() == "2", "the server itself reports version 2")
        self.must((self._stack().accuracy() or 0) >= 0.8, "the accuracy is back within its bound")
        self.tell(
            "rolled back and proven", f"{_one_line(done.text)} ({time.monotonic() - began:.1f} s after the approval)"
        )

    def resolved(self) -> None:
        """Alertmanager says resolved; after the quiet period the incident is over."""
        summary = self.see(self._alice, "Time to resolve", 60, "the summary", thread=self.head.ts)
        for words in ("acknowledge", "Roll back", "Refusals", "Approvals"):
            self.must(words in summary.text, f"the summary tells “{words}”", summary)
        self.tell("summary", _one_line(summary.text))

    def drift(self) -> None:
        """A feed breaks without an alert: the check finds the column, and the retrain stays locked."""
        stack = self._stack()
        stack.set_fault(blank_feature=0.3)
        self.wait(lambda: stack.served_rows(broken=True) >= 60, 60, "rows of the broken feed")
        answer = self._alice.types("/mlops drift intent_classifier", channel=CHANNEL)
        self.tell("/mlops drift intent_classifier", f"“{(answer.answer or {}).get('text', '')}”")
        card = self.see(self._alice, "Triage – data bug", 150, "the drift check's answer")
        self.must("pixel_3_4" in card.text, "the broken column is named", card)
        self.must("Retraining is locked" in card.text, "the lock is told", card)
        self.tell("drift", _one_line(card.text))
        self._bob.clicks("Retrain (locked)", within=card)
        refusal = self.see(self._bob, "Retraining intent_classifier is locked", 15, "why the retrain is locked")
        self.tell("retrain refused", _one_line(refusal.text))
        self._bob.clicks("Data bug", within=card)
        self.see(self._bob, "said: data bug", 15, "the recorded exit")
        self.tell("a person decided", "it is a data bug; the feed is mended, nothing is retrained")
        stack.set_fault(clear=True)

    def nobody_answers(self) -> None:
        """The server dies, nobody acknowledges: four levels are paged, at their times and once each."""
        stack = self._stack()
        stack.stop_server()
        head = self.see(self._alice, "P0", 60, "the second incident")
        self.tell("nothing is served", _one_line(head.text))
        minute = duration(self._town.minute).total_seconds()
        people = (("alice", 15), ("bob", 30), ("carol", 60), ("dana", 120))
        for level, (name, minutes) in enumerate(people, 1):
            human = self._town.as_(name)
            page = self.wait(lambda human=human: self._page(human), minutes * minute + 30, f"the page to {name}")
            self.tell(f"level {level} is paged", f"@{name}, due {minutes} min after opening: {_one_line(page.text)}")
        dana = self._town.as_("dana")
        dana.clicks("Acknowledge", within=self._page(dana))
        self.see(self._alice, "dana", 15, "the new owner in the headline", channel=CHANNEL)
        counts = {name: len(self._pages(self._town.as_(name))) for name, _ in people}
        self.must(counts == dict.fromkeys(counts, 1), f"everybody was paged exactly once: {counts}")
        self.tell("acknowledged from the page", f"pages per person: {counts}")
        stack.start_server()
        self.see(self._alice, "resolved", 60, "the end of the second incident", channel=CHANNEL)
        self.tell("served again", "the incident resolved by itself")

    # looking

    def see(self, human: Human, text: str, within: float, what: str, **where: str) -> Seen:
        """Wait for words on a screen."""
        try:
            return human.sees(text, within=within, **where)
        except AssertionError as problem:
            raise Failed(f"{what}: {problem}") from None

    def wait(self, look: Callable[[], T | None], within: float, what: str) -> T:
        """Wait until something is there."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(POLL_S)
        raise Failed(f"{what} did not come within {within:.0f} s\n\n{self._alice.picture()}")

    def must(self, fact: bool, what: str, seen: Seen | None = None) -> None:
        """A fact of the story."""
        if not fact:
            raise Failed(f"not true: {what}" + (f"\n{seen.text}" if seen else ""))

    def tell(self, step: str, words: str) -> None:
        """Print one observed step."""
        self.steps += 1
        print(f"{self.seconds:6.1f} s  {step}: {words}", flush=True)

    def _stack(self) -> Stack:
        if self._town.stack is None:
            raise Failed("this town has no ML system")
        return self._town.stack

    def _file_in_thread(self) -> int:
        files = self._alice.screen()["files"]
        for message in self._alice.messages(CHANNEL, thread=self.head.ts):
            for block in message.raw.get("blocks") or []:
                file = files.get((block.get("slack_file") or {}).get("id"))
                if file:
                    picture = self._alice.opens_file(file["name"])
                    self.must(picture.startswith(b"\x89PNG"), "the graph is a PNG")
                    return len(picture)
        return 0

    def _open_card(self) -> Seen | None:
        cards = self._bob.messages(CHANNEL, thread=self.head.ts)
        return next((card for card in reversed(cards) if "Approve" in card.buttons), None)

    def _pages(self, human: Human) -> list[Seen]:
        """Pages of the ladder; a call because of a raise or a reopening comes besides."""
        return [message for message in human.dms() if "P0" in message.text and "· level" in message.text]

    def _page(self, human: Human) -> Seen | None:
        pages = self._pages(human)
        return pages[-1] if pages else None


def at_once_ms() -> float:
    """100 ms, which people notice; five times as much while more programs want to run than there are processors."""
    return 100.0 if os.getloadavg()[0] <= (os.cpu_count() or 1) else 500.0


def _one_line(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 400 else f"{words[:399]}…"
