"""What delivery says and shares of drift checks: their messages, their pictures, their files."""

from __future__ import annotations

import logging

from bot import drift_checks
from bot.chat import Chat, SlackProblem
from bot.engine import Engine
from bot.policy.drift import Report
from bot.render import Message, Renderer
from bot.reports import Links
from bot.store import Job, StoredFile

log = logging.getLogger("mlops.deliver")


class DriftPosts:
    """Turns rows about drift checks into messages and files. Safe to use from several threads."""

    def __init__(self, engine: Engine, chat: Chat, renderer: Renderer, links: Links) -> None:
        self._engine = engine
        self._store = engine.store
        self._chat = chat
        self._render = renderer
        self._links = links

    def message(self, job: Job) -> Message | None:
        """The row's message as things stand; None when what it is about is gone."""
        if job.kind == "drift_review":
            reports = self._store.drift.of_review(str(job.payload.get("review", "")))
            return self._render.drift_review(str(job.payload.get("system", "")), reports)
        report = self._report(job)
        if report is None:
            return None
        result = report.result
        link = ""
        if result is not None and result.html and report.ended_at is not None:
            link = self._links.to(result.html, report.ended_at)
        model = self._engine.policy.system(report.system).model(report.model)
        return self._render.drift(
            report, picture_id=self._picture(report), link=link, lasts=self._links.lasts,
            retrains=bool(model and model.retrain),
        )  # fmt: skip

    def file(self, job: Job) -> StoredFile | None:
        """The file that the row shares, None when it is not kept any more."""
        return self._store.drift.file(str(job.payload.get("file", "")))

    def otherwise(self, job: Job) -> str:
        """Where it goes when Slack refuses the place: the system's own channel, once; "" when that was it."""
        report = self._report(job)
        system = self._engine.policy.system(report.system if report else str(job.payload.get("system", "")))
        own = f"channel:{system.channel}"
        return own if system.channel and job.target != own and job.kind != "drift_file" else ""

    def _report(self, job: Job) -> Report | None:
        return self._store.drift.report(str(job.payload.get("report", "")))

    def _picture(self, report: Report) -> str:
        """Slack's id of the picture, uploaded once. One that cannot be uploaded costs the picture only."""
        result = report.result
        if result is None or not result.picture:
            return ""
        known = report.files.get(result.picture, "")
        if known:
            return known
        file = self._store.drift.file(result.picture)
        if file is None:
            return ""
        try:
            slack_id = self._chat.upload(file.body, file.name, result.picture_alt, name=file.name)
        except SlackProblem as problem:
            log.warning("%s goes without its picture: %s", report.id, problem, extra={"action": "picture_failed"})
            return ""
        drift_checks.remember_file(self._engine, report.id, result.picture, slack_id)
        return slack_id
