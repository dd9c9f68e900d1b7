from __future__ import annotations

import logging
import random

import pytest
import torch

from deployments.engine.codec import TextCodec
from deployments.engine.cuda_graphs import Compute
from deployments.engine.kv_blocks import BlockPool, BlockTable
from deployments.engine.packed_model import PackedModel
from deployments.engine.settings import EngineSettings
from deployments.engine.step_plan import Chunk
from deployments.engine.torch_engine import engine_of
from tests.deployments.engine.reading import Reader
from tests.deployments.engine.test_paged_kv_cache import ReferenceCache
from tests.deployments.engine.tiny_models import assert_greedy, tiny

WINDOW = 320
SLOTS = 6


class Twin:
    """Stands in for the capture of CUDA graphs: computes the same buffers anew at each replay."""

    def __init__(self) -> None:
        self.replays: list[int] = []

    def capture(self, compute: Compute) -> Compute:
        def replay() -> torch.Tensor:
            logits = compute()
            self.replays.append(len(logits))
            return logits

        return replay


class Decoding:
    """Sequences in a model with graphs, some of which cross a page."""

    def __init__(self, lengths: list[int], kind: str = "llama") -> None:
        self.twin = Twin()
        self.packed = PackedModel.of(
            tiny(kind, positions=WINDOW).eval(),
            WINDOW,
            SLOTS,
            None,
            kinds=[ReferenceCache],
            capture=self.twin.capture,
        )
        self.twin.replays.clear()
        cache = self.packed.cache
        pool = BlockPool(cache.blocks, cache.block_tokens, contiguous=False)
        source = random.Random(3)
        self.tables = [
            BlockTable(pool, [source.randrange(256) for _ in range(length)]) for length in lengths
        ]
        self.prefill()

    def prefill(self) -> torch.Tensor:
        return self.step([Chunk(each, 0, len(each.token_ids)) for each in self.tables])

    def step(self, chunks: list[Chunk]) -> torch.Tensor:
        for each in chunks:
            each.table.reserve(each.last)
        logits = self.packed.forward(self.packed.packed(chunks)).clone()
        for each in chunks:
            each.table.advance(each.last)
        return logits

    def decode(self, rows: int) -> list[Chunk]:
        """The next token of the first sequences."""
        for each in self.tables[:rows]:
            each.token_ids.append(7)
        return [Chunk(each, each.computed, each.computed + 1) for each in self.tables[:rows]]

    def eager(self, chunks: list[Chunk]) -> torch.Tensor:
        """The same step without graphs."""
        graphs, self.packed.graphs = self.packed.graphs, None
        logits = self.packed.forward(self.packed.packed(chunks))
        self.packed.graphs = graphs
        return logits


@pytest.mark.parametrize("kind", ["llama", "sliding"])
def test_graphs_compute_what_the_model_computes_for_any_number_of_rows(kind: str) -> None:
    decoding = Decoding([255, 3, 256, 40, 1, 254], kind)
    for rows, size in [(6, 6), (3, 4), (5, 6), (1, 1), (2, 2), (4, 4)]:
        chunks = decoding.decode(rows)
        torch.testing.assert_close(decoding.step(chunks), decoding.eager(chunks))
        assert decoding.twin.replays == [size]
        decoding.twin.replays.clear()


def test_steps_with_prompts_are_computed_without_graphs() -> None:
    decoding = Decoding([30, 5])
    assert decoding.twin.replays == []
    (chunk,) = decoding.decode(1)
    decoding.tables[1].token_ids += [4, 5]
    decoding.step([chunk, Chunk(decoding.tables[1], 5, 7)])
    decoding.tables[1].token_ids += [4, 5]
    decoding.step([Chunk(decoding.tables[1], 7, 8)])  # a piece of a prompt, of one token
    assert decoding.twin.replays == []


def test_padding_changes_nothing_but_the_page_that_belongs_to_nobody() -> None:
    decoding = Decoding([20, 20, 20, 20, 20])
    cache = decoding.packed.cache
    assert isinstance(cache, ReferenceCache)
    pages = [tensor[: cache.blocks] for tensor in (*cache._keys, *cache._values)]
    chunks = decoding.decode(5)
    decoding.step(chunks)
    used = [slot for each in decoding.tables for slot in each.slots(0, 21)]
    for each in pages:
        flat = each.flatten(0, 1)
        written = flat.abs().sum(dim=(1, 2)).nonzero()[:, 0].tolist()
        assert sorted(written) == sorted(used)


def test_a_capture_that_fails_leaves_the_model_without_graphs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(compute: Compute) -> Compute:
        raise RuntimeError("operation not permitted when stream is capturing")

    with caplog.at_level(logging.WARNING):
        packed = PackedModel.of(
            tiny("llama").eval(), 128, 2, None, kinds=[ReferenceCache], capture=refuse
        )
    assert packed.graphs is None
    assert "not permitted when stream is capturing" in caplog.text


def test_graphs_that_compute_something_else_are_not_used(caplog: pytest.LogCaptureFixture) -> None:
    def wrong(compute: Compute) -> Compute:
        return lambda: torch.rand_like(compute())

    with caplog.at_level(logging.WARNING):
        packed = PackedModel.of(
            tiny("llama").eval(), 128, 2, None, kinds=[ReferenceCache], capture=wrong
        )
    assert packed.graphs is None
    assert "the logits of a graph are" in caplog.text


def test_an_engine_with_graphs_says_what_generate_says(byte_codec: TextCodec) -> None:
    model, twin = tiny("llama", positions=WINDOW).eval(), Twin()
    packed = PackedModel.of(model, WINDOW, 4, None, kinds=[ReferenceCache], capture=twin.capture)
    settings = EngineSettings(slots=4)
    engine = engine_of(model, byte_codec, WINDOW, settings, packed=packed, overlap=True)
    engine.start()
    readers = [
        Reader(engine, list(range(1, 2 + 25 * n)), new=10 + n, temperature=0.0) for n in range(8)
    ]
    twin.replays.clear()
    for each in readers:
        each.start()
    for each in readers:
        assert each.wait().problem is None
    engine.close()
    assert twin.replays
    reference = tiny("llama", positions=WINDOW).eval()
    for each in readers:
        assert_greedy(reference, each)
