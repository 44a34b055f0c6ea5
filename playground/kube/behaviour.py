"""What a simulated container does, by its image's name and its pod's annotations. Pure: time is an argument.

The words in an image's reference, so that a person can break a roll-out by its image alone:

    missing   cannot be pulled: ErrImagePull, then ImagePullBackOff
    crash     exits with 1 soon after it started: CrashLoopBackOff
    oom       is killed by the kernel with 137: OOMKilled, then CrashLoopBackOff
    slow      becomes ready only after Pace.slow_s
    unready   runs and is never ready
    fail      exits with 1 where it is expected to end (Jobs); elsewhere it is no special word

Annotations of the pod say the same in numbers, without another image (all optional):

    simulated-node/ready-after-s   seconds until it is ready
    simulated-node/run-s           seconds until it ends
    simulated-node/exit-code       with which code
    simulated-node/stop-s          seconds it takes to end when told to
    simulated-node/log             what it prints at its start
    simulated-node/cpu, /memory    what it uses, such as 250m and 400Mi

A container ends by itself only if it crashes, has `run-s`, or its pod is not to be restarted always (Jobs).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

PREFIX = "simulated-node/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things take, in seconds. Much less than in life, where a back-off is 10 s at first and 5 min at last."""

    pull_s: float = 0.2
    ready_s: float = 0.2
    crash_s: float = 0.4  # from start to crash
    backoff_s: float = 1.0  # before the second restart; doubles
    backoff_max_s: float = 8.0
    stop_s: float = 0.2
    slow_s: float = 15.0
    job_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What one container will do each time it is started."""

    can_pull: bool = True
    ready_after_s: float | None = 0.0  # None: never
    runs_s: float | None = None  # None: until it is told to end
    exit_code: int = 0
    reason: str = "Completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something the kubelet tells about: becomes an Event object."""

    type: str  # Normal | Warning
    reason: str
    message: str


@dataclass(slots=True, kw_only=True)
class Life:
    """One start of a container, from its first line to its end."""

    id: str
    started_at: float
    lines: list[tuple[float, str]] = field(default_factory=list)
    ended_at: float | None = None
    exit_code: int = 0
    reason: str = ""


def script_of(image: str, annotations: Mapping[str, str], restart_policy: str, pace: Pace) -> Script:
    """ValueError when an annotation that should be a number is none."""
    number = {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}
    words = image.lower()
    ready = (
        float(number["ready-after-s"])
        if "ready-after-s" in number
        else pace.slow_s
        if "slow" in words
        else pace.ready_s
    )
    ready_after_s = None if "unready" in words else ready
    if "missing" in words:
        return Script(can_pull=False)
    if "oom" in words.replace("/room", ""):
        return Script(
            ready_after_s=ready_after_s,
            runs_s=float(number.get("run-s", pace.crash_s)),
            exit_code=137,
            reason="OOMKilled",
        )
    if "crash" in words:
        return Script(
            ready_after_s=ready_after_s, runs_s=float(number.get("run-s", pace.crash_s)), exit_code=1, reason="Error"
        )
    ends = restart_policy != "Always" or "run-s" in number
    runs_s = float(number.get("run-s", pace.job_s)) if ends else None
    code = int(number.get("exit-code", "1" if ends and "fail" in words else "0"))
    return Script(ready_after_s=ready_after_s, runs_s=runs_s, exit_code=code, reason="Error" if code else "Completed")


def first_lines(name: str, image: str, script: Script, annotations: Mapping[str, str]) -> list[str]:
    """What the container prints when it starts."""
    own = annotations.get(f"{PREFIX}log")
    return own.splitlines() if own else [f"INFO {name} starts from {image}", "INFO listening on :8080"]


def last_lines(script: Script) -> list[str]:
    """What it prints before it ends by itself. The kernel gives nobody time for a last word."""
    if script.reason == "Error":
        return [
            "Traceback (most recent call last):",
            '  File "serve.py", line 12, in load',
            "RuntimeError: cannot load the model: bad magic number",
        ]
    return ["INFO done"] if script.reason == "Completed" else []


class Container:
    """One container of one pod: its life so far, and what it does next."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        annotations: Mapping[str, str],
        restart_policy: str,
        pace: Pace,
        now: float,
        seed: str,
    ) -> None:
        self.name: str = spec["name"]
        self.image: str = spec["image"]
        self._annotations = dict(annotations)
        self._policy = restart_policy
        self._pace = pace
        self._seed = f"{seed}/{self.name}"
        self.script = script_of(self.image, annotations, restart_policy, pace)
        self.restarts = 0
        self.life: Life | None = None
        self.previous: Life | None = None
        self.waiting: tuple[str, str] = ("ContainerCreating", "")  # reason, message; meaningful while not running
        self.is_ready = False
        self.due_at: float | None = now + pace.pull_s
        self.is_held_unready = False

    @property
    def is_running(self) -> bool:
        return self.life is not None and self.life.ended_at is None

    @property
    def is_over(self) -> bool:
        """Ended and not to be started again."""
        return self.life is not None and self.life.ended_at is not None and not self._is_restarted(self.life)

    def advance(self, now: float, pod: str) -> list[Happening]:
        """Do what is due at `now`; what there is to tell about it."""
        if self.due_at is None or now < self.due_at:
            return []
        if not self.script.can_pull:
            return self._fail_to_pull(now)
        if self.life is None or (not self.is_running and not self.is_over):
            return self._start(now)
        if self.script.runs_s is not None and now >= self.life.started_at + self.script.runs_s:
            return self.end(now, self.script.exit_code, self.script.reason, pod)
        ready_at = self._ready_at()
        if not self.is_held_unready and ready_at is not None and now >= ready_at:
            self.is_ready = True
        self.due_at = self._next()
        return []

    def end(self, now: float, code: int, reason: str, pod: str = "") -> list[Happening]:
        """End the running life with this code and reason, and plan the restart that the policy asks for."""
        if self.life is None or self.life.ended_at is not None:
            return []
        if reason == self.script.reason:
            self.life.lines += [(now, line) for line in last_lines(self.script)]
        self.life.ended_at, self.life.exit_code, self.life.reason = now, code, reason
        self.is_ready = False
        if not self._is_restarted(self.life):
            self.due_at = None
            return []
        if self.restarts == 0:
            self.waiting = ("", "")
            self.due_at = now + 0.1
            return []
        wait_s = min(self._pace.backoff_s * 2 ** (self.restarts - 1), self._pace.backoff_max_s)
        self.due_at = now + wait_s
        self.waiting = ("CrashLoopBackOff", f"back-off {wait_s:g}s restarting failed container={self.name} pod={pod}")
        return [
            Happening(
                type="Warning",
                reason="BackOff",
                message=f"Back-off restarting failed container {self.name} in pod {pod}",
            )
        ]

    def hold_unready(self, is_held: bool, now: float) -> None:
        """Let the readiness probe fail until this is taken back."""
        self.is_held_unready = is_held
        if is_held:
            self.is_ready = False
        self.due_at = self._next() if is_held else now

    def status(self) -> dict[str, Any]:
        """The entry in status.containerStatuses."""
        digest = hashlib.sha256(self.image.encode()).hexdigest()
        at = f"@{self.image.partition('@')[2]}" if "@" in self.image else f"@sha256:{digest}"
        repository = self.image.partition("@")[0].rpartition(":")[0] or self.image.partition("@")[0]
        has_started = self.life is not None
        return {
            "name": self.name, "image": self.image, "imageID": f"{repository}{at}" if has_started else "",
            "ready": self.is_ready, "started": self.is_running, "restartCount": self.restarts,
            "containerID": f"containerd://{self.life.id}" if self.life else "",
            "state": self._state(), "lastState": self._last_state(),
        }  # fmt: skip

    def _start(self, now: float) -> list[Happening]:
        if self.life is not None:
            self.restarts += 1
        self.previous = self.life
        identity = hashlib.sha256(f"{self._seed}/{self.restarts}".encode()).hexdigest()
        lines = first_lines(self.name, self.image, self.script, self._annotations)
        self.life = Life(id=identity, started_at=now, lines=[(now, line) for line in lines])
        self.due_at = self._next()
        told = [
            Happening(type="Normal", reason="Created", message=f"Container created: {self.name}"),
            Happening(type="Normal", reason="Started", message="Container started"),
        ]
        if self.script.ready_after_s is None:
            told.append(
                Happening(
                    type="Warning",
                    reason="Unhealthy",
                    message="Readiness probe failed: HTTP probe failed with statuscode: 503",
                )
            )
        return [
            Happening(
                type="Normal", reason="Pulled", message=f'Container image "{self.image}" already present on machine'
            ),
            *told,
        ]

    def _fail_to_pull(self, now: float) -> list[Happening]:
        why = f'failed to pull and unpack image "{self.image}": failed to resolve image: {self.image}: not found'
        self.due_at = now + 2.0
        if self.waiting[0] == "ErrImagePull":
            self.waiting = ("ImagePullBackOff", f'Back-off pulling image "{self.image}": ErrImagePull: {why}')
            # Once it backs off it stays so: in life it tries again every few minutes, longer than any test.
            self.due_at = None
            return [
                Happening(type="Normal", reason="BackOff", message=f'Back-off pulling image "{self.image}"'),
                Happening(type="Warning", reason="Failed", message="Error: ImagePullBackOff"),
            ]
        self.waiting = ("ErrImagePull", why)
        self.due_at = now + 0.5
        return [
            Happening(type="Normal", reason="Pulling", message=f'Pulling image "{self.image}"'),
            Happening(type="Warning", reason="Failed", message=f'Failed to pull image "{self.image}": {why}'),
            Happening(type="Warning", reason="Failed", message="Error: ErrImagePull"),
        ]

    def _is_restarted(self, life: Life) -> bool:
        return self._policy == "Always" or (self._policy == "OnFailure" and life.exit_code != 0)

    def _ready_at(self) -> float | None:
        if self.life is None or self.script.ready_after_s is None:
            return None
        return self.life.started_at + self.script.ready_after_s

    def _next(self) -> float | None:
        """When something happens by itself to the running container."""
        if self.life is None or not self.is_running:
            return self.due_at
        ends_at = None if self.script.runs_s is None else self.life.started_at + self.script.runs_s
        ready_at = None if self.is_ready or self.is_held_unready else self._ready_at()
        return min((at for at in (ends_at, ready_at) if at is not None), default=None)

    def _state(self) -> dict[str, Any]:
        if self.is_running and self.life is not None:
            return {"running": {"startedAt": stamp(self.life.started_at)}}
        if self.life is not None and (self.is_over or not self.waiting[0]):
            return {"terminated": _ended(self.life)}
        reason, message = self.waiting
        return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}

    def _last_state(self) -> dict[str, Any]:
        last = (
            self.life
            if self.life is not None and self.life.ended_at is not None and "waiting" in self._state()
            else self.previous
        )
        return {"terminated": _ended(last)} if last is not None else {}


def _ended(life: Life) -> dict[str, Any]:
    return {
        "exitCode": life.exit_code, "reason": life.reason, "containerID": f"containerd://{life.id}",
        "startedAt": stamp(life.started_at), "finishedAt": stamp(life.ended_at or life.started_at),
    }  # fmt: skip


def stamp(at: float) -> str:
    """Kubernetes' form of a time: whole seconds, UTC."""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def metrics_quantity(asked: str | None, otherwise: str) -> str:
    """Half of a quantity such as 500m, 2 or 512Mi."""
    if not asked:
        return otherwise
    digits = asked.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit = asked[len(digits) :]
    return f"{round(float(digits) * 500)}m" if not unit else f"{max(1, round(float(digits) / 2))}{unit}"
