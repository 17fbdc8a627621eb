"""As much of kustomize as deploy/kubernetes uses, so that its manifests can be tested without kubectl.

Resources, components, JSON patches and deletions, generated ConfigMaps, image tags, replacements. Anything else is refused.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonpatch
import yaml

Object = dict[str, Any]


def render(folder: Path) -> list[Object]:
    """The objects that `kubectl kustomize FOLDER` prints, in any order. Raises KeyError for what is not known here."""
    objects: list[Object] = []
    _build(folder.resolve(), objects)
    return objects


def _build(folder: Path, objects: list[Object]) -> None:
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    options = plan.pop("generatorOptions", {})
    assert {plan.pop("apiVersion"), plan.pop("kind")} <= {
        "kustomize.config.k8s.io/v1beta1", "Kustomization", "kustomize.config.k8s.io/v1alpha1", "Component",
    }  # fmt: skip
    for name in plan.pop("resources", []):
        if (folder / name).is_dir():
            _build((folder / name).resolve(), objects)
        else:
            read = yaml.safe_load_all((folder / name).read_text(encoding="utf-8"))
            objects += json.loads(json.dumps([*read]))  # what anchors stand for becomes a copy at each place
    for name in plan.pop("components", []):
        _build((folder / name).resolve(), objects)
    for generator in plan.pop("configMapGenerator", []):
        _generate(folder, generator, options, objects)
    for patch in plan.pop("patches", []):
        _patch(folder, patch, objects)
    for image in plan.pop("images", []):
        _tag(image["name"], image["newTag"], objects)
    for replacement in plan.pop("replacements", []):
        _replace(replacement, objects)
    if plan:
        raise KeyError(f"{folder}: {', '.join(plan)}")


def _generate(folder: Path, generator: Object, options: Object, objects: list[Object]) -> None:
    assert options["disableNameSuffixHash"] is True
    data = {Path(name).name: (folder / name).read_text(encoding="utf-8") for name in generator["files"]}
    if generator.get("behavior") == "merge":
        _one(objects, {"kind": "ConfigMap", "name": generator["name"]})["data"].update(data)
        return
    metadata = {"name": generator["name"]} | ({"labels": options["labels"]} if "labels" in options else {})
    objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _patch(folder: Path, patch: Object, objects: list[Object]) -> None:
    target = _one(objects, patch["target"])
    text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text(encoding="utf-8")
    change = yaml.safe_load(text)
    if isinstance(change, dict):
        assert change["$patch"] == "delete"
        objects.remove(target)
    else:
        objects[objects.index(target)] = jsonpatch.apply_patch(target, change)


def _tag(name: str, tag: str, node: Any) -> None:
    if isinstance(node, dict) and str(node.get("image")).split(":")[0] == name:
        node["image"] = f"{name}:{tag}"
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _tag(name, tag, child)


def _replace(replacement: Object, objects: list[Object]) -> None:
    source = replacement["source"]
    value = _at(_one(objects, source), source["fieldPath"].split("."))
    for target in replacement["targets"]:
        for path in target["fieldPaths"]:
            *above, last = path.split(".")
            place = _at(_one(objects, target["select"]), above)
            place[int(last) if isinstance(place, list) else last] = copy.deepcopy(value)


def _at(node: Any, path: list[str]) -> Any:
    for step in path:
        node = node[int(step) if isinstance(node, list) else step]
    return node


def _one(objects: list[Object], wanted: Object) -> Object:
    found = [o for o in objects if o["kind"] == wanted["kind"] and wanted.get("name") in (None, o["metadata"]["name"])]
    assert len(found) == 1, (wanted, len(found))
    return found[0]
