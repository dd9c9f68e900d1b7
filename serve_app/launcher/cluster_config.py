"""Forms of a Serve config: as YAML, and as the patch of a KubeRay RayService."""

import copy
from textwrap import indent
from typing import Any

import yaml

RAYSERVICE = """\
apiVersion: ray.io/v1
kind: RayService
metadata:
  name: {name}
spec:
  serveConfigV2: |
"""


def as_yaml(config: dict[str, Any]) -> str:
    """The config as `serve deploy` reads it."""
    return yaml.safe_dump(config, sort_keys=False)


def as_rayservice(config: dict[str, Any], name: str) -> str:
    """A patch that gives the RayService ``name`` this config.

    ``serveConfigV2`` is a text of YAML: https://docs.ray.io/en/latest/cluster/kubernetes/
    """
    return RAYSERVICE.format(name=name) + indent(as_yaml(config), " " * 4)


def with_profile_at(config: dict[str, Any], path: str) -> dict[str, Any]:
    """The config of a profile whose file has another path where the graph is built."""
    changed = copy.deepcopy(config)
    for application in changed["applications"]:
        if "profile" in application.get("args", {}):
            application["args"]["profile"] = path
    return changed
