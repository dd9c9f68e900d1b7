"""Reads YAML, and refuses a key that is in a mapping twice."""

from __future__ import annotations

from typing import Any

import yaml

MERGE = "tag:yaml.org,2002:merge"
"""The tag of the merge key ``<<``."""


def read_yaml(text: str) -> Any:
    """The content of ``text``. Raises ``yaml.YAMLError``, also for a key that is there twice.

    PyYAML by itself would ignore all but the last one.
    """
    return yaml.load(text, _UniqueKeysLoader)  # noqa: S506 - a safe loader


class _UniqueKeysLoader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Check keys before merges are resolved, which may add a key that is there already."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if key.value in seen:
                    problem = f"the key {key.value!r} is there twice"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return node
