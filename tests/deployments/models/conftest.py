"""What tests of devices and of loading share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import torch

from deployments.models.memory import MemoryUse
from deployments.seam.orders import OwnOrders
from tests.deployments.models.devices import Sight
from tests.deployments.models.storehouse import SIZES_GB, Storehouse


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


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Storehouse]:
    made = Storehouse()
    monkeypatch.setattr(
        "deployments.models.load_thread.memory_use", lambda: MemoryUse(made.held, 0)
    )
    yield made
    for name in SIZES_GB:
        made.open(name)
        made.deliver(name)


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> OwnOrders:
    """One book of orders for every replica that starts."""
    made = OwnOrders()
    monkeypatch.setattr("deployments.models.order_follower.orders_here", lambda: made)
    return made
