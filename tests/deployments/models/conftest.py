"""What tests of devices and of loading share."""

from __future__ import annotations

import pytest
import torch

from tests.deployments.models.devices import Sight


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch) -> Sight:
    """Sets which accelerators torch sees."""

    def see(*, cuda: bool = False, mps: bool = False, bfloat16: bool = True) -> None:
        def native(including_emulation: bool = True) -> bool:
            return bfloat16 or including_emulation

        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", native)
        monkeypatch.setattr("deployments.models.device.native_bfloat16", lambda: bfloat16)

    return see
