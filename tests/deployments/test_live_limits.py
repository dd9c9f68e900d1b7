"""Which families have limits that change while they run, as the check of a profile knows it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import configs
from configs.profile_file import load_profile
from configs.rules import WITHOUT_LIMITS
from configs.settings import Settings
from deployments.batching.batcher import Batcher
from deployments.models.config import FamilyConfig

PROFILES = [load_profile(file) for file in Path(configs.__file__).parent.glob("*.yaml")]
SHIPPED = {family.deployment for profile in PROFILES for family in profile.families}


@pytest.mark.parametrize("deployment", sorted(SHIPPED | WITHOUT_LIMITS))
def test_only_families_that_form_batches_take_live_limits(deployment: str) -> None:
    module, _, name = deployment.partition(":")
    family = getattr(import_module(module), name)(FamilyConfig("family", (), Settings()))
    assert isinstance(family._limits, Batcher) is (deployment not in WITHOUT_LIMITS)
