"""A generation family whose answers are the process ids of the replicas that give them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator

from bench.instant_loader import InstantLoader
from deployments.generation import Generation
from deployments.models.config import FamilyConfig
from deployments.seam.generation import FinishReason, GenerationRequest, Token, TokenChunk
from deployments.seam.problems import Problem

PAUSE_S = 0.05


class NamedGeneration(Generation):
    """Generation as it is served, but each token is the id of this process, after a pause."""

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config, InstantLoader(lambda spec: spec.name))  # type: ignore[arg-type]

    async def stream(
        self, request: GenerationRequest, *, admitted: bool = False, **_: object
    ) -> AsyncGenerator[TokenChunk | Problem, None]:
        """``max_new_tokens`` tokens, but for those that another replica has delivered."""
        last = (request.max_new_tokens or 1) - 1
        (delivered,) = request.delivered or ((),)
        async with self._models.use(request.model, admitted=admitted):
            for position in range(len(delivered or ()), last + 1):
                reason: FinishReason | None = "length" if position == last else None
                yield TokenChunk(1, (Token(0, position, 7, f"{os.getpid()} ", reason),))
                await asyncio.sleep(PAUSE_S)
