"""The model server's own word on whether it can serve."""

from __future__ import annotations

from bot.model import Finding, Severity
from bot.ports import Foreign, Scene
from handlers._look import profile_of, server_of

ABSENT = frozenset({"unreachable", "timeout"})


class Health:
    """The diagnostic as the registry of handlers knows it."""

    name = "health"
    question = "Does the model server say that it can serve?"
    needs = ("server",)

    def ask(self, scene: Scene) -> Finding:
        """The server's own words. A server that is not there is an answer too, and a bad one."""
        model = profile_of(scene)
        server = server_of(scene, model)
        who = model.service or model.server
        try:
            healthy, words = server.is_healthy()
        except Foreign as problem:
            if problem.reason not in ABSENT:
                raise
            return Finding(
                diagnostic=self.name, sentence=f"{who}: 0 of 1 replicas answer. {problem.sentence}",
                rows=((who, "does not answer", problem.sentence),), severity=Severity.P0,
                severity_why="0 of 1 replicas answer",
            )  # fmt: skip
        if healthy:
            return Finding(
                diagnostic=self.name, sentence=f"{who} says that it is healthy.", rows=((who, "healthy", words),)
            )
        return Finding(
            diagnostic=self.name, sentence=f"{who} answers, but says that it cannot serve: {words}.",
            rows=((who, "not healthy", words),), severity=Severity.P0, severity_why=f"nothing is served: {words}",
        )  # fmt: skip


DIAGNOSTIC = Health()
