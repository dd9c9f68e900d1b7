"""Names of models, as profiles and clients write them: ``name`` or ``owner/name``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import StringConstraints as Text

MAX_LENGTH = 200
PATTERN = r"^[A-Za-z0-9][\w.\-]*(/[\w.\-]+)?$"

ModelName = Annotated[str, Text(pattern=PATTERN, max_length=MAX_LENGTH)]


def is_model_name(name: str) -> bool:
    """Whether ``name`` can name a model; no part of it is hidden or leads out of its folder."""
    if len(name) > MAX_LENGTH or re.fullmatch(PATTERN, name, re.ASCII) is None:
        return False
    return not any(part.startswith(".") for part in name.split("/"))
