"""MLflow's model registry by alias.

MLflow has no compare-and-set for aliases, so ours is: read, compare, set, read back. Two people who move the same alias
within the same tenth of a second can still cross; the read-back tells.

Settings: `url`; `username` and `password`, each a reference in the profile.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.ports import Foreign
from handlers.backends._mlflow import SETTINGS, MlflowServer, built, told


class MlflowRegistry(MlflowServer):
    """A ModelRegistry. Safe to use from several threads."""

    def alias(self, model: str, alias: str) -> str | None:
        """The version the alias points at, None without such an alias. Foreign("not_found") without such a model."""
        return self.aliases(model).get(alias)

    def move_alias(self, model: str, alias: str, *, expected: str, to: str) -> None:
        """Point the alias at `to` if it still points at `expected`. An alias that is there already is left alone."""
        try:
            found = self.alias(model, alias)
        except Foreign as problem:
            problem.happened = False
            raise
        if found == to:
            return
        if found != expected:
            is_now = f"points at version {found}" if found else "does not exist any more"
            text = f"The alias {alias} of {model} {is_now}, not at version {expected}: somebody else moved it."
            raise Foreign("conflict", text, happened=False)
        self.ask(lambda client: client.set_registered_model_alias(model, alias, to))
        after = self.after_the_call(lambda: self.alias(model, alias))
        if after != to:
            text = f"The alias {alias} of {model} was set to version {to}, but points at {after or 'nothing'} now."
            raise Foreign("conflict", text)


class Mlflow:
    """The kind of backend as the registry of handlers knows it."""

    kind = "mlflow"
    offers = ("registry",)
    settings = SETTINGS

    def build(self, settings: Mapping[str, str]) -> MlflowRegistry:
        """A client; makes no call and imports nothing. ValueError names the setting that is missing or wrong."""
        return built(MlflowRegistry, settings, self.kind)

    def check(self, client: object) -> str:
        """Count the models; returns words for `doctor`, raises Foreign."""
        return told(client, self.kind)


BACKEND = Mlflow()
