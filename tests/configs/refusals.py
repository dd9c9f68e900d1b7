"""What a profile that cannot be loaded is refused with."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.profile_file import load_profile


def refusal(reference: str | Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_profile(reference)
    return str(caught.value)
