"""A toy family that does not start while a file is there."""

from __future__ import annotations

import os
from pathlib import Path

from deployments.models.config import FamilyConfig
from tests.toy.spelling import Spelling

OBSTACLE = "TOY_OBSTACLE"
"""The environment variable with the file's path."""
SECRET = "the obstacle's own words"


class Fragile(Spelling):
    """A deployment that raises while the file exists."""

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config)
        if Path(os.environ[OBSTACLE]).exists():
            raise RuntimeError(SECRET)
