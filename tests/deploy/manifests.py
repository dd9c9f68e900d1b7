"""The overlays as Kustomize builds them, and the objects in them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
LIMIT_S = 60.0


@dataclass(frozen=True)
class Pod:
    """A group of pods of the RayService, with its one container."""

    group: dict[str, Any]

    @property
    def spec(self) -> dict[str, Any]:
        found: dict[str, Any] = self.group["template"]["spec"]
        return found

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.group["template"]["metadata"]["labels"]
        return found

    @property
    def container(self) -> dict[str, Any]:
        (found,) = self.spec["containers"]
        assert isinstance(found, dict)
        return found

    @property
    def mounts(self) -> dict[str, dict[str, Any]]:
        """Each mounted volume, by its path."""
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        return {
            mount["mountPath"]: volumes[mount["name"]] for mount in self.container["volumeMounts"]
        }


@dataclass(frozen=True)
class Overlay:
    """All objects of an overlay."""

    name: str
    objects: tuple[dict[str, Any], ...]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.objects if each["kind"] == kind]

    @property
    def rayservice(self) -> dict[str, Any]:
        (found,) = self.of("RayService")
        spec: dict[str, Any] = found["spec"]
        return spec

    @property
    def cluster(self) -> dict[str, Any]:
        found: dict[str, Any] = self.rayservice["rayClusterConfig"]
        return found

    @property
    def head(self) -> Pod:
        return Pod(self.cluster["headGroupSpec"])

    @property
    def workers(self) -> Pod:
        (group,) = self.cluster["workerGroupSpecs"]
        return Pod(group)

    @property
    def serve_config(self) -> dict[str, Any]:
        read: dict[str, Any] = yaml.safe_load(self.rayservice["serveConfigV2"])
        return read

    def config_map(self, name: str) -> dict[str, str]:
        (found,) = (each for each in self.of("ConfigMap") if each["metadata"]["name"] == name)
        data: dict[str, str] = found["data"]
        return data

    def policy(self, name: str) -> dict[str, Any]:
        policies = self.of("NetworkPolicy")
        (found,) = (each for each in policies if each["metadata"]["name"] == name)
        spec: dict[str, Any] = found["spec"]
        return spec


@cache
def built(name: str) -> Overlay:
    """An overlay, built by Kustomize or by kubectl, which has it inside."""
    done = subprocess.run(
        [*_kustomize(), str(KUBERNETES / "overlays" / name)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    return Overlay(name, tuple(yaml.safe_load_all(done.stdout)))


def _kustomize() -> tuple[str, ...]:
    for command in (("kustomize", "build"), ("kubectl", "kustomize")):
        if shutil.which(command[0]):
            return command
    assert "CI" not in os.environ, "neither kustomize nor kubectl is installed"
    pytest.skip("neither kustomize nor kubectl is installed")


def ports(rules: list[dict[str, Any]]) -> Iterator[range]:
    """The ranges of ports in rules of a NetworkPolicy."""
    for rule in rules:
        for each in rule["ports"]:
            yield range(each["port"], each.get("endPort", each["port"]) + 1)
