"""A configuration in a folder that tests change line by line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bot.config import BackendKind, Names, Settings, inspect
from bot.marked import Problem

MAIN = """\
slack:
  team_id: T0SHOP
  bot_token: ${env:BOT}
  app_token: ${env:APP}
http:
  webhook_token: ${env:HOOK}
secret_key: ${env:KEY}
people:
  alice: {user_id: U0ALICE, roles: [oncall, engineer]}
  bob: {user_id: U0BOB, roles: [engineer, senior]}
  carol: {user_id: U0CAROL, roles: [manager]}
  dana: {user_id: U0DANA, roles: [director, senior]}
defaults:
  channel: "#ml"
  oncall: [alice]
runbooks: books
"""
PROFILE = """\
title: Shop
services: [ranker]
backends:
  metrics: {kind: prometheus, url: "http://prom:9090"}
  registry: {kind: mlflow, url: "http://mlflow", token: "${env:MLFLOW_TOKEN}"}
models:
  rank:
    service: ranker
    metrics: metrics
    registry: registry
    bounds:
      accuracy: {query: acc, below: 0.8}
"""
BOOK = """\
---
owner: shop
reviewed: 2026-01-01
---
# A thing is down
## Meaning
m
## Impact
i
## Diagnosis
d
## Mitigation
1. do this
2. do that
   with care
"""
ENV = {
    "BOT": "xoxb-very-secret", "APP": "xapp-very-secret", "HOOK": "hook-very-secret",
    "KEY": "key-very-secret-0123456789", "MLFLOW_TOKEN": "mlflow-very-secret",
}  # fmt: skip
NAMES = Names(
    backends={
        "prometheus": BackendKind(offers=frozenset({"metrics"}), settings=frozenset({"url"})),
        "mlflow": BackendKind(offers=frozenset({"registry"}), settings=frozenset({"url", "token"})),
    },
    diagnostics=frozenset({"current", "health"}),
    actions=frozenset({"rollback"}),
)


@dataclass(slots=True)
class Folder:
    """Texts of the files; `write` puts them on disk."""

    root: Path
    main: str = MAIN
    profile: str = PROFILE
    book: str = BOOK
    env: dict[str, str] = field(default_factory=lambda: dict(ENV))

    def write(self) -> Path:
        home = self.root / "books" / "shop"
        home.mkdir(parents=True, exist_ok=True)
        (home / "system.yaml").write_text(self.profile, encoding="utf-8")
        (home / "ThingDown.md").write_text(self.book, encoding="utf-8")
        path = self.root / "mlops.yaml"
        path.write_text(self.main, encoding="utf-8")
        return path

    def inspect(self, *, is_lenient: bool = False) -> tuple[Settings | None, list[Problem]]:
        return inspect(self.write(), self.env, NAMES, is_lenient=is_lenient)

    def errors(self) -> list[str]:
        """Errors with the file's name only, so that a test can spell them."""
        _, problems = self.inspect()
        return [self.told(problem) for problem in problems if not problem.warning]

    def warnings(self) -> list[str]:
        _, problems = self.inspect()
        return [self.told(problem) for problem in problems if problem.warning]

    def told(self, problem: Problem) -> str:
        return f"{Path(problem.file).name}:{problem.line}: {problem.text}"
