"""The files of a version in MLflow: how big they are, and the signature written beside them.

MLflow 3 keeps a model's files under an id of their own (`models:/m-…`), MLflow 2 under its run (`runs:/…`); a version
that points anywhere else is not looked into. Nothing is loaded: the signature stands in a small text file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from bot.ports import Foreign
from handlers.backends._http import plain, read_body, where

FILES_CAP, DEPTH_CAP = 2_000, 6  # a folder without end must not keep a person waiting
_TEXT_CAP = 256 * 1024  # a description is a few kB
_SIGNATURE_CAP = 8_000
_OWN_ID = re.compile(r"^models:/(m-[0-9a-f]+)$")
_OF_RUN = re.compile(r"^runs:/([0-9a-f]+)/(.+)$")
_IN_RUN = re.compile(r"/([0-9a-f]{32})/artifacts/(.+)$")  # what MLflow 2 writes of a run's folder
_REFUSED = 401, 403
_OK, _GONE = 200, 404


def sizes(ask: Callable[[Callable[[Any], Any]], Any], source: str) -> list[int]:
    """Bytes of each file behind a version's `source`. Foreign("invalid") when it is kept elsewhere."""
    own, of_run = _OWN_ID.match(source), _OF_RUN.match(source) or _IN_RUN.search(source)
    if own:
        return _walk(ask, lambda client, path: client.list_logged_model_artifacts(own[1], path), None)
    if of_run:
        return _walk(ask, lambda client, path: client.list_artifacts(of_run[1], path), of_run[2])
    raise _elsewhere(source)


def _walk(
    ask: Callable[[Callable[[Any], Any]], Any], look: Callable[[Any, str | None], Any], top: str | None
) -> list[int]:
    found: list[int] = []
    folders: list[tuple[str | None, int]] = [(top, 0)]
    while folders:
        path, depth = folders.pop()
        for one in ask(lambda client, path=path: look(client, path)):  # type: ignore[misc]
            if not one.is_dir:
                found.append(int(one.file_size or 0))
            elif depth < DEPTH_CAP:
                folders.append((str(one.path), depth + 1))
        if len(found) > FILES_CAP:
            raise Foreign("invalid", f"It has more than {FILES_CAP} files, so they are not counted.", happened=False)
    return found


def _description(url: str, source: str) -> tuple[str, dict[str, str]]:
    """Where the small file that describes the model is read, address and parameters."""
    own, of_run = _OWN_ID.match(source), _OF_RUN.match(source) or _IN_RUN.search(source)
    if own:
        return f"{url}/ajax-api/2.0/mlflow/logged-models/{own[1]}/artifacts/files", {"artifact_file_path": "MLmodel"}
    if of_run:
        return f"{url}/get-artifact", {"run_id": of_run[1], "path": f"{of_run[2]}/MLmodel"}
    raise _elsewhere(source)


def _elsewhere(source: str) -> Foreign:
    text = f"The files are kept where MLflow does not list them ({plain(source, 60) or 'no place is recorded'})."
    return Foreign("invalid", text, happened=False)


def signature(url: str, who: tuple[str, str], source: str, limit_s: float) -> tuple[str, str]:
    """Inputs and outputs as the model's own description says, each "" when there is none. Foreign when MLflow fails."""
    import requests
    import yaml

    place, deadline = f"MLflow at {where(url)}", time.monotonic() + limit_s
    try:
        address, params = _description(url, source)
        with requests.get(
            address, params=params, auth=who if who[0] else None, timeout=limit_s, stream=True, allow_redirects=False
        ) as answer:
            body, status = read_body(answer, deadline, place, cap_bytes=_TEXT_CAP), answer.status_code
    except requests.RequestException as error:
        text = f"{place} did not give the model's description ({type(error).__name__})."
        raise Foreign("unreachable", text) from None
    if status in _REFUSED:
        raise Foreign("refused", f"{place} answered {status}. Check `username` and `password` of this backend.")
    if status not in (_OK, _GONE):
        raise Foreign("broken", f"{place} answered {status} when asked for the model's description.")
    try:
        described = yaml.safe_load(body) if status == _OK else None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return "", ""
    found = described.get("signature") if isinstance(described, dict) else None
    parts = found if isinstance(found, dict) else {}
    return plain(str(parts.get("inputs") or ""), _SIGNATURE_CAP), plain(str(parts.get("outputs") or ""), _SIGNATURE_CAP)
