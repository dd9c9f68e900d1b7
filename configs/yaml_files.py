"""YAML as a configuration is written in it."""

from __future__ import annotations

from typing import Any

import yaml

MERGE = "tag:yaml.org,2002:merge"
"""``<<``, whose keys those beside it outrank."""


def read_yaml(text: str) -> Any:
    """What ``text`` says. Raises ``yaml.YAMLError``, also for a key that is there twice.

    PyYAML takes the last one, and what stood under the first would be ignored.
    """
    return yaml.load(text, _Once)  # a safe loader


class _Once(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Looked at before merges are resolved, which put keys in twice on purpose."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if key.value in seen:
                    problem = f"the key {key.value!r} is there twice"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return node
