"""Makes the schemas in this folder: ``make.py CRD.yaml KUBERNETES_FOLDER``; see README.md.

Descriptions are dropped, and what a schema does not name is refused, as the API server does with
``kubectl apply --validate=strict``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
KINDS = {
    "Namespace": "namespace-v1",
    "NetworkPolicy": "networkpolicy-networking-v1",
    "PodDisruptionBudget": "poddisruptionbudget-policy-v1",
    "Service": "service-v1",
    "StatefulSet": "statefulset-apps-v1",
    "ConfigMap": "configmap-v1",
}
DEFINITIONS = "/api/_definitions.json#/$defs/"
OPEN = ("additionalProperties", "x-kubernetes-preserve-unknown-fields")


def strict(schema: Any) -> Any:
    """The schema without descriptions, and closed where it names properties."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: strict(value)
        for key, value in schema.items()
        if not (key == "description" and isinstance(value, str))
    }
    # A mapping of properties may itself have one that is called "properties".
    names_properties = isinstance(schema.get("type"), str) and "properties" in schema
    if names_properties and not any(key in schema for key in OPEN):
        made["additionalProperties"] = False
    return made


def rayservice(crd: Path) -> dict[str, Any]:
    """The schema of ``ray.io/v1`` RayService."""
    content = yaml.safe_load(crd.read_text())
    (version,) = (each for each in content["spec"]["versions"] if each["name"] == "v1")
    schema: dict[str, Any] = strict(version["schema"]["openAPIV3Schema"])
    del schema["properties"]["status"]
    # The API server checks it as an ObjectMeta.
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def kubernetes(folder: Path) -> dict[str, Any]:
    """The schemas of :data:`KINDS`, and the definitions that they refer to."""
    known = json.loads((folder / "_definitions.json").read_text())["$defs"]
    kinds = {
        kind: strict(json.loads((folder / f"{file}.json").read_text()))
        for kind, file in KINDS.items()
    }
    wanted, found = list(references(kinds)), {}
    while wanted:
        if (name := wanted.pop()) not in found:
            found[name] = strict(known[name])
            wanted += references(found[name])
    text = json.dumps({"kinds": kinds, "$defs": dict(sorted(found.items()))})
    made: dict[str, Any] = json.loads(text.replace(DEFINITIONS, "#/$defs/"))
    return made


def references(schema: Any) -> Iterator[str]:
    """The names of the definitions to which a schema refers."""
    if isinstance(schema, list):
        for each in schema:
            yield from references(each)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            else:
                yield from references(value)


def main(crd: str, folder: str) -> None:
    """Write both files."""
    for name, schema in (
        ("rayservice.json", rayservice(Path(crd))),
        ("kubernetes.json", kubernetes(Path(folder))),
    ):
        (HERE / name).write_text(json.dumps(schema, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
