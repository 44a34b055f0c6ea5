"""A Kubernetes API, by the transport and the credentials of the official client.

The client's generated methods are passed by on purpose: they have no way to send a JSON patch with `test` operations
and get the server's own words back, they import a model class per kind, and every object we show to people is read as
it was sent. What is used is what is hard: kubeconfig files, exec plug-ins, tokens that rotate, certificates, proxies.

Settings: `kubeconfig` (a file) and `context`, or `in_cluster: true`. Every call ends within five seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bot.policy import WorkloadProfile
from bot.ports import Foreign, Json, Kind, Thing
from handlers._kube import dig, items, rolled_out, template_id, template_of, thing_of
from handlers._kube_rules import ACT, LOOK, Rule
from handlers.backends._http import decoded, is_refused, plain, read_raw, where
from handlers.backends._kubernetes_errors import Asked, foreign

if TYPE_CHECKING:
    from kubernetes.client.api_client import ApiClient

CALL_S = 4.0  # a step makes two or three calls and must fit into its lease
CONNECT_S = 2.0
NEWEST = 500  # objects looked at in one list
BODY_CAP_BYTES = 20_000_000  # 500 pods with every status are a few megabytes
LOG_CAP_BYTES = 500_000
MANAGER = "mlops-bot"  # whose fields ours are, in managedFields
_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_JSON, _PATCH, _MERGE = "application/json", "application/json-patch+json", "application/merge-patch+json"


class KubernetesCluster:
    """A Workloads. Safe to use from several threads."""

    def __init__(self, *, kubeconfig: str, context: str, in_cluster: bool) -> None:
        self._kubeconfig, self._context, self._in_cluster = kubeconfig, context, in_cluster
        self._made: ApiClient | None = None
        self._making = threading.Lock()

    def get(self, thing: Thing, *, sub: str = "") -> Json:
        """The object, or one of its subresources."""
        return self._object(Asked(method="GET", thing=thing, sub=sub), "GET", _path(thing, sub))

    def list(self, thing: Thing, *, labels: str = "", fields: str = "") -> Sequence[Json]:
        """Objects of the kind in the namespace, at most 500."""
        query = {"limit": str(NEWEST), "labelSelector": labels, "fieldSelector": fields}
        kinds = Thing(kind=thing.kind, namespace=thing.namespace)
        found = self._object(Asked(method="LIST", thing=kinds), "GET", _path(kinds), query)
        # The API leaves out the kind of each item, because the list's says it; readers want it beside the object.
        return [{"kind": thing.kind.name, **one} for one in items(found, "items")]

    def patch(
        self, thing: Thing, change: Sequence[Json] | Json, *, sub: str = "", dry_run: bool = False, strict: bool = True
    ) -> Json:
        """A JSON patch or a merge, in our name; the object as it is then, or would be."""
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict" if strict else "Warn", **_dry(is_dry=dry_run)}
        content = _MERGE if isinstance(change, Mapping) else _PATCH
        asked = Asked(method="PATCH", thing=thing, sub=sub)
        return self._object(asked, "PATCH", _path(thing, sub), query, _plain(change), content)

    def create(self, thing: Thing, body: Json, *, sub: str = "", dry_run: bool = False) -> Json:
        """Make an object, or a subresource of one."""
        path = _path(thing, sub) if sub else _path(Thing(kind=thing.kind, namespace=thing.namespace))
        query = {"fieldManager": MANAGER, **_dry(is_dry=dry_run)}
        return self._object(Asked(method="POST", thing=thing, sub=sub), "POST", path, query, _plain(body))

    def delete(self, thing: Thing, uid: str) -> None:
        """Remove the object with that uid; what it owns goes first."""
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        self._object(Asked(method="DELETE", thing=thing), "DELETE", _path(thing), {}, body)

    def logs(self, pod: Thing, container: str, *, previous: bool = False, lines: int = 200) -> str:
        """The end of a container's log."""
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(LOG_CAP_BYTES)}
        query |= {"previous": "true"} if previous else {}
        asked = Asked(method="GET", thing=pod, sub="log")
        status, body = self._call("GET", _path(pod, "log"), query, None, _JSON)
        if status != 200:
            raise foreign(self._place(), asked, status, decoded(body))
        return body.decode(errors="replace")

    def may(self, verb: str, thing: Thing, sub: str = "") -> bool:
        """Whether we are allowed to, by a SelfSubjectAccessReview."""
        wanted = {
            "verb": verb, "group": thing.kind.group, "resource": thing.kind.plural, "subresource": sub,
            "namespace": thing.namespace, "name": thing.name,
        }  # fmt: skip
        body = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
        body |= {"spec": {"resourceAttributes": {key: value for key, value in wanted.items() if value}}}  # type: ignore[dict-item]
        review = Kind(group="authorization.k8s.io", version="v1", plural="selfsubjectaccessreviews", name="Review")
        asked = Asked(method="POST", thing=Thing(kind=review, namespace=thing.namespace))
        return dig(self._object(asked, "POST", _REVIEW, {}, body), "status", "allowed") is True

    def released(self, service: WorkloadProfile) -> str:
        """Id of the template that is rolled out whole and available, "" while none is."""
        found = self.get(thing_of(service))
        is_out = not rolled_out(found) and dig(found, "spec", "replicas") != 0
        return template_id(template_of(found)) if is_out else ""

    def permissions(self, services: Sequence[WorkloadProfile]) -> Sequence[tuple[str, bool, str]]:
        """Every rule of our table in every namespace of the services: whether it is given and what needs it."""
        rows = []
        for namespace in dict.fromkeys(one.namespace for one in services):
            for rule in (*LOOK, *ACT):
                given = self.may(rule.verb, Thing(kind=rule.kind, namespace=namespace), rule.sub)
                rows.append((f"{rule.words}, namespace {namespace}", given, _needs(rule)))
        return rows

    def version(self) -> str:
        """The server's version."""
        what = Kind(group="", version="", plural="version", name="version")
        asked = Asked(method="GET", thing=Thing(kind=what, namespace=""))
        return str(self._object(asked, "GET", "/version").get("gitVersion") or "of unknown version")

    def close(self) -> None:
        """Give the connections back. The client may be used again afterwards."""
        if self._made is not None:
            self._made.close()  # type: ignore[no-untyped-call]

    # the wire

    def _object(
        self, asked: Asked, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None,
        content: str = _JSON,
    ) -> Json:  # fmt: skip
        status, raw = self._call(method, path, query or {}, body, content)
        data = decoded(raw)
        if not 200 <= status < 300:
            raise foreign(self._place(), asked, status, data)
        if not isinstance(data, dict):
            text = f"{self._place()} answered something else than Kubernetes would. Check the address."
            raise Foreign("invalid", text)
        return data

    def _call(self, method: str, path: str, query: Mapping[str, str], body: Any, content: str) -> tuple[int, bytes]:
        client = self._client()
        from urllib3.exceptions import HTTPError

        pairs = [(key, value) for key, value in query.items() if value]
        deadline = time.monotonic() + CALL_S + CONNECT_S / 2
        headers = {"Accept": "application/json, */*", "Content-Type": content}
        try:
            request = client.param_serialize(
                method, path, query_params=pairs, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = client.call_api(*request, _request_timeout=(CONNECT_S, CALL_S))
            try:
                found = read_raw(answer.response, deadline, self._place(), cap_bytes=BODY_CAP_BYTES)
            except Foreign:
                answer.response.close()  # half an answer is in the way of the next one
                raise
            answer.response.release_conn()
            return int(answer.status), found
        except HTTPError as error:
            raise self._no_answer(error) from None
        except client_problems() as error:
            raise Foreign("invalid", f"{self._place()}: {plain(str(error))}", happened=False) from None

    def _no_answer(self, error: Exception) -> Foreign:
        name, text = type(error).__name__, str(error).lower()
        if name == "ConnectTimeoutError":
            return Foreign("unreachable", f"{self._place()} cannot be reached.", happened=False)
        if is_refused(error):
            text = f"{self._place()} does not answer: the connection was refused."
            return Foreign("unreachable", text, happened=False)
        if "timed out" in text or "timeout" in name.lower():
            return Foreign("timeout", f"{self._place()} did not answer within {CALL_S:g} s.")
        return Foreign("unreachable", f"{self._place()} broke the connection before it answered.")

    def _place(self) -> str:
        host = self._made.configuration.host if self._made is not None else ""
        return f"Kubernetes at {where(host)}" if host else "Kubernetes"

    def _client(self) -> ApiClient:
        """Made at the first call, because importing the client takes half a second and 50 MB."""
        with self._making:
            if self._made is None:
                from kubernetes.client.api_client import ApiClient
                from kubernetes.client.configuration import Configuration
                from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

                settings = Configuration()
                settings.retries = False  # a change that was lost is looked at, not sent again
                try:
                    if self._in_cluster:
                        load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
                    else:
                        load_kube_config(  # type: ignore[no-untyped-call]
                            self._kubeconfig, self._context or None, settings, persist_config=False
                        )
                except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
                    what = "the pod's service account" if self._in_cluster else "the setting `kubeconfig`"
                    text = f"Kubernetes cannot be asked, because {what} is of no use: {plain(str(error), 200)}"
                    raise Foreign("invalid", text, happened=False) from None
                client = ApiClient(settings)
                client.user_agent = MANAGER
                self._made = client
            return self._made


def client_problems() -> tuple[type[Exception], ...]:
    """What the client raises by itself, before or after the wire; it means that nothing was sent."""
    from kubernetes.client.exceptions import OpenApiException
    from kubernetes.config import ConfigException

    return (OpenApiException, ConfigException, FileNotFoundError)


def _path(thing: Thing, sub: str = "") -> str:
    kind = thing.kind
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    path = f"{root}/namespaces/{quote(thing.namespace, safe='')}/{kind.plural}"
    path += f"/{quote(thing.name, safe='')}" if thing.name else ""
    return f"{path}/{sub}" if sub else path


def _dry(*, is_dry: bool) -> dict[str, str]:
    return {"dryRun": "All"} if is_dry else {}


def _plain(body: Any) -> Any:
    """Mappings and sequences as the dicts and lists that the client can write."""
    if isinstance(body, Mapping):
        return {str(key): _plain(value) for key, value in body.items()}
    if isinstance(body, Sequence) and not isinstance(body, str):
        return [_plain(value) for value in body]
    return body


def _needs(rule: Rule) -> str:
    what = ", ".join(rule.for_)
    return f"optional, for {what}" if rule.is_optional else f"for {what}"


class Kubernetes:
    """The kind of backend as the registry of handlers knows it."""

    kind = "kubernetes"
    offers = ("workloads",)
    settings = ("kubeconfig", "context", "in_cluster")

    def build(self, settings: Mapping[str, str]) -> KubernetesCluster:
        """A client; makes no call and reads no file yet. ValueError names the setting that is missing or wrong."""
        inside, file = settings.get("in_cluster", "false").lower(), settings.get("kubeconfig", "")
        if inside not in ("true", "false"):
            raise ValueError(f"{self.kind}: `in_cluster` must be true or false.")
        if (inside == "true") == bool(file):
            raise ValueError(f"{self.kind} needs one of `in_cluster: true` and `kubeconfig`, the path of a file.")
        return KubernetesCluster(kubeconfig=file, context=settings.get("context", ""), in_cluster=inside == "true")

    def check(self, client: object) -> str:
        """Ask for its version; returns words for `doctor`, raises Foreign."""
        if not isinstance(client, KubernetesCluster):
            raise TypeError(f"{self.kind}: not a client of this kind")
        return f"answers, Kubernetes {client.version()}"


BACKEND = Kubernetes()
