"""Services of a docker compose project, by the engine's own API: run one to its end, restart one, look at them.

Settings: `project` (compose's project name); `url` (`unix:///var/run/docker.sock`, or `http://host:port` of
a proxy that lets through what is needed). Compose itself is not called: what it knows of a service is in the container
it made, so a service must have been created once (`docker compose create trainer`, or `up`).

A training is a new container with the service's settings, as `docker compose run` makes it: no published ports, no
restart, counted by compose as a one-off. Its name is the run's key, and the engine lets a name exist once. A container
that was started before is never started again: the engine would run it a second time without a word.

Whoever may use this socket is root on that machine. Give it to a bot only when that is what you want.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from bot.policy.training import TrainingProfile
from bot.ports import Foreign, Ready, Run
from handlers.backends._engine import Engine, unframed
from handlers.backends._http import Answer, plain

LOOK_S = 3.0
CHANGE_S = 9.0
STOP_S = 5  # a restart gives the old process this long to end
TAIL_LINES = "200"
SOCKET = "unix:///var/run/docker.sock"
_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_ONE_OFF, _HASH = "com.docker.compose.oneoff", "com.docker.compose.config-hash"
OURS = "mlops-bot.run"  # label of a container that is a run: its key
_KEPT = ("Image", "Env", "Cmd", "Entrypoint", "WorkingDir", "User", "Volumes", "StopSignal", "StopTimeout")
_DROPPED_LABELS = ("com.docker.compose.container-number", _HASH, "com.docker.compose.replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a service."""

    id: str
    name: str
    state: str  # created, running, paused, restarting, removing, exited, dead
    started_at: datetime | None
    image: str  # id of its image
    health: str = ""  # healthy, unhealthy, starting; "" when it has no check


class Compose:
    """Services of one project. Safe to use from several threads."""

    place = ""  # names of containers are the engine's, whoever asks

    def __init__(self, engine: Engine, project: str) -> None:
        self._engine = engine
        self.project = project

    # services, for whoever restarts or looks at one

    def containers(self, service: str) -> Sequence[Container]:
        """The service's own containers, runs of ours left out, by name. Raises Foreign."""
        return [_container(one) for one in self._inspected(service) if not _is_one_off(one)]

    def restart(self, service: str) -> None:
        """Restart every container of the service, as `docker compose restart` does. Raises Foreign.

        Not idempotent, so look before you call again: `containers` tells since when each runs.
        """
        found = self.containers(service)
        if not found:
            raise Foreign("not_found", f"{self._what(service)} has no container.", happened=False)
        until = time.monotonic() + CHANGE_S
        for one in found:
            left_s = max(1.0, until - time.monotonic())
            answer, _ = self._engine.call("POST", f"/containers/{one.id}/restart", left_s, query={"t": str(STOP_S)})
            if answer.status != 204:
                raise self._engine.odd(answer, f"a restart of {one.name}")

    def how(self, name: str) -> str:
        """What `make_load` will do, for an approver."""
        return f"Restart every container of the service {name} of compose project {self.project}."

    def make_load(self, name: str) -> str:
        """Restart the service, so that it reads its model anew. A second time only interrupts it once more."""
        self.restart(name)
        return f"{self._what(name)} was restarted."

    # trainings

    def ready(self, training: TrainingProfile, values: Mapping[str, str]) -> Ready:
        """Whether the service is there and none of it runs. Raises Foreign when the engine is silent."""
        found = self._inspected(training.service)
        model = _pattern(found)
        if model is None:
            text = f"{self._what(training.service)} has no container to take its settings from."
            return Ready(refusal=f"{text} Run `docker compose create {training.service}` there once, then ask again.")
        running = [_name(one) for one in found if _state(one) in ("running", "restarting", "paused")]
        image = self._image(str(_config(model).get("Image", "")))
        facts = {
            "running": ", ".join(sorted(running)) or "none", "image": image or "absent",
            "settings": str(_labels(model).get(_HASH, ""))[:12] or "as created",
        }  # fmt: skip
        refusal = ""
        if running:
            refusal = f"{self._what(training.service)} runs already ({running[0]}). Wait until it has ended."
        elif not image:
            refusal = (
                f"{self._what(training.service)}: its image is not on the machine. Pull or build it, then ask again."
            )
        words = training.words(values)
        told = f" with `{shlex.join(words)}`" if words else ""
        start = f"{self._what(training.service)}: run one new container of image {_short(image)}{told}, without ports."
        warnings: tuple[str, ...] = ()
        if image and image != model.get("Image"):
            warnings = (
                f"The image was built anew ({_short(image)}) since compose made the service; the new one runs.",
            )
        what = f"service {training.service} ({self.project})"
        return Ready(refusal=refusal, what=what, start=start, facts=facts, warnings=warnings)

    def start(self, training: TrainingProfile, key: str, values: Mapping[str, str], note: str) -> None:
        """Make the container and start it, unless it was started before. Raises Foreign."""
        model = _pattern(self._inspected(training.service))
        if model is None:
            raise Foreign("not_found", f"{self._what(training.service)} has no container any more.", happened=False)
        body = _one_off(model, key, training.words(values), note)
        answer, _ = self._engine.call("POST", "/containers/create", CHANGE_S, query={"name": key}, body=body)
        if answer.status not in (201, 409):  # 409: made by an earlier try
            raise self._engine.odd(answer, f"a run of {training.service}")
        made = self._of_key(key)
        if made is None:
            raise Foreign("broken", f"The engine made {key} and does not know it.")
        if not _was_never_started(made):
            return
        self._join_networks(model, str(made.get("Id")))
        answer, _ = self._engine.call("POST", f"/containers/{made.get('Id')}/start", CHANGE_S)
        if answer.status not in (204, 304):
            raise self._engine.odd(answer, f"the start of {training.service}")

    def run(self, training: TrainingProfile, key: str) -> Run | None:
        """The container of that key. One that was made and never started is no run yet."""
        found = self._of_key(key)
        if found is None or _was_never_started(found):
            return None
        state = _state_of(found)
        status, began_at, where = _state(found), _time(state.get("StartedAt")), f"The whole log: `docker logs {key}`."
        log = self._log(key)
        if status in ("running", "restarting", "paused"):
            lines = [line for line in log.splitlines() if line.strip()]
            trouble = "Somebody paused its container." if status == "paused" else ""
            return Run(
                state="running", began_at=began_at, task=lines[-1] if lines else "", trouble=trouble, where=where
            )
        if status != "exited":
            text = f"Its container is {status or 'in no known state'}, so its end is not known."
            return Run(state="lost", began_at=began_at, trouble=text, where=where)
        code = int(state.get("ExitCode") or 0)
        is_out_of_memory = state.get("OOMKilled") is True
        return Run(
            state="failed" if code or is_out_of_memory else "succeeded", began_at=began_at,
            ended_at=_time(state.get("FinishedAt")), exit_code=code, is_out_of_memory=is_out_of_memory, log=log,
            where=where,
        )  # fmt: skip

    def version(self) -> str:
        """The engine's version. Raises Foreign."""
        return self._get("/version").word("Version")

    def _inspected(self, service: str) -> list[Mapping[str, Any]]:
        """Every container of the service, running or not, as the engine inspects it, by name."""
        labels = json.dumps({"label": [f"{_PROJECT}={self.project}", f"{_SERVICE}={service}"]})
        listed = self._get("/containers/json", {"all": "1", "filters": labels}).data
        found = []
        for one in listed if isinstance(listed, list) else []:
            answer, _ = self._engine.call("GET", f"/containers/{one.get('Id')}/json", LOOK_S)
            if answer.status == 200 and isinstance(answer.data, dict):  # 404: it went away meanwhile
                found.append(answer.data)
        return sorted(found, key=_name)

    def _of_key(self, key: str) -> Mapping[str, Any] | None:
        answer, _ = self._engine.call("GET", f"/containers/{quote(key, safe='')}/json", LOOK_S)
        if answer.status == 404:
            return None
        if answer.status != 200 or not isinstance(answer.data, dict):
            raise self._engine.odd(answer, f"a look at {key}")
        if _labels(answer.data).get(OURS) != key:
            raise Foreign("conflict", f"A container {key} is there that is not ours. Look at it there.", happened=False)
        return answer.data

    def _join_networks(self, model: Mapping[str, Any], container: str) -> None:
        """All but the first: that one came with the container. Joining twice is refused and harmless."""
        networks = _networks(model)
        first = _host(model).get("NetworkMode")
        for name in networks:
            if name != first:
                path, body = f"/networks/{quote(name, safe='')}/connect", {"Container": container}
                answer, _ = self._engine.call("POST", path, LOOK_S, body=body)
                if answer.status not in (200, 403, 409):
                    raise self._engine.odd(answer, f"the network {name}")

    def _image(self, name: str) -> str:
        answer, _ = self._engine.call("GET", f"/images/{quote(name, safe=':')}/json", LOOK_S)
        return answer.word("Id") if answer.status == 200 else ""

    def _log(self, key: str) -> str:
        query = {"stdout": "1", "stderr": "1", "tail": TAIL_LINES}
        try:
            answer, raw = self._engine.call("GET", f"/containers/{quote(key, safe='')}/logs", LOOK_S, query=query)
        except Foreign:
            return ""  # how it stands is known; what it said cannot be read now
        return unframed(raw) if answer.status == 200 else ""

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        answer, _ = self._engine.call("GET", path, LOOK_S, query=query)
        if answer.status != 200:
            raise self._engine.odd(answer, path)
        return answer

    def _what(self, service: str) -> str:
        return f"Service {service} of compose project {self.project}"


class ComposeBackend:
    """The kind of backend as the registry of handlers knows it."""

    kind = "compose"
    offers = ("services", "reload")
    settings = ("url", "project")

    def build(self, settings: Mapping[str, str]) -> Compose:
        """A client; makes no call. ValueError names the setting that is missing or wrong."""
        project = settings.get("project", "")
        if not project:
            raise ValueError(f"{self.kind} needs `project`, the name of the compose project.")
        return Compose(Engine(settings.get("url") or SOCKET), project)

    def check(self, client: object) -> str:
        """Ask for the engine's version; returns words for `doctor`, raises Foreign."""
        if not isinstance(client, Compose):
            raise TypeError(f"{self.kind}: not a client of this kind")
        return f"Docker engine {client.version()} answers for project {client.project}"


def _one_off(model: Mapping[str, Any], key: str, words: Sequence[str], note: str) -> dict[str, Any]:
    """What `docker compose run` would make of the service."""
    config = {name: _config(model)[name] for name in _KEPT if _config(model).get(name) is not None}
    if words:
        config["Cmd"] = list(words)
    labels = {name: value for name, value in _labels(model).items() if name not in _DROPPED_LABELS}
    labels |= {_ONE_OFF: "True", OURS: key, "mlops-bot.note": plain(note, 200)}
    host = {**_host(model), "RestartPolicy": {"Name": "no"}, "AutoRemove": False, "PortBindings": {}}
    first = str(host.get("NetworkMode") or "")
    ends: dict[str, Any] = {first: {}} if first in _networks(model) else {}
    return {
        **config, "Labels": labels, "HostConfig": {**host, "PublishAllPorts": False},
        "NetworkingConfig": {"EndpointsConfig": ends},
    }  # fmt: skip


def _pattern(found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The container whose settings are the service's."""
    return next((one for one in found if not _is_one_off(one)), None)


def _container(one: Mapping[str, Any]) -> Container:
    state = _state_of(one)
    health = state.get("Health")
    return Container(
        id=str(one.get("Id")), name=_name(one), state=_state(one), started_at=_time(state.get("StartedAt")),
        image=str(one.get("Image") or ""), health=str(health.get("Status") or "") if isinstance(health, dict) else "",
    )  # fmt: skip


def _is_one_off(one: Mapping[str, Any]) -> bool:
    return str(_labels(one).get(_ONE_OFF, "")).lower() == "true" or OURS in _labels(one)


def _was_never_started(one: Mapping[str, Any]) -> bool:
    return _state(one) == "created"


def _state_of(one: Mapping[str, Any]) -> Mapping[str, Any]:
    found = one.get("State")
    return found if isinstance(found, dict) else {}


def _state(one: Mapping[str, Any]) -> str:
    return str(_state_of(one).get("Status") or "")


def _name(one: Mapping[str, Any]) -> str:
    return str(one.get("Name") or "").lstrip("/")


def _config(one: Mapping[str, Any]) -> Mapping[str, Any]:
    found = one.get("Config")
    return found if isinstance(found, dict) else {}


def _labels(one: Mapping[str, Any]) -> Mapping[str, Any]:
    found = _config(one).get("Labels")
    return found if isinstance(found, dict) else {}


def _host(one: Mapping[str, Any]) -> Mapping[str, Any]:
    found = one.get("HostConfig")
    return found if isinstance(found, dict) else {}


def _networks(one: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = one.get("NetworkSettings")
    found = settings.get("Networks") if isinstance(settings, dict) else None
    return found if isinstance(found, dict) else {}


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:12] or "none"


def _time(value: object) -> datetime | None:
    """The engine writes nanoseconds, and the year 1 for never."""
    if not isinstance(value, str) or value.startswith("0001-"):
        return None
    head, _, rest = value.removesuffix("Z").partition(".")
    try:
        return datetime.fromisoformat(f"{head}.{rest[:6]:0<6}+00:00")
    except ValueError:
        return None


BACKEND = ComposeBackend()
