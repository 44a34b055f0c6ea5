"""The version the server serves, beside the one the registry says.

The two drift apart easily: a server reads the alias once, when it loads. Only the server's own word counts for what
users get.
"""

from __future__ import annotations

from bot.model import Finding, Severity
from bot.policy import ModelProfile
from bot.ports import Foreign, Scene, Served
from handlers._look import clock, profile_of, registry_of, server_of, shown

ABSENT = frozenset({"unreachable", "timeout"})


class ServedVersion:
    """The diagnostic as the registry of handlers knows it."""

    name = "served_version"
    question = "Which version is served, and is it the one the registry says?"
    needs = ("registry", "server")

    def ask(self, scene: Scene) -> Finding:
        """Server and registry side by side. Raises Foreign only when neither can answer."""
        model = profile_of(scene)
        try:
            served: Served | Foreign = server_of(scene, model).served(model.name)
        except Foreign as problem:
            served = problem
        try:
            wanted = self._wanted(scene, model)
        except Foreign as problem:
            if isinstance(served, Foreign) and served.reason not in {*ABSENT, "not_found"}:
                raise
            rows = (("server", _told(served, scene), ""), ("registry", "no answer", problem.sentence))
            return _judged(served, f"{_what(served, model)} The registry could not be asked: {problem.sentence}", rows)
        rows = (
            ("server", _told(served, scene), ""),
            (
                f"registry, alias {model.alias}",
                shown(wanted) if wanted else "no such alias",
                self._versions(scene, model),
            ),
        )
        return _judged(served, _sentence(served, wanted, model), rows)

    @staticmethod
    def _wanted(scene: Scene, model: ModelProfile) -> str | None:
        return registry_of(scene, model).alias(model.name, model.alias)

    @staticmethod
    def _versions(scene: Scene, model: ModelProfile) -> str:
        """The newest registered versions, for those who wonder what else there is."""
        found = registry_of(scene, model).versions(model.name)[:5]
        told = (
            f"{shown(one.version)}{' (marked bad)' if one.version in scene.bad_versions else ''}"
            f"{'' if one.status == 'READY' else f' ({one.status})'}"
            for one in found
        )
        return f"registered: {', '.join(told)}"


def _judged(served: Served | Foreign, sentence: str, rows: tuple[tuple[str, str, str], ...]) -> Finding:
    if not isinstance(served, Foreign):
        return Finding(diagnostic=ServedVersion.name, sentence=sentence, rows=rows)
    if served.reason in ABSENT:
        why = "0 of 1 replicas answer"
    elif served.reason == "not_found":
        why = "nothing is served"
    else:  # the server answered something odd: no evidence that it does not serve
        return Finding(diagnostic=ServedVersion.name, sentence=sentence, rows=rows)
    return Finding(diagnostic=ServedVersion.name, sentence=sentence, rows=rows, severity=Severity.P0, severity_why=why)


def _what(served: Served | Foreign, model: ModelProfile) -> str:
    if isinstance(served, Served):
        return f"The server serves {shown(served.version)} of {model.name}."
    replicas = "0 of 1 replicas answer. " if served.reason in ABSENT else ""
    return f"{replicas}{served.sentence}"


def _sentence(served: Served | Foreign, wanted: str | None, model: ModelProfile) -> str:
    if isinstance(served, Foreign):
        return f"{_what(served, model)} The registry's {model.alias} is {shown(wanted) if wanted else 'not set'}."
    if wanted is None:
        return f"{_what(served, model)} The registry has no alias {model.alias}, so nothing says whether that is right."
    if served.version != wanted:
        return (
            f"MISMATCH: the server serves {shown(served.version)} of {model.name}, but the registry's {model.alias} is "
            f"{shown(wanted)}. The server was not reloaded after the alias moved; `reload {model.name}` would load "
            f"{shown(wanted)}."
        )
    return f"The server serves {shown(served.version)} of {model.name}, as the registry's {model.alias} says."


def _told(served: Served | Foreign, scene: Scene) -> str:
    if isinstance(served, Foreign):
        return "no answer" if served.reason in ABSENT else "no version"
    since = f", loaded {clock(served.loaded_at, scene.now)} UTC" if served.loaded_at else ""
    return f"{shown(served.version)}{since}"


DIAGNOSTIC = ServedVersion()
