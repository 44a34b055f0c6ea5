"""MLflow over HTTP, by MlflowClient of mlflow-skinny: how it is asked, and its failures in our words.

Shared by the two bindings of its registry, by alias and by stage. Aliases are read from the registered model, because
the search for versions leaves them out.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from bot.policy.gate import DataSet, Evaluation
from bot.ports import Foreign, ModelVersion, Package
from handlers.backends import _mlflow_files
from handlers.backends._http import base_url, is_refused, plain, where

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
S = TypeVar("S", bound="MlflowServer")
SETTINGS = ("url", "username", "password", "webhook_secret")  # the last one is for the HTTP door
SECRET_CHARS = 16  # a shorter secret can be guessed
CALL_S = 3  # moving an alias takes four calls and must fit into a step's lease; MLflow wants whole seconds
_WHOLE = 8_000  # more than MLflow keeps of any value: what is compared must not be cut
NEWEST = 200  # versions looked at
_STATUS = re.compile(r"error code (\d{3})|too many (\d{3}) error responses")
_REASONS = {
    "RESOURCE_DOES_NOT_EXIST": "not_found", "PERMISSION_DENIED": "refused", "UNAUTHENTICATED": "refused",
    "CUSTOMER_UNAUTHORIZED": "refused", "INVALID_PARAMETER_VALUE": "invalid", "BAD_REQUEST": "invalid",
    "REQUEST_LIMIT_EXCEEDED": "overloaded", "TEMPORARILY_UNAVAILABLE": "overloaded",
}  # fmt: skip


class MlflowServer:
    """What both bindings ask. Safe to use from several threads."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url
        self._username = username
        self._password = password
        self._made: MlflowClient | None = None
        self._making = threading.Lock()

    def versions(self, model: str) -> Sequence[ModelVersion]:
        """The newest 200 versions, highest number first. Foreign("not_found") when there is no such model."""
        if "'" in model or "\\" in model:
            raise Foreign("invalid", f"MLflow cannot be asked for a model named “{plain(model, 80)}”.", happened=False)
        aliases = self.aliases(model)
        found = self.ask(
            lambda client: client.search_model_versions(
                f"name='{model}'", max_results=NEWEST, order_by=["version_number DESC"]
            )
        )
        return [_version(one, aliases) for one in found]

    def evaluation(self, model: str, version: ModelVersion) -> Evaluation:
        """What the version's training run recorded. Foreign("not_found") when the run is gone."""
        what = f"version {version.version} of {plain(model, 80)}"
        if not version.run_id:
            raise Foreign("not_found", f"MLflow knows no training run of {what}.", happened=False)
        run = self.ask(lambda client: client.get_run(version.run_id))
        if run.info.run_id != version.run_id:
            raise self._odd()
        if run.info.lifecycle_stage != "active":
            text = f"The training run of {what} was deleted in MLflow; restore it there before it is removed for good."
            raise Foreign("not_found", text, happened=False)
        return Evaluation(
            metrics={str(name): float(value) for name, value in run.data.metrics.items()},
            params={str(name): plain(str(value), _WHOLE) for name, value in run.data.params.items()},
            tags={str(name): plain(str(value), _WHOLE) for name, value in run.data.tags.items()},
            data=tuple(_data(one) for one in (run.inputs.dataset_inputs if run.inputs else ())),
        )

    def package(self, model: str, version: ModelVersion) -> Package:
        """Size and signature of the version's files. Foreign("not_found") when they are gone."""
        sizes = _mlflow_files.sizes(self.ask, version.source)
        if not sizes:
            what = f"version {version.version} of {plain(model, 80)}"
            text = f"MLflow has no files of {what}; they may have been removed."
            raise Foreign("not_found", text, happened=False)
        who = self._username, self._password
        inputs, outputs = _mlflow_files.signature(self.url, who, version.source, CALL_S)
        return Package(size_bytes=sum(sizes), files=len(sizes), inputs=inputs, outputs=outputs)

    def is_doomed(self, model: str, version: ModelVersion) -> bool:
        """Whether `mlflow gc` would take the files: it looks at deleted runs only, not at what is registered."""
        del model
        if not version.run_id:
            return False
        run = self.ask(lambda client: client.get_run(version.run_id))
        return str(run.info.lifecycle_stage) != "active"

    def remove(self, model: str, version: ModelVersion) -> None:
        """Remove the version's entry, if it is still the same and nothing points at it. Its files stay."""
        found = next((one for one in self.versions(model) if one.version == version.version), None)
        if found is None:
            return
        name = f"version {version.version} of {plain(model, 80)}"
        if (found.created_at, found.run_id) != (version.created_at, version.run_id):
            raise Foreign("conflict", f"There is another {name} now; nothing was removed.", happened=False)
        if found.aliases or found.stage in ("Production", "Staging"):
            points = ", ".join((*found.aliases, found.stage)).strip(", ")
            raise Foreign("conflict", f"{points} points at {name} now; it was not removed.", happened=False)
        self.ask(lambda client: client.delete_model_version(model, version.version))

    def after_the_call(self, look: Callable[[], T]) -> T:
        """A look that follows a change: when it fails, nobody can tell from it that nothing happened."""
        try:
            return look()
        except Foreign as problem:
            problem.happened = None
            raise

    def count(self) -> int:
        """How many models are registered, at most 100."""
        return len(self.ask(lambda client: client.search_registered_models(max_results=100)))

    def aliases(self, model: str) -> dict[str, str]:
        """Every alias of the model. Foreign("not_found") without such a model."""
        found = self.ask(lambda client: client.get_registered_model(model))
        if found.name != model:  # an empty object passes for an answer
            raise self._odd()
        return {str(alias): str(version) for alias, version in dict(found.aliases or {}).items()}

    def ask(self, call: Callable[[MlflowClient], T]) -> T:
        """Make a call of MLflow's client, imported at the first one. Raises Foreign."""
        client = self._client()
        from mlflow.exceptions import MlflowException

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its advice is for programmers, and goes to our standard error
                return call(client)
        except MlflowException as error:
            raise self._foreign(error) from None
        except (TypeError, ValueError, KeyError, AttributeError):
            raise self._odd() from None

    def _client(self) -> MlflowClient:
        """Made at the first call, because importing MLflow takes half a second and 50 MB."""
        with self._making:
            if self._made is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    from mlflow import MlflowClient
                    from mlflow.environment_variables import (
                        MLFLOW_HTTP_REQUEST_MAX_RETRIES,
                        MLFLOW_HTTP_REQUEST_TIMEOUT,
                    )

                    # MLflow's own way to say it. Seven retries with back-off would keep a person waiting for minutes.
                    MLFLOW_HTTP_REQUEST_TIMEOUT.set(CALL_S)  # type: ignore[no-untyped-call]
                    MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(0)  # type: ignore[no-untyped-call]
                    address = self._address()
                    self._made = MlflowClient(tracking_uri=address, registry_uri=address)
            return self._made

    def _address(self) -> str:
        if not self._username:
            return self.url
        parts = urlsplit(self.url)
        user = f"{quote(self._username, safe='')}:{quote(self._password, safe='')}"
        return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc}"))

    def _foreign(self, error: Exception) -> Foreign:
        """MLflow's exception in our words. Its own text may hold the address with the password, so it is cleaned."""
        place, text = f"MLflow at {where(self.url)}", str(error)
        code = str(getattr(error, "error_code", ""))
        if "Invalid Host header" in text:
            hint = f"Start it with `--allowed-hosts {where(self.url)}` (its /health answers all the same)."
            return Foreign("refused", f"{place} refuses the name we call it by. {hint}", happened=False)
        match = _STATUS.search(text)
        if match:
            return self._by_status(int(match[1] or match[2]))
        if "not in a valid JSON format" in text or "JSON" in type(error.__cause__).__name__:
            return self._odd()
        if type(error).__name__ == "RestException":
            said = f"{place} says: {self._clean(text).rstrip('.')}."
            is_refusal = code in _REASONS
            return Foreign(_REASONS.get(code, "broken"), said, happened=False if is_refusal else None)
        if is_refused(error):
            return Foreign("unreachable", f"{place} does not answer: the connection was refused.", happened=False)
        if "timeout" in text.lower() or "timed out" in text.lower():
            return Foreign("timeout", f"{place} did not answer within {CALL_S} s.")
        if "failed with exception" in text:
            return Foreign("unreachable", f"{place} broke the connection before it answered.")
        return Foreign("broken", f"{place} failed: {self._clean(text).rstrip('.')}.")

    def _by_status(self, status: int) -> Foreign:
        place = f"MLflow at {where(self.url)} answered {status}"
        if status in (401, 403):
            return Foreign("refused", f"{place}. Check `username` and `password` of this backend.", happened=False)
        if status == 404:
            return Foreign("not_found", f"{place}. Check that `url` is an MLflow server.", happened=False)
        if status in (429, 503):
            return Foreign("overloaded", f"{place}: it is overloaded or starting.", happened=None)
        return Foreign("broken" if status >= 500 else "invalid", f"{place}.", happened=None if status >= 500 else False)

    def _odd(self) -> Foreign:
        text = (
            f"MLflow at {where(self.url)} answered something else than MLflow would, perhaps a login page. Check `url`."
        )
        return Foreign("invalid", text)

    def _clean(self, text: str) -> str:
        for secret in (self._password, quote(self._password, safe="")):
            text = text.replace(secret, "…") if secret else text
        return plain(text)


def _version(one: Any, aliases: Mapping[str, str]) -> ModelVersion:
    version = str(one.version)
    return ModelVersion(
        version=version, status=str(one.status), created_at=datetime.fromtimestamp(one.creation_timestamp / 1000, UTC),
        run_id=str(one.run_id or ""), stage=_stage(one),
        aliases=tuple(sorted(alias for alias, at in aliases.items() if at == version)),
        tags={str(name): plain(str(value)) for name, value in dict(one.tags or {}).items()},
        source=plain(str(one.source or ""), _WHOLE), changed_at=_moment(one.last_updated_timestamp),
    )  # fmt: skip


def _moment(milliseconds: Any) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _data(one: Any) -> DataSet:
    context = next((str(tag.value) for tag in one.tags if tag.key == "mlflow.data.context"), "")
    return DataSet(
        name=plain(str(one.dataset.name), _WHOLE), digest=plain(str(one.dataset.digest), _WHOLE), context=context
    )


def _stage(one: Any) -> str:
    stage = str(one.current_stage or "")
    return "" if stage == "None" else stage


def built(client: type[S], settings: Mapping[str, str], kind: str) -> S:
    """A client of that class; makes no call. ValueError names the setting that is missing or wrong."""
    user, password = settings.get("username", ""), settings.get("password", "")
    if bool(user) != bool(password):
        raise ValueError(f"{kind}: `username` and `password` belong together; one of them is missing.")
    secret = settings.get("webhook_secret", "")
    if secret and len(secret) < SECRET_CHARS:
        raise ValueError(f"{kind}: `webhook_secret` has fewer than {SECRET_CHARS} characters; use a longer one.")
    return client(base_url(settings, kind), user, password)


def told(client: object, kind: str) -> str:
    """Count the models; returns words for `doctor`, raises Foreign."""
    if not isinstance(client, MlflowServer):
        raise TypeError(f"{kind}: not a client of this kind")
    return f"{where(client.url)} answers, {client.count()} registered models"
