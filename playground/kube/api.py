"""A few calls to a Kubernetes API over plain HTTP, for the harness itself.

The bot's own backend uses the official client. The harness does not, so that a mistake in how we use that client cannot
hide behind the same mistake here, and because a simulated node makes many small calls that must be cheap.
"""

from __future__ import annotations

import base64
import json
import tempfile
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import urllib3
import yaml

JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
# A watch is silent for as long as nothing happens; the server ends it after this long and it is begun anew.
WATCH_S = 300
FIELD_MANAGER = "test-harness"


class ApiError(Exception):
    """The API refused, or did not answer (`status` 0). `reason` is the API's own word, such as Conflict."""

    def __init__(self, method: str, path: str, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{method} {path}: {status} {reason}: {message}")


class Api:
    """One identity at one API server. Safe to use from several threads."""

    def __init__(
        self, url: str, *, token: str = "", ca_file: Path | None = None, certificate: tuple[Path, Path] | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.ca_file = ca_file
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        options: dict[str, Any] = {"ca_certs": str(ca_file)} if ca_file else {}
        if certificate:
            options |= {"cert_file": str(certificate[0]), "key_file": str(certificate[1])}
        self._http = urllib3.PoolManager(maxsize=16, retries=False, **options)
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Api:
        """The current context of a kubeconfig with a token or a client certificate. KeyError for anything else."""
        config = yaml.safe_load(path.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        ca_file = _file_of(cluster, "certificate-authority")
        if "token" in user:
            return cls(cluster["server"], token=user["token"], ca_file=ca_file)
        certificate, key = _file_of(user, "client-certificate"), _file_of(user, "client-key")
        if certificate is None or key is None:
            raise KeyError(f"{path}: user {context['user']} has neither a token nor a client certificate")
        return cls(cluster["server"], ca_file=ca_file, certificate=(certificate, key))

    def call(
        self, method: str, path: str, body: Any = None, *, content_type: str = JSON,
        query: Mapping[str, str] | None = None, timeout_s: float = 15.0,
    ) -> Any:  # fmt: skip
        """Send `body` as JSON; the decoded answer, or text when it is not JSON. ApiError on anything but 2xx."""
        full = path + ("?" + urllib.parse.urlencode(query) if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": content_type, "Accept": JSON}
        try:
            answer = self._http.request(method, self.url + full, body=data, headers=headers, timeout=timeout_s)
        except urllib3.exceptions.HTTPError as problem:
            raise ApiError(method, full, 0, "NoAnswer", str(problem)) from None
        if answer.status >= 300:
            raise _error(method, full, answer.status, answer.data)
        return _decoded(answer.data)

    def get(self, path: str, **query: str) -> Any:
        return self.call("GET", path, query=query)

    def create(self, path: str, body: Any, **query: str) -> Any:
        return self.call("POST", path, body, query=query)

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, body)

    def patch(self, path: str, body: Any, content_type: str = MERGE) -> Any:
        return self.call("PATCH", path, body, content_type=content_type)

    def delete(self, path: str, body: Any = None) -> Any:
        return self.call("DELETE", path, body)

    def exists(self, path: str) -> bool:
        """False for 404; every other refusal is an ApiError."""
        try:
            self.get(path)
        except ApiError as problem:
            if problem.status == 404:
                return False
            raise
        return True

    def watch(self, path: str, since: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Pairs (ADDED | MODIFIED | DELETED | BOOKMARK, object) until the server ends it; ApiError when it is cut."""
        query = urllib.parse.urlencode(
            {"watch": "1", "resourceVersion": since, "timeoutSeconds": str(WATCH_S), "allowWatchBookmarks": "1"}
        )
        full = f"{path}?{query}"
        wait = urllib3.Timeout(connect=5, read=WATCH_S + 30)
        try:
            answer = self._http.request(
                "GET", self.url + full, headers=self._headers, preload_content=False, timeout=wait
            )
            try:
                if answer.status >= 300:
                    raise _error("WATCH", full, answer.status, answer.data)
                yield from _events(path, answer.stream(65536))
            finally:
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as problem:
            raise ApiError("WATCH", full, 0, "NoAnswer", str(problem)) from None

    def path_of(self, document: Mapping[str, Any], namespace: str = "default") -> str:
        """Where an object of this kind and name lives. ApiError when the server does not know the kind."""
        plural, is_namespaced = self._kind(document["apiVersion"], document["kind"])
        meta = document["metadata"]
        inside = f"/namespaces/{meta.get('namespace', namespace)}" if is_namespaced else ""
        return f"{_root(document['apiVersion'])}{inside}/{plural}/{meta['name']}"

    def apply(self, document: Mapping[str, Any], namespace: str = "default") -> Any:
        """Server-side apply of one document, taking over every field it names. Returns the object as it is stored."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self.call("PATCH", self.path_of(document, namespace), document, content_type=APPLY, query=query)

    def _kind(self, version: str, kind: str) -> tuple[str, bool]:
        if (version, kind) not in self._kinds:
            for entry in self.get(_root(version))["resources"]:
                if "/" not in entry["name"]:
                    self._kinds[version, entry["kind"]] = (entry["name"], entry["namespaced"])
        if (version, kind) not in self._kinds:
            raise ApiError("GET", _root(version), 404, "NotFound", f"this server has no kind {kind} in {version}")
        return self._kinds[version, kind]


def documents(source: Path | str | Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The documents of a YAML file, of YAML text (it has a line break), of a folder's *.yaml files, or as given."""
    if isinstance(source, str) and "\n" in source:
        return [document for document in yaml.safe_load_all(source) if document]
    if isinstance(source, (str, Path)):
        path = Path(source)
        files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
        found = [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]
        return [document for document in found if "apiVersion" in document and not _is_kustomize(document)]
    return [dict(document) for document in source]


def _is_kustomize(document: Mapping[str, Any]) -> bool:
    return str(document["apiVersion"]).startswith("kustomize.config.k8s.io/")


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def _error(method: str, path: str, status: int, data: bytes) -> ApiError:
    body = _decoded(data)
    if isinstance(body, dict):
        return ApiError(method, path, status, str(body.get("reason")), str(body.get("message")))
    return ApiError(method, path, status, "", body[:300])


def _events(path: str, chunks: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event["type"] == "ERROR":
                status = event["object"]
                raise ApiError(
                    "WATCH", path, status.get("code", 0), status.get("reason", ""), status.get("message", "")
                )
            yield event["type"], event["object"]


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _file_of(section: Mapping[str, Any], key: str) -> Path | None:
    """The file a kubeconfig names under `key`, or a private one with what it carries inline under `key`-data."""
    if key in section:
        return Path(section[key])
    if f"{key}-data" not in section:
        return None
    # delete=False: the TLS layer opens it again by name, at every new connection. Its folder is the system's own.
    with tempfile.NamedTemporaryFile(prefix="kube-", suffix=".pem", delete=False) as file:
        file.write(base64.b64decode(section[f"{key}-data"]))
    return Path(file.name)
