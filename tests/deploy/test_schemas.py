"""Every object that Kustomize makes fits the schemas of Kubernetes and KubeRay."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.deploy.manifests import OVERLAYS, built

SCHEMAS = Path(__file__).parent / "schemas"


@cache
def schema(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return read


def problems(thing: dict[str, Any]) -> list[str]:
    """What the API server would refuse, as ``path: message``."""
    if thing["kind"] == "RayService":
        used = schema("rayservice")
    else:
        bundle = schema("kubernetes")
        used = {**bundle["kinds"][thing["kind"]], "$defs": bundle["$defs"]}
    found = Draft202012Validator(used).iter_errors(thing)
    return [f"{thing['kind']}/{error.json_path}: {error.message}" for error in found]


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_fits_its_schema(name: str) -> None:
    objects = built(name).objects
    assert len(objects) >= 6
    assert [problem for each in objects for problem in problems(each)] == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_is_in_the_namespace(name: str) -> None:
    (namespace,) = built(name).of("Namespace")
    others = [each for each in built(name).objects if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in others} == {namespace["metadata"]["name"]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "rayClusterConfig", "headGroupSpec", "rayStartParam"), {}),
        (("spec", "rayClusterConfig", "authOptions", "mode"), "none"),
        (("spec", "upgradeStrategy", "clusterUpgradeOptions"), {"stepSizePercent": 5}),
        (("spec", "serveConfigV2"), {"applications": []}),
    ],
)
def test_a_field_that_kuberay_does_not_take_is_found(path: tuple[str, ...], value: Any) -> None:
    (service,) = copy.deepcopy(built("small").of("RayService"))
    *parents, last = path
    target = service
    for key in parents:
        target = target[key]
    target[last] = value
    assert len(problems(service)) >= 1


@pytest.mark.parametrize("kind", ["NetworkPolicy", "StatefulSet", "Service"])
def test_a_field_that_kubernetes_does_not_know_is_found(kind: str) -> None:
    thing = copy.deepcopy(built("small").of(kind)[0])
    thing["spec"]["sepc"] = 1
    assert len(problems(thing)) == 1
