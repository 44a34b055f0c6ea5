"""Outgoing messages: claimed by priority, sent under a lease, and never sent blindly twice.

A message that was sent without an answer (a crash, a time-out, a reset) is looked for in its channel by its delivery
id before it is sent again. Slack has no idempotency key, so the id travels in the message's metadata. A definite
refusal by Slack is retried, redirected or given up visibly; a rate limit holds its own channel only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bot.bundles import PARTED, WAITING, Bundles, is_bundle, is_wanted, pages_of
from bot.chat import Chat, SlackProblem
from bot.clock import steady_s
from bot.deliver_drift import DriftPosts
from bot.engine import Engine
from bot.model import Incident
from bot.policy.escalation import catch_all
from bot.policy.reach import MENTIONED
from bot.render import Message, Renderer
from bot.reports import Links
from bot.store import Job, StoreDown

log = logging.getLogger("mlops.deliver")

UPDATE = "update:"  # template of a telling; the subscription's number follows
PER_CHANNEL = timedelta(seconds=1)  # Slack takes about one message per second and channel
CALL_MARGIN = timedelta(seconds=12)  # longer than the HTTP time-out: a call begun now ends before the lease does
_BACK_OFF_S = (1, 2, 5, 10, 30, 60)  # after a definite failure; the last one repeats for ever, nothing is dropped
_SHORTEST_LEASE = CALL_MARGIN + timedelta(seconds=9)  # with less, the last look before a call would always say no
_LOOK_LASTS_S = 1.5  # what CALL_MARGIN has left beside the HTTP time-out, for the call to begin in
_SECOND_LOOK = timedelta(seconds=2)  # history may lag behind a post


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a message goes."""

    channel: str
    thread_ts: str = ""
    ts: str = ""  # of the message to replace, "" for a new one


class Deliverer:
    """Sends claimed messages, from several threads; several processes may share one store."""

    def __init__(
        self, engine: Engine, chat: Chat, renderer: Renderer, *, owner: str, lease: timedelta = timedelta(seconds=30),
        links: Links | None = None, bundle: timedelta | None = None,
    ) -> None:  # fmt: skip
        self._bundles = Bundles(engine.store, bundle)
        self._engine = engine
        self._store = engine.store
        self._chat = chat
        self._render = renderer
        self._drift = DriftPosts(engine, chat, renderer, links or Links(key=b""))
        self._owner = owner
        self._lease = max(lease, _SHORTEST_LEASE)
        self._free_at: dict[str, datetime] = {}  # channel → when the next message may go
        self._lock = threading.Lock()

    def claim(self, limit: int, held: Collection[str] = ()) -> list[Job]:
        """Take what may go now, but nothing that is in hand already."""
        return self._store.claim("slack", self._owner, self._engine.now(), self._lease, limit=limit, held=held)

    def send(self, job: Job) -> bool:
        """Send one claimed message. True when it is settled, False when it goes again later."""
        now = self._engine.now()
        try:
            place = self._place(job)
            if place is None:
                self._store.dead(job, now, "its incident is gone")
                return True
            if held := self._turn(place.channel, now):
                note = job.error if job.error in {WAITING, PARTED} else "waiting for the channel's turn"
                self._store.try_later(job, held, note, tried=False)
                return False
            if self._waits_for_others(job, now):
                return False
            if job.unsure and not place.ts and self._settled_by_looking(job, place):
                return True
            return self._call(job, place)
        except SlackProblem as problem:
            self._after_problem(job, problem)
            return False
        except StoreDown:
            raise
        except Exception as problem:
            # A message that fails inside the bot must not stop the ones behind it, nor vanish. Whether the call was
            # made is not known here, so it is looked for first.
            log.exception("message %s failed", job.id, extra={"action": "delivery_failed"})
            self._store.no_answer(job, now + _back_off(job), f"inside the bot: {type(problem).__name__}")
            return False

    def _call(self, job: Job, place: Place) -> bool:
        if job.kind == "drift_file":
            return self._share(job, place)
        message = self._message(job)
        if message is None and is_bundle(job):  # everything in it was answered in the meantime
            return self._store.drop(job, self._engine.now(), "nothing to say any more")
        if message is None:
            self._store.dead(job, self._engine.now(), "nothing to say any more")
            return True
        if message.failed:
            self._engine.note_broken_template(job.incident_id, job.template or job.kind, message.failed)
        # The last look before the call: a frozen or late process must not send what another one has taken over. It may
        # be frozen after the look, too, so the call must have begun while all of it still fits into the lease.
        latest_s = self._latest_s(job)
        if not self._store.still_mine(job, self._engine.now(), CALL_MARGIN):
            # Dropped or taken over: then this changes nothing. Too little lease left: it may be claimed again at once.
            self._store.try_later(job, self._engine.now(), "its lease was nearly over", tried=False)
            return False
        if place.ts:
            self._chat.update(place.channel, place.ts, message)
            channel, ts = place.channel, place.ts
        else:
            channel, ts = self._chat.post(
                place.channel, message, thread_ts=place.thread_ts, delivery_id=delivery_id(job), latest_s=latest_s
            )
        self._bundles.sent(job, self._engine.now())
        if not self._store.delivered(job, self._engine.now(), channel, ts):
            log.warning("%s was sent after its claim had ended", job.id, extra={"action": "sent_late"})
        log.info("sent %s %s", job.kind, job.id, extra={"action": "sent", "kind": job.kind, "attempt": job.attempt})
        return True

    def _waits_for_others(self, job: Job, now: datetime) -> bool:
        """Whether a page waits for others to the same person, or was put together with them just now."""
        incident = self._store.incident(job.incident_id) if job.kind == "page" and job.incident_id else None
        if incident is None:
            return False
        until = self._bundles.hold(job, incident, now)
        if until is not None:
            return self._store.try_later(job, until, WAITING, tried=False)
        return self._bundles.gather(job, now)

    def _share(self, job: Job, place: Place) -> bool:
        """Upload a report's file into its thread."""
        file = self._drift.file(job)
        if file is None:
            self._store.dead(job, self._engine.now(), "the file is gone")
            return True
        self._store.extend(job, self._engine.now(), self._lease)  # an upload is three calls and may take its time
        if not self._store.still_mine(job, self._engine.now(), CALL_MARGIN):
            self._store.try_later(job, self._engine.now(), "its lease was nearly over", tried=False)
            return False
        self._chat.share(
            file.body, name=file.name, title=file.name, channel=place.channel, thread_ts=place.thread_ts
        )  # fmt: skip
        self._store.delivered(job, self._engine.now())
        return True

    def _latest_s(self, job: Job) -> float:
        """When the call must have begun, on the steady clock; asked before the look, so that a wait in it counts."""
        left = job.lease_until - self._engine.now()
        return steady_s() + max((left - CALL_MARGIN).total_seconds(), 0.0) + _LOOK_LASTS_S

    def _settled_by_looking(self, job: Job, place: Place) -> bool:
        """An earlier attempt got no answer: look for its message. True when nothing is left to send now."""
        now = self._engine.now()
        try:
            ts = self._look_for(job, place)
        except SlackProblem as problem:
            if problem.kind not in {"refused", "gone"}:
                raise
            # History is closed to us, so nobody can look: once more, marked as perhaps repeated, and never again.
            if job.unanswered > 1:
                self._store.dead(
                    job, now, f"sent twice without an answer, and the channel may not be read: {problem.code}"
                )
                log.warning("%s: cannot be told whether it arrived", job.id, extra={"action": "delivery_unknown"})
                return True
            return False
        if ts:
            self._store.found(job, now, place.channel, ts)
            log.info("found %s after an unknown result", job.id, extra={"action": "found"})
            return True
        return False

    def _look_for(self, job: Job, place: Place) -> str:
        if job.kind == "drift_file":  # a shared file carries no metadata; its name has the report's id
            file = self._drift.file(job)
            return self._chat.find_file(place.channel, thread_ts=place.thread_ts, name=file.name if file else "")
        return self._chat.find(
            place.channel, thread_ts=place.thread_ts, delivery_id=delivery_id(job), since=job.created_at
        )

    def _place(self, job: Job) -> Place | None:
        if job.place_channel and job.place_ts:
            return Place(channel=job.place_channel, ts=job.place_ts)
        kind, _, name = job.target.partition(":")
        if kind == "at":
            channel, _, ts = name.partition(":")
            return Place(channel=channel, thread_ts=ts)
        if kind == "under":
            head = self._store.drift.place(name)
            if head is None:
                raise SlackProblem("temporary", "its_head_is_not_posted_yet")
            return Place(channel=head[0], thread_ts=head[1])
        if kind == "user":
            return Place(channel=self._chat.direct(name))
        if kind == "mention":  # in the thread; before there is one, in the channel
            headline = self._store.place(job.incident_id)
            if headline:
                return Place(channel=headline[0], thread_ts=headline[1])
        if kind == "channel":
            return Place(channel=self._chat.resolve(name))
        headline = self._store.place(job.incident_id)
        if kind == "thread":
            return Place(channel=headline[0], thread_ts=headline[1]) if headline else None
        # A user group has no conversation of its own: it is mentioned where the incident is.
        incident = self._store.incident(job.incident_id)
        return Place(channel=self._chat.resolve(incident.channel)) if incident else None

    def _turn(self, channel: str, now: datetime) -> datetime | None:
        """Take the channel's next turn: None when it is now, else when to come again."""
        with self._lock:
            free = self._free_at.get(channel, now)
            if free > now:
                return free
            self._free_at[channel] = now + PER_CHANNEL
            return None

    def _after_problem(self, job: Job, problem: SlackProblem) -> None:
        now = self._engine.now()
        channel = job.place_channel or job.target
        match problem.kind:
            case "limited":
                self._hold(job, now + timedelta(seconds=max(problem.retry_after_s, 1)))
                self._store.try_later(job, now + timedelta(seconds=max(problem.retry_after_s, 1)), problem.code)
            case "no_answer":
                self._store.no_answer(job, now + _SECOND_LOOK, problem.code)
            case "gone" if job.place_ts:
                self._store.forget_place(job, now, problem.code)  # somebody deleted it: post it anew
            case "refused" | "gone":
                self._redirect(job, problem.code)
            case _:
                self._store.try_later(job, now + _back_off(job), problem.code)
        log.warning("%s to %s: %s", job.id, channel, problem, extra={"action": "slack_problem", "code": problem.code})

    def _hold(self, job: Job, until: datetime) -> None:
        try:
            place = self._place(job)
        except SlackProblem:
            return
        if place:
            with self._lock:
                self._free_at[place.channel] = max(until, self._free_at.get(place.channel, until))

    def _redirect(self, job: Job, code: str) -> None:
        """Slack will never take it there: the catch-all gets it; if that fails too it is dead, visibly."""
        now = self._engine.now()
        if is_bundle(job):  # each of its pages has a way of its own to go on
            self._store.part(job, now, PARTED)
            return
        incident = self._store.incident(job.incident_id) if job.incident_id else None
        following = self._next_address(job, incident) if incident else ""
        if not following and job.kind.startswith("drift"):
            following = self._drift.otherwise(job)
        if following:
            # Whoever gets it instead must know whom it was for: nobody else was told.
            says = {"instead_of": job.target, "refused": code, **job.payload} if job.kind == "page" else None
            self._store.redirect(job, now, following, code, says)
            return
        self._store.dead(job, now, code)
        if incident is not None or not job.incident_id:
            self._engine.note_undelivered(job.incident_id, job.kind, job.target, code)

    def _next_address(self, job: Job, incident: Incident) -> str:
        """Where a page or headline goes that Slack refuses: the next of the catch-all, for a page at last the channel.

        Each address is tried once, in order, so this ends. "" when nothing is left, and for lesser messages.
        """
        if job.kind not in {"page", "headline"}:
            return ""
        policy = self._engine.policy
        found = catch_all(policy, policy.system(incident.subject.system), self._engine.now())
        channels = [one for one in found if one.startswith("channel:")]
        own = f"channel:{incident.channel}"
        if job.kind == "headline":
            ways = [own, *(one for one in channels if one != own)]
        else:
            others = [one for one in found if not one.startswith("channel:")]
            ways = list(dict.fromkeys((*channels, *others, *([own] if incident.channel else []))))
        tried = ways.index(job.target) if job.target in ways else (0 if job.kind == "headline" else -1)
        return next(iter(ways[tried + 1 :]), "")

    def _message(self, job: Job) -> Message | None:
        if job.kind in {"drift", "drift_review"}:
            return self._drift.message(job)
        if is_bundle(job):
            found = [(page, self._store.incident(str(page.get("incident")))) for page in pages_of(job)]
            wanted = [(one, page) for page, one in found if one is not None and is_wanted(page, one)]
            return self._render.bundle(wanted, repeated=job.unanswered > 0) if wanted else None
        if not job.incident_id:  # it belongs to none: a gap in a rotation, a word to who stands in
            return self._render.note(dict(job.payload))
        incident = self._store.incident(job.incident_id)
        return self._rendered(job, incident) if incident is not None else None

    def _rendered(self, job: Job, incident: Incident) -> Message:
        now, policy = self._engine.now(), self._engine.policy
        match job.kind:
            case "headline":
                return self._render.headline(incident, policy, now)
            case "approval":
                plan = incident.plan(str(job.payload.get("plan_id", "")))
                if plan is None:
                    return self._render.note({"text": "This plan is gone.", "by": ""}, incident)
                return self._render.card(incident, plan, policy, now)
            case "page":
                return self.page(job, incident)
            case "digest" if job.template.startswith(UPDATE):
                data = {**job.payload, "next_at": _next_update(job, incident)}
                return self._render.update(incident, data, policy, now)
        match job.template:
            case "diagnosis":
                return self._render.diagnosis(self._with_picture(job), incident)
            case "summary":
                timeline = self._store.timeline(job.incident_id)
                return self._render.summary(incident, timeline, policy, now)
            case "runbook":
                book = next((book for book in self._engine.runbooks if book.name == job.payload.get("name")), None)
                return self._render.runbook(incident, book)
            case _:
                return self._render.note(dict(job.payload), incident)

    def page(self, job: Job, incident: Incident) -> Message:
        """What a page says, in Slack and by other media."""
        called = job.target.removeprefix(MENTIONED) if job.target.startswith(MENTIONED) else ""
        data = {**job.payload, "repeated": job.unanswered > 0, "call": called, "target": job.target}
        return self._render.page(incident, data, self._engine.policy, self._engine.now())

    def page_by_medium(self, job: Job) -> Message | None:
        """The same for a page that does not go to Slack; None when its incident is gone."""
        incident = self._store.incident(job.incident_id)
        return self.page(job, incident) if incident is not None else None

    def _with_picture(self, job: Job) -> dict[str, object]:
        """The finding's data, with the picture uploaded; a picture that is gone costs the picture only."""
        data = dict(job.payload)
        path = Path(str(data.get("picture") or ""))
        if not data.get("picture") or not path.is_file():
            return data
        try:
            data["file_id"] = self._chat.upload(path, str(data.get("diagnostic", "")), str(data.get("picture_alt", "")))
        except SlackProblem as problem:
            # What the picture shows is in words as well, and everything behind this message in the thread waits for it.
            log.warning("%s goes without its picture: %s", job.id, problem, extra={"action": "picture_failed"})
            data["sentence"] = f"{data.get('sentence', '')} (The graph could not be uploaded: {problem.code}.)"
        self._store.extend(job, self._engine.now(), self._lease)  # an upload is three calls and may take its time
        return data


def _next_update(job: Job, incident: Incident) -> datetime | None:
    """When the subscriber of this telling hears of it again."""
    number = job.template.removeprefix(UPDATE)
    return next((one.next_at for one in incident.subscriptions if str(one.number) == number), None)


def delivery_id(job: Job) -> str:
    """The id that travels with the message, so that it can be found again."""
    return job.id


def _back_off(job: Job) -> timedelta:
    return timedelta(seconds=_BACK_OFF_S[min(job.attempt, len(_BACK_OFF_S)) - 1])
