"""An office in which drift can be checked: everything is real but the worker, who answers what a test wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.deliver import Deliverer
from bot.desk import Asker, Reply
from bot.drift.asked import DataSource, DriftProfile, DriftRequest, SourceKind
from bot.drift.report import Aside, Cause, Clue, ColumnReport, Direction, DriftReport, Role, Took, Triage, Verdict
from bot.drift_work import DriftWorker
from bot.model import Draft, Who
from bot.policy import Policy
from bot.policy.drift import Report
from bot.ports import Refusal, Scene
from bot.render import Renderer
from bot.reports import Links
from handlers.actions import _drift_lock
from tests.engine.office import ALICE, BOB, CHANNEL, MODEL, TEMPLATES, Lever, Office, policy, system

KEY = b"a secret key of the tests, long enough"
BASE = "http://bot.example:8080"
SOURCE = DataSource(kind=SourceKind.CSV, path="rows.csv")
PROFILE = DriftProfile(system="shop", model=MODEL, reference=SOURCE, current=SOURCE)
HOSTILE = "<!channel> *pay* `now` </script>"
COLUMNS = (
    ColumnReport(
        name="age", role=Role.INPUT, form="number", verdict=Verdict.HIGH, direction=Direction.UP, value=1.92,
        bound=0.3, noise=0.02, n=1240, change="mean 40 → 61", is_pictured=True,
    ),
    ColumnReport(
        name=HOSTILE, role=Role.INPUT, form="number", verdict=Verdict.STABLE, direction=Direction.SAME, value=0.01,
        bound=0.1, noise=0.02, n=1240,
    ),
)  # fmt: skip
LOCK = "Retraining would teach the model broken data: 12 % of age are -999. Fix the source first."
CLUES = (
    Clue(sign="sentinel", column="age", sentence="12 % of age are -999.", points="data bug"),
    Clue(sign="prediction", column="", sentence="The predictions drifted with it.", points="neither"),
)
BUG = Triage(
    cause=Cause.DATA_BUG, sentence="Probably a data bug: 12 % of age are -999.", clues=CLUES, retrain_locked=LOCK,
    drifted=("age",),
)  # fmt: skip
VALID = replace(BUG, cause=Cause.VALID, sentence="Plausibly the world changed.", clues=(), retrain_locked=None)
QUIET = replace(
    VALID, cause=Cause.QUIET, sentence="No drift seen.", drifted=(),
    retrain_locked="Nothing drifted, so there is no reason in the data to retrain.",
)  # fmt: skip
TOO_FEW = replace(
    QUIET, cause=Cause.TOO_FEW, sentence="Not enough data for a verdict: 40 rows.",
    retrain_locked="There are too few rows to tell. Wait for more, or take a longer window.",
)  # fmt: skip


def answer(triage: Triage = BUG, **changes: Any) -> DriftReport:
    """What the worker says: 1 of 2 columns drifted."""
    base = DriftReport(
        system="shop", model=MODEL, sentence="High drift: 1 of 2 columns is past a line at 1,240 rows.",
        verdict=Verdict.HIGH, number="share", value=0.5, bound=0.3, drifted=1, judged=2, inputs=2, share=0.5,
        reference_rows=5000, current_rows=1240, columns=COLUMNS, triage=triage, gone=(), added=(),
        aside=(Aside(name="note", why="It has more than 1000 different values: an identifier or free text."),),
        took=Took(total_s=4.2),
    )  # fmt: skip
    return replace(base, **changes)


class Retrain(Lever):
    """The smallest action that is called retrain and asks the lock."""

    def __init__(self) -> None:
        super().__init__(name="retrain", usage="retrain <model>", summary="train anew")

    def draw(self, scene: Scene, request: Any) -> Draft | Refusal:
        return _drift_lock.guarded(scene, super().draw(scene, request))

    def fingerprint(self, scene: Scene, plan: Any) -> dict[str, str]:
        return _drift_lock.facts(scene, super().fingerprint(scene, plan))


def rules(*, drifts: bool = True) -> Policy:
    base = system(catch_all=(f"channel:{CHANNEL}",))
    models = tuple(
        replace(one, drift=frozenset({"data"} if drifts else ()), retrain="train-intent") for one in base.models
    )
    return policy(replace(base, models=models))


class Lab:
    """An office with its drift lane; its one guarded action is `Retrain`."""

    def __init__(self, office: Office, folder: Path) -> None:
        self.office, self.folder = office, folder
        self.asked: list[DriftRequest] = []
        self.run: Callable[[DriftRequest], DriftReport] = lambda _: self.with_files(answer())
        self.drifts = self.new_worker()
        self.links = Links(key=KEY, base=BASE)
        office.deliverer = Deliverer(
            office.engine, office.chat, Renderer(TEMPLATES), owner=office.owner, links=self.links
        )

    def new_worker(self) -> DriftWorker:
        """As after a restart of the process."""
        return DriftWorker(
            self.office.engine, run=self._run, profiles={"shop": {MODEL: PROFILE}}, backends=lambda _: {}
        )

    def with_files(self, report: DriftReport) -> DriftReport:
        """The answer with its page and picture on the disk."""
        page, picture = self.folder / "report.html", self.folder / "top.png"
        page.write_text("<html><script>draw()</script>the report</html>")
        picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
        return replace(report, html_path=str(page), png_path=str(picture))

    def _run(self, request: DriftRequest) -> DriftReport:
        self.asked.append(request)
        return self.run(request)

    def say(self, text: str, who: Who = ALICE, **more: str) -> Reply:
        more = {"channel": self.channel, **more}
        return self.office.say(text, who, **more)

    @property
    def channel(self) -> str:
        return self.office.chat.resolve(CHANNEL)

    def work(self) -> int:
        """Make the checks that are due."""
        jobs = self.office.store.claim("drift", self.office.owner, self.office.clock(), timedelta(seconds=60), limit=5)
        for job in jobs:
            self.drifts.do(job)
        return len(jobs)

    def settle(self, seconds: int = 8) -> None:
        for _ in range(seconds):
            self.work()
            self.office.work()
            self.office.deliver()
            self.office.clock.advance(seconds=1)

    def click(self, choice: str, who: Who = BOB, report: str = "DRF-1", **more: str) -> Reply:
        return self.office.desk.click_drift(report, choice, Asker(who=who, **more))

    def report(self, report_id: str = "DRF-1") -> Report:
        found = self.office.store.drift.report(report_id)
        assert found is not None
        return found

    def shown(self) -> str:
        """Every message of the channel and its threads as people read them, the latest state of each."""
        screen = self.office.ws.as_("alice").looks_at(CHANNEL.removeprefix("#"))
        heads = screen.messages()
        return "\n".join(one.text for head in heads for one in (head, *screen.messages(thread=head.ts)))

    def kinds(self) -> list[str]:
        return [line.kind for line in self.office.store.audit_lines()]
