"""Text generation with a third engine beside the real ones: it computes nothing, at a steady pace.

Its texts last as long as a fault needs, also on a machine that is busy. Everything else is as it is
served: the family, its streams, and how they continue behind what was delivered.
"""

from __future__ import annotations

import random
import re

from bench.graph.generation import StubRunner
from configs.profile import ModelSpec
from deployments.engine.codec import TextCodec
from deployments.engine.engine_core import EngineCore
from deployments.engine.engine_loader import EngineLoader
from deployments.engine.interface import Engine
from deployments.engine.sequence import Sequence
from deployments.generation import Generation
from deployments.models.config import FamilyConfig

PACE = re.compile(r"^paced/(\d+)ms$")
"""The name of a model says how long a step takes."""


class PacedGeneration(Generation):
    """Generation with the real engines, and the paced one for models of its name."""

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config, PacedLoader(config))


class PacedLoader(EngineLoader):
    """Loads engines, and paced ones where a model's name says so."""

    def load(self, spec: ModelSpec) -> Engine:
        pace = PACE.match(spec.name)
        if pace is None:
            return super().load(spec)
        codec = TextCodec.from_folder(self._config.folder(spec), spec.chat_template)
        runner = PacedRunner(codec, int(pace[1]) / 1000)
        engine = EngineCore(codec, runner, slots=spec.slots or 1, window=spec.window or 1)
        engine.start()
        return engine


class PacedRunner(StubRunner):
    """Chooses a token by the sequence's prompt, seed and position alone, as a sampler does."""

    def _next(self, sequence: Sequence) -> int:
        seed = 0 if sequence.sampling.greedy else sequence.seed
        place = (seed, sequence.prompt_ids, len(sequence.generated))
        return random.Random(repr(place)).choice(self._words)
