"""The release step of the playground: move the `champion` alias in MLflow, and leave a trail of it.

MLflow keeps no history of aliases. Like a careful release script, `promote` therefore also moves the alias `previous`
to the version it replaces and tags both versions with the time (`ops.prod_from`, `ops.prod_until`, `ops.replaced`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from playground.system.wire import CallFailed, call

MODEL_NAME = "intent_classifier"
CHAMPION = "champion"
PREVIOUS = "previous"
_API = "/api/2.0/mlflow"


def alias_version(tracking_uri: str, model: str, alias: str) -> str | None:
    """The version `alias` points at, or None where the alias does not exist.

    Raises CallFailed when MLflow does not answer.
    """
    try:
        answer = call("GET", f"{tracking_uri}{_API}/registered-models/alias", query={"name": model, "alias": alias})
    except CallFailed as failure:
        if failure.status in (400, 404):  # MLflow says 400 for an unknown alias, 404 for an unknown model
            return None
        raise
    return str(answer["model_version"]["version"])


def promote(tracking_uri: str, model: str, version: str, *, leave_trail: bool = True) -> str | None:
    """Point `champion` at `version`; returns the version it pointed at before. Does nothing when it is there already.

    Without `leave_trail` only the alias moves, as when somebody does it by hand in MLflow's page.
    """
    replaced = alias_version(tracking_uri, model, CHAMPION)
    if replaced == version:
        return replaced
    _set_alias(tracking_uri, model, CHAMPION, version)
    if leave_trail:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        _set_tag(tracking_uri, model, version, "ops.prod_from", now)
        _drop_tag(tracking_uri, model, version, "ops.prod_until")  # of an earlier time in production
        if replaced is not None:
            _set_alias(tracking_uri, model, PREVIOUS, replaced)
            _set_tag(tracking_uri, model, version, "ops.replaced", replaced)
            _set_tag(tracking_uri, model, replaced, "ops.prod_until", now)
    return replaced


def _set_alias(tracking_uri: str, model: str, alias: str, version: str) -> None:
    body = {"name": model, "alias": alias, "version": version}
    call("POST", f"{tracking_uri}{_API}/registered-models/alias", body=body)


def _set_tag(tracking_uri: str, model: str, version: str, key: str, value: str) -> None:
    body = {"name": model, "version": version, "key": key, "value": value}
    call("POST", f"{tracking_uri}{_API}/model-versions/set-tag", body=body)


def _drop_tag(tracking_uri: str, model: str, version: str, key: str) -> None:
    body = {"name": model, "version": version, "key": key}
    call("DELETE", f"{tracking_uri}{_API}/model-versions/delete-tag", body=body)
