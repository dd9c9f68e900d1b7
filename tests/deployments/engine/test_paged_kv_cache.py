from __future__ import annotations

import logging
import random
from collections.abc import Sequence as Listed
from typing import Any

import pytest
import torch
from torch.nn.attention import varlen

from deployments.engine.codec import TextCodec
from deployments.engine.dense_kv_cache import DenseKvCache
from deployments.engine.kv_blocks import BlockPool, BlockTable
from deployments.engine.kv_cache import AttentionOptions, LayerShape
from deployments.engine.packed_model import PackedModel
from deployments.engine.packed_step import PackedStep
from deployments.engine.packing_probe import NotPackable
from deployments.engine.paged_kv_cache import PagedKvCache, fits_kernel
from deployments.engine.settings import EngineSettings
from deployments.engine.step_plan import Chunk
from deployments.engine.torch_engine import engine_of
from tests.deployments.engine.reading import Reader
from tests.deployments.engine.tiny_models import assert_greedy, tiny
from tests.deployments.engine.varlen_reference import varlen_reference

CPU = torch.device("cpu")
PAGE = 256
SHAPES = [LayerShape(heads=2, key_size=8, value_size=8)]


class ReferenceCache(PagedKvCache):
    """Pages whose kernel is plain torch."""

    def __init__(
        self, shapes: Listed[LayerShape], blocks: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(shapes, blocks, dtype, device, varlen_reference)


class BrokenCache(PagedKvCache):
    """Pages whose kernel is wrong."""

    def __init__(
        self, shapes: Listed[LayerShape], blocks: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(shapes, blocks, dtype, device, lambda query, *_, **__: query * 0)


class BothCaches:
    """A paged and a dense cache with room for the same pages, which get the same steps."""

    def __init__(self, pages: int, options: AttentionOptions) -> None:
        self.pool = BlockPool(pages, PAGE, contiguous=False)
        self._paged = ReferenceCache(SHAPES, pages, torch.float32, CPU)
        self._dense = DenseKvCache(
            SHAPES, pages * PAGE // DenseKvCache.block_tokens, torch.float32, CPU
        )
        self._options = options

    def step(self, chunks: list[Chunk]) -> None:
        """Compute a step with random queries, keys and values on both; the outputs are equal."""
        for each in chunks:
            assert each.table.reserve(each.last)
        step = PackedStep.of(chunks, self._paged, CPU)
        tokens = step.slots.shape[0]
        query, key, value = (torch.randn(heads, tokens, 8) for heads in (6, 2, 2))
        outputs = [
            cache.attend(0, step, query, key, value, self._options)
            for cache in (self._paged, self._dense)
        ]
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
        for each in chunks:
            each.table.advance(each.last)


@pytest.mark.parametrize("window", [None, 1, 7, 300])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_pages_attend_to_what_the_dense_cache_attends_to(
    window: int | None, scaling: float | None
) -> None:
    torch.manual_seed(1)
    source = random.Random(2)
    caches = BothCaches(12, AttentionOptions(scaling, window))
    beginning = [source.randrange(99) for _ in range(PAGE)]
    tables = [BlockTable(caches.pool, [*beginning, number]) for number in range(3)]
    caches.step([Chunk(tables[0], 0, 130)])
    caches.step([Chunk(tables[0], 130, PAGE + 1)])
    for each in tables[1:]:
        each.match_prefix()
        assert each.computed == PAGE
    caches.step([Chunk(each, PAGE, PAGE + 1) for each in tables[1:]])
    tables.append(BlockTable(caches.pool, [5]))
    for _ in range(12):
        chunks = []
        for each in source.sample(tables, source.randrange(1, 5)):
            more = source.choice((1, 1, 40, 90))
            each.token_ids += [source.randrange(99) for _ in range(more)]
            chunks.append(Chunk(each, each.computed, len(each.token_ids)))
        caches.step(chunks)


def test_steps_that_only_decode_attend_to_what_the_dense_cache_attends_to() -> None:
    torch.manual_seed(1)
    caches = BothCaches(4, AttentionOptions(window=300))
    tables = [BlockTable(caches.pool, list(range(length))) for length in (1, 30, 254)]
    caches.step([Chunk(each, 0, len(each.token_ids)) for each in tables])
    for token in range(4):
        for each in tables:
            each.token_ids.append(token)
        caches.step([Chunk(each, each.computed, each.computed + 1) for each in tables])


@pytest.mark.parametrize(
    ("shape", "dtype", "fits"),
    [
        (LayerShape(8, 128, 128), torch.bfloat16, True),
        (LayerShape(8, 256, 256), torch.float16, True),
        (LayerShape(8, 128, 128), torch.float32, False),
        (LayerShape(8, 192, 128), torch.bfloat16, False),
        (LayerShape(8, 264, 264), torch.bfloat16, False),
        (LayerShape(8, 20, 20), torch.bfloat16, False),
    ],
)
def test_the_kernel_takes_half_precision_and_heads_of_some_sizes(
    shape: LayerShape, dtype: torch.dtype, fits: bool
) -> None:
    assert fits_kernel([LayerShape(8, 64, 64), shape], dtype) is fits


def test_the_cache_takes_its_blocks_and_one_page_for_padding() -> None:
    cache = ReferenceCache(SHAPES, 3, torch.float32, CPU)
    assert cache.nbytes == (3 + 1) * PAGE * 2 * (8 + 8) * 4


@pytest.mark.parametrize("window", [None, 7])
def test_torchs_own_function_takes_these_arguments(window: int | None) -> None:
    meta = torch.device("meta")
    cache = PagedKvCache(SHAPES, 3, torch.bfloat16, meta)
    step = _two_sequences(cache)
    query, key, value = (
        torch.empty(heads, 5, 8, dtype=torch.bfloat16, device=meta) for heads in (6, 2, 2)
    )
    out = cache.attend(0, step, query, key, value, AttentionOptions(0.3, window))
    assert out.shape == (5, 6, 8)


def test_torchs_own_function_calls_flash_attention() -> None:
    # Its other backend refuses block tables and fewer key heads than heads.
    assert not varlen._should_use_cudnn(0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("lengths", [(300, 5), (1, 1)])
def test_the_kernel_computes_what_plain_torch_computes(
    window: int | None, lengths: tuple[int, int]
) -> None:
    torch.manual_seed(1)
    device = torch.device("cuda")
    cache = PagedKvCache(SHAPES, 4, torch.bfloat16, device)
    twin = PagedKvCache(SHAPES, 4, torch.float32, CPU, varlen_reference)
    outputs = []
    tensors = [torch.randn(heads, sum(lengths), 8) for heads in (6, 2, 2)]
    for each in (cache, twin):
        query, key, value = (tensor.to(each._keys[0]) for tensor in tensors)
        step = _two_sequences(each, lengths)
        outputs.append(each.attend(0, step, query, key, value, AttentionOptions(0.3, window)))
    ours, theirs = (each.float().cpu() for each in outputs)
    torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_half_precision_model_on_a_gpu_gets_pages_and_graphs() -> None:
    model = _model("llama").to("cuda", torch.bfloat16)
    packed = PackedModel.of(model, 320, 4, None)
    assert isinstance(packed.cache, PagedKvCache)
    assert packed.graphs is not None


@pytest.mark.parametrize("kind", ["llama", "sliding", "qwen", "gpt2"])
def test_a_model_on_pages_says_what_generate_says(byte_codec: TextCodec, kind: str) -> None:
    engine = _engine(kind, byte_codec, slots=5, kinds=[ReferenceCache])
    source = random.Random(5)
    readers = [
        Reader(
            engine,
            [source.randrange(256) for _ in range(source.randrange(1, 280))],
            new=source.randrange(1, 40),
            temperature=0.0,
        )
        for _ in range(12)
    ]
    for each in readers:
        each.start()
    for each in readers:
        assert each.wait().problem is None
    engine.close()
    model = _model(kind)
    for each in readers:
        assert_greedy(model, each)


def test_a_model_for_which_pages_compute_something_else_gets_the_dense_cache(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        packed = PackedModel.of(_model("llama"), 320, 1, None, kinds=[BrokenCache, DenseKvCache])
    assert isinstance(packed.cache, DenseKvCache)
    assert "cannot use a paged KV cache: its packed logits are" in caplog.text


def test_a_model_that_bounds_its_scores_gets_the_dense_cache() -> None:
    packed = PackedModel.of(_model("softcap"), 320, 1, None, kinds=[ReferenceCache, DenseKvCache])
    assert isinstance(packed.cache, DenseKvCache)


def test_a_model_that_no_cache_suits_keeps_its_own_attention() -> None:
    model = _model("llama")
    own = model.config._attn_implementation
    with pytest.raises(NotPackable, match="standard deviations"):
        PackedModel.of(model, 320, 1, None, kinds=[BrokenCache])
    assert model.config._attn_implementation == own


def _two_sequences(cache: PagedKvCache, lengths: tuple[int, int] = (3, 2)) -> PackedStep:
    """All tokens of two sequences as a step on the cache's device."""
    pool = BlockPool(cache.blocks, PAGE, contiguous=False)
    chunks = [Chunk(BlockTable(pool, [7] * length), 0, length) for length in lengths]
    for each in chunks:
        assert each.table.reserve(each.last)
    return PackedStep.of(chunks, cache, cache._keys[0].device)


def _model(kind: str) -> Any:
    return tiny(kind, positions=320).eval()


def _engine(kind: str, codec: TextCodec, slots: int, kinds: list[Any]) -> Any:
    model, settings = _model(kind), EngineSettings(slots=slots, max_batched_tokens=64)
    packed = PackedModel.of(model, 320, slots, None, kinds=kinds)
    engine = engine_of(model, codec, 320, settings, packed=packed)
    engine.start()
    return engine
