"""The loader protocol: how the model cache downloads, loads and unloads a family's models."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeVar

from configs.profile import ModelSpec
from configs.weights import DtypeChoice

M = TypeVar("M")


class ModelLoader(Protocol[M]):
    """How the models of one family are downloaded, loaded and unloaded.

    :class:`~deployments.models.cache.ModelCache` calls ``fetch``, ``prepare``, ``load`` and
    ``unload`` in its threads, where they may block for minutes, and the others on the calling
    thread.
    """

    def fetch(self, spec: ModelSpec) -> Path:
        """The folder of the model's files; downloads and converts what is missing.

        It is separate from ``load`` so that the stage can be reported and the size of the files
        compared with the budget before loading.
        """
        ...

    def prepare(self, spec: ModelSpec) -> None:
        """Import the libraries that ``load`` needs, so that their memory is not counted as the
        model's."""
        ...

    def load(self, spec: ModelSpec) -> M:
        """The model, ready to answer. Raises whatever its libraries raise."""
        ...

    def unload(self, model: M) -> None:
        """Release the model, its threads, processes and memory."""
        ...

    def is_dead(self, model: M) -> bool:
        """Whether the model stopped by itself and has to be loaded again. Does not block."""
        ...

    def process_id(self, model: M) -> int | None:
        """The process that runs only this model, whose memory counts as the model's."""
        ...

    def kv_cache_bytes(self, spec: ModelSpec, model: M) -> int:
        """Bytes that the model's KV cache may take beside what loading it took."""
        ...

    def engine_name(self, spec: ModelSpec, model: M) -> str:
        """The engine that runs the model, also where the profile allows several."""
        ...

    def dtype_choice(self, spec: ModelSpec) -> DtypeChoice | None:
        """The dtype that the model computes in on this node, and what was measured to choose it;
        ``None`` where that is not told. Does not measure anew."""
        ...

    def slots(self, model: M) -> int | None:
        """How many sequences a text generator decodes together; ``None`` for other models."""
        ...

    def computes_in_half(self, spec: ModelSpec) -> bool:
        """Whether torch keeps the weights in two bytes each (bfloat16 or float16).

        A float32 file then takes half of its size in memory.
        """
        ...
