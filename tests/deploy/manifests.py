"""What kustomize makes of a folder, for the few words of it that deploy/kubernetes uses.

Left out on purpose: the suffix that kustomize gives a generated ConfigMap. Names and references stay as written, so
that a reference to something that is not there shows. Any word of kustomize that is not known here is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
EXAMPLE = KUBERNETES / "overlays" / "example"
_KNOWN = {"apiVersion", "kind", "resources", "images", "configMapGenerator", "patches"}

Document = dict[str, Any]


def render(folder: Path) -> list[Document]:
    """The documents that `kubectl apply -k FOLDER` would send, in the order they are named."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(plan) <= _KNOWN, f"{folder}: this reader does not know {sorted(set(plan) - _KNOWN)}"
    found = [one for entry in plan["resources"] for one in _resource((folder / entry).resolve())]
    found += [_config_map(folder, entry) for entry in plan.get("configMapGenerator", [])]
    for entry in plan.get("patches", []):
        _patch(found, folder, entry)
    for image in plan.get("images", []):
        _image(found, image)
    return found


def _resource(path: Path) -> list[Document]:
    return render(path) if path.is_dir() else [one for one in yaml.safe_load_all(path.read_text()) if one]


def _config_map(folder: Path, entry: Document) -> Document:
    data = {Path(name).name: (folder / name).read_text() for name in entry["files"]}
    meta = {"name": entry["name"], "namespace": entry["namespace"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def _patch(documents: list[Document], folder: Path, entry: Document) -> None:
    """A JSON patch that only adds."""
    wanted = (entry["target"]["kind"], entry["target"]["name"])
    hit = [one for one in documents if (one["kind"], one["metadata"]["name"]) == wanted]
    assert len(hit) == 1, f"{entry['path']} fits {len(hit)} objects"
    for step in yaml.safe_load((folder / entry["path"]).read_text()):
        assert step["op"] == "add", step
        *way, last = step["path"].removeprefix("/").split("/")
        place: Any = hit[0]
        for part in way:
            place = place[int(part) if isinstance(place, list) else part]
        if last == "-":
            place.append(step["value"])
        else:
            place[last] = step["value"]


def _image(documents: list[Document], image: Document) -> None:
    for container in containers(documents):
        if container["image"].partition(":")[0] == image["name"]:
            container["image"] = f"{image['newName']}:{image['newTag']}"


def containers(documents: list[Document]) -> list[Document]:
    """Every container of every Deployment, the first ones included."""
    pods = [one["spec"]["template"]["spec"] for one in documents if one["kind"] == "Deployment"]
    return [one for pod in pods for one in (*pod["initContainers"], *pod["containers"])]


def only(documents: list[Document], kind: str) -> Document:
    """The one document of the kind."""
    hit = [one for one in documents if one["kind"] == kind]
    assert len(hit) == 1, f"{len(hit)} documents of kind {kind}"
    return hit[0]
