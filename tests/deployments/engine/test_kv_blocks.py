from __future__ import annotations

import random

import pytest

from deployments.engine.kv_blocks import BlockPool, BlockTable
from deployments.engine.prefix_counts import PrefixCounts

SIZE = 4


def pool(blocks: int = 8, *, contiguous: bool = False) -> BlockPool:
    return BlockPool(blocks, SIZE, contiguous=contiguous)


def filled(of: BlockPool, token_ids: list[int]) -> BlockTable:
    """A table whose tokens are all computed, but for what other tables hold already."""
    table = BlockTable(of, token_ids)
    table.match_prefix()
    assert table.reserve(len(token_ids))
    table.advance(len(token_ids))
    return table


def test_a_table_takes_blocks_as_it_grows_and_gives_them_back() -> None:
    blocks = pool()
    table = BlockTable(blocks, list(range(9)))
    assert table.reserve(4)
    assert blocks.used == 1
    assert table.reserve(9)
    assert blocks.used == 3
    table.release()
    assert (blocks.used, table.computed) == (0, 0)


def test_a_full_pool_reserves_nothing_more() -> None:
    blocks = pool(2)
    assert BlockTable(blocks, list(range(8))).reserve(8)
    assert not BlockTable(blocks, [1]).reserve(1)


def test_a_prefix_is_shared_in_whole_blocks_while_it_is_in_use() -> None:
    blocks = pool()
    first = filled(blocks, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    second = BlockTable(blocks, [1, 2, 3, 4, 5, 6, 7, 8, 10])
    second.match_prefix()
    assert (second.computed, second.blocks) == (8, first.blocks[:2])
    assert blocks.used == 3
    first.release()
    assert blocks.used == 2


def test_a_released_prefix_is_found_until_its_blocks_are_needed() -> None:
    blocks = pool(3)
    filled(blocks, [1, 2, 3, 4, 5]).release()
    again = BlockTable(blocks, [1, 2, 3, 4, 9])
    again.match_prefix()
    assert again.computed == 4
    again.release()
    assert BlockTable(blocks, list(range(20, 32))).reserve(12)
    late = BlockTable(blocks, [1, 2, 3, 4, 9])
    late.match_prefix()
    assert late.computed == 0


def test_the_least_recently_released_prefix_is_forgotten_first() -> None:
    blocks = pool(3)
    old, new = filled(blocks, [1] * 4), filled(blocks, [2] * 4)
    old.release()
    new.release()
    filled(blocks, [1] * 4 + [5]).release()  # uses the old one again
    assert BlockTable(blocks, [7, 7, 7, 7, 7]).reserve(5)
    found = []
    for token in (1, 2):
        table = BlockTable(blocks, [token] * 5)
        table.match_prefix()
        found.append(table.computed)
    assert found == [4, 0]


def test_one_token_is_always_left_to_compute() -> None:
    blocks = pool()
    filled(blocks, [1] * 8)
    same = BlockTable(blocks, [1] * 8)
    same.match_prefix()
    assert same.missing == 4


def test_equal_blocks_behind_different_prefixes_are_not_confused() -> None:
    blocks = pool()
    filled(blocks, [1, 2, 3, 4, 5, 6, 7, 8])
    other = BlockTable(blocks, [9, 9, 9, 9, 5, 6, 7, 8, 0])
    other.match_prefix()
    assert other.computed == 0


def test_a_block_is_found_only_when_it_is_computed_and_full() -> None:
    blocks = pool()
    table = BlockTable(blocks, [1, 2, 3, 4, 5])
    table.reserve(5)
    same = BlockTable(blocks, [1, 2, 3, 4, 6])
    same.match_prefix()
    assert same.computed == 0
    table.advance(3)
    same.match_prefix()
    assert same.computed == 0
    table.advance(4)
    same.match_prefix()
    assert same.computed == 4


def test_generated_tokens_are_found_like_those_of_a_prompt() -> None:
    blocks = pool()
    table = filled(blocks, [1, 2])
    for token in (3, 4, 5):
        table.token_ids.append(token)
        table.reserve(len(table.token_ids))
        table.advance(len(table.token_ids))
    turn = BlockTable(blocks, [1, 2, 3, 4, 9])
    turn.match_prefix()
    assert turn.computed == 4


def test_neighbouring_blocks_are_one_extent() -> None:
    table = filled(pool(contiguous=True), list(range(11)))
    (extent,) = table.extents(10)
    assert extent[1] - extent[0] == 10
    assert table.slots(0, 11) == list(range(extent[0], extent[0] + 11))


def test_two_growing_sequences_leave_each_other_room() -> None:
    blocks = pool(16, contiguous=True)
    tables = [filled(blocks, [index]) for index in (1, 2)]
    for length in range(2, 17):
        for table in tables:
            table.token_ids.append(length)
            assert table.reserve(length)
    assert [len(table.extents(16)) for table in tables] == [1, 1]


def test_extents_name_the_slots_of_scattered_blocks_in_order() -> None:
    blocks = pool(contiguous=False)
    one, other = BlockTable(blocks, list(range(8))), BlockTable(blocks, list(range(8)))
    for tokens in (4, 8):
        one.reserve(tokens)
        other.reserve(tokens)
    slots = [slot for first, last in one.extents(7) for slot in range(first, last)]
    assert slots == one.slots(0, 7)
    assert len(one.extents(7)) == 2


@pytest.mark.parametrize("contiguous", [False, True])
def test_random_sequences_never_share_what_differs_and_lose_no_block(*, contiguous: bool) -> None:
    random_source = random.Random(7)
    blocks = pool(24, contiguous=contiguous)
    content: dict[int, tuple[int, ...]] = {}
    tables: list[BlockTable] = []
    for _ in range(4000):
        if tables and (random_source.random() < 0.3 or len(tables) > 6):
            tables.pop(random_source.randrange(len(tables))).release()
            continue
        ids = [random_source.randrange(2) for _ in range(random_source.randrange(1, 30))]
        table = BlockTable(blocks, ids)
        table.match_prefix()
        for index in range(table.computed // SIZE):
            assert content[table.blocks[index]] == tuple(ids[: (index + 1) * SIZE])
        if not table.reserve(len(ids)):
            table.release()
            continue
        for index in range(table.computed // SIZE, len(ids) // SIZE):
            content[table.blocks[index]] = tuple(ids[: (index + 1) * SIZE])
        table.advance(len(ids))
        tables.append(table)
        held = {block for each in tables for block in each.blocks}
        assert blocks.used == len(held)
    for table in tables:
        table.release()
    assert blocks.used == 0


def test_tokens_that_are_looked_up_and_those_that_are_found_are_counted_once() -> None:
    blocks = pool()
    first = filled(blocks, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert blocks.prefix_counts == PrefixCounts(queries=9, hits=0)
    second = BlockTable(blocks, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11])
    second.match_prefix()
    second.match_prefix()
    assert blocks.prefix_counts == PrefixCounts(queries=19, hits=8)
    second.release()  # to make room for others
    second.match_prefix()
    assert second.computed == 8
    assert blocks.prefix_counts == PrefixCounts(queries=19, hits=8)
    first.release()
    resumed = BlockTable(blocks, [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9], resumed=True)
    resumed.match_prefix()
    assert resumed.computed == 8
    assert blocks.prefix_counts == PrefixCounts(queries=19, hits=8)


def test_blocks_that_another_sequence_computes_meanwhile_count_as_found() -> None:
    blocks = pool()
    first = BlockTable(blocks, [1] * 13)
    second = BlockTable(blocks, [1] * 12 + [2])
    first.match_prefix()
    first.reserve(13)
    for computed in (4, 8, 12):
        first.advance(computed)
        second.match_prefix()
    assert blocks.prefix_counts == PrefixCounts(queries=26, hits=12)
