"""MLflow's model registry by stage: what is in production is the one version in the stage `Production`.

The pointer's name, `alias` in the profile, is the stage. Moving it is one call that also archives whatever was in the
stage, so that never two versions are in it; two that are there already are refused, because nothing says which of them
is meant. As with aliases there is no compare-and-set: read, compare, move, read back.

Settings: `url`; `username` and `password`, each a reference in the profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.ports import Foreign, ModelVersion
from handlers.backends._http import plain
from handlers.backends._mlflow import SETTINGS, MlflowServer, built, told

_STAGES = {name.lower(): name for name in ("Staging", "Production")}  # the two that something can follow


class MlflowStages(MlflowServer):
    """A ModelRegistry. Safe to use from several threads."""

    def versions(self, model: str) -> Sequence[ModelVersion]:
        """The newest 200 versions, highest number first; what points at one is its stage. Foreign as in the base."""
        return [replace(one, aliases=(one.stage,) if one.stage else ()) for one in super().versions(model)]

    def alias(self, model: str, alias: str) -> str | None:
        """The version in the stage, None for none. Foreign("conflict") when several are in it."""
        stage = _stage(alias)
        found = [one.version for one in self.versions(model) if one.stage == stage]
        if len(found) > 1:
            text = f"Versions {', '.join(found)} of {plain(model, 80)} are all in the stage {stage}, so nothing says "
            raise Foreign("conflict", f"{text}which one is meant. Archive all but one in MLflow.", happened=False)
        return found[0] if found else None

    def move_alias(self, model: str, alias: str, *, expected: str, to: str) -> None:
        """Put `to` into the stage and archive what was there, if that is still `expected`."""
        stage = _stage(alias)
        try:
            found = self.alias(model, stage)
        except Foreign as problem:
            problem.happened = False
            raise
        if found == to:
            return
        if found != expected:
            is_now = f"has version {found} in it" if found else "is empty"
            text = f"The stage {stage} of {model} {is_now}, not version {expected}: somebody else moved it."
            raise Foreign("conflict", text, happened=False)
        self.ask(lambda client: client.transition_model_version_stage(model, to, stage, archive_existing_versions=True))
        after = self.after_the_call(lambda: self.alias(model, stage))
        if after != to:
            text = f"Version {to} of {model} was moved to {stage}, but {after or 'nothing'} is in it now."
            raise Foreign("conflict", text)


class Stages:
    """The kind of backend as the registry of handlers knows it."""

    kind = "mlflow-stages"
    offers = ("registry",)
    settings = SETTINGS

    def build(self, settings: Mapping[str, str]) -> MlflowStages:
        """A client; makes no call and imports nothing. ValueError names the setting that is missing or wrong."""
        return built(MlflowStages, settings, self.kind)

    def check(self, client: object) -> str:
        """Count the models; returns words for `doctor`, raises Foreign."""
        return told(client, self.kind)


def _stage(alias: str) -> str:
    stage = _STAGES.get(alias.lower())
    if stage is None:
        text = f"“{plain(alias, 40)}” is no stage that a server can follow. Write `alias: Production` or `Staging`."
        raise Foreign("invalid", text, happened=False)
    return stage


BACKEND = Stages()
