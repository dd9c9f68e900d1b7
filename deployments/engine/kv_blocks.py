"""KV cache blocks: which are free, which sequences share, and which hold prefixes to reuse.

This is the bookkeeping of paged attention (Kwon et al., SOSP 2023, arXiv:2309.06180), without the
tensors: a block is a number. A full block is found again by the hash of its tokens and of all
before them.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator
from collections.abc import Sequence as Listed
from hashlib import blake2b

import numpy as np

from deployments.engine.prefix_counts import PrefixCounts

BlockHash = bytes
"""Identifies a full block by its tokens and by all tokens before it. Not to be guessed or forged:
another client's prompt must not match by accident."""


def block_hash(before: BlockHash, token_ids: Listed[int]) -> BlockHash:
    """The hash of a full block whose predecessor has the hash ``before``, empty for the first."""
    return blake2b(before + array("q", token_ids).tobytes(), digest_size=16).digest()


class BlockPool:
    """``blocks`` blocks of ``block_tokens`` tokens each, shared by reference counts.

    A released block that was registered under a hash keeps its content and can be found again,
    until it is allocated for something else: unregistered blocks first, then the least recently
    released ones. With ``contiguous`` a sequence gets neighbouring blocks where that is possible,
    so that its keys and values can be read without copying them together.
    """

    def __init__(self, blocks: int, block_tokens: int, *, contiguous: bool) -> None:
        self.blocks = blocks
        self.block_tokens = block_tokens
        self.prefix_counts = PrefixCounts()
        self._contiguous = contiguous
        self._references = [0] * blocks
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(blocks))
        self._empty = np.ones(blocks, np.bool_)  # free, and not registered
        self._hashes: dict[int, BlockHash] = {}
        self._by_hash: dict[BlockHash, int] = {}

    @property
    def used(self) -> int:
        """Blocks that belong to sequences."""
        return self.blocks - len(self._free)

    def needed(self, tokens: int) -> int:
        """How many blocks hold so many tokens."""
        return -(-tokens // self.block_tokens)

    def count_prefix(self, queries: int, hits: int) -> None:
        """Count tokens that a table has looked up, and those that other tables had."""
        so_far = self.prefix_counts
        self.prefix_counts = PrefixCounts(so_far.queries + queries, so_far.hits + hits)

    def allocate(self, after: int | None = None) -> int | None:
        """A block for new tokens, behind the block ``after`` if possible; ``None`` if all are used.

        A prefix that it held is forgotten.
        """
        if not self._free:
            return None
        block = self._choose(after)
        self._take(block)
        self._unregister(block)
        return block

    def find(self, key: BlockHash) -> int | None:
        """Share the block that is registered under ``key``; ``None`` when there is none."""
        block = self._by_hash.get(key)
        if block is not None:
            self._take(block)
        return block

    def register(self, block: int, key: BlockHash) -> None:
        """From now on ``block`` is found by ``key``, unless another one is already."""
        if key not in self._by_hash and block not in self._hashes:
            self._by_hash[key] = block
            self._hashes[block] = key

    def release(self, blocks: Listed[int]) -> None:
        """Give up one reference to each of the blocks."""
        for block in blocks:
            self._references[block] -= 1
            if self._references[block]:
                continue
            self._free[block] = None
            if block not in self._hashes:
                self._free.move_to_end(block, last=False)
                self._empty[block] = True

    def _choose(self, after: int | None) -> int:
        if self._contiguous:
            if after is not None and after + 1 in self._free:
                return after + 1
            gap = self._largest_gap()
            if gap is not None:
                first, length = gap
                return first + length // 2  # both neighbours keep room to grow
        return next(iter(self._free))

    def _largest_gap(self) -> tuple[int, int] | None:
        """The first block and the length of the longest run of empty blocks."""
        edges = np.flatnonzero(np.diff(self._empty, prepend=False, append=False))
        if not edges.size:
            return None
        firsts, lengths = edges[::2], edges[1::2] - edges[::2]
        longest = int(lengths.argmax())
        return int(firsts[longest]), int(lengths[longest])

    def _take(self, block: int) -> None:
        self._free.pop(block, None)
        self._empty[block] = False
        self._references[block] += 1

    def _unregister(self, block: int) -> None:
        key = self._hashes.pop(block, None)
        if key is not None:
            del self._by_hash[key]


class BlockTable:
    """The blocks of one sequence, and how many of its tokens they hold.

    ``token_ids`` are all tokens of the sequence, the caller appends to them. ``computed`` of them
    have their keys and values in the blocks. ``resumed`` tables are of sequences that were counted
    as queries of the prefix cache before.
    """

    def __init__(self, pool: BlockPool, token_ids: list[int], *, resumed: bool = False) -> None:
        self.token_ids = token_ids
        self.blocks: list[int] = []
        self.computed = 0
        self._pool = pool
        self._hashes: list[BlockHash] = []
        self._registered = 0
        self._queried = resumed
        self._reached = len(token_ids) if resumed else 0

    @property
    def missing(self) -> int:
        """Tokens whose keys and values are still to be computed."""
        return len(self.token_ids) - self.computed

    def hash_at(self, index: int) -> BlockHash | None:
        """The hash of the block number ``index`` of this sequence; ``None`` if it is not full."""
        size = self._pool.block_tokens
        while len(self._hashes) <= index:
            first = len(self._hashes) * size
            tokens = self.token_ids[first : first + size]
            if len(tokens) < size:
                return None
            self._hashes.append(block_hash(self._hashes[-1] if self._hashes else b"", tokens))
        return self._hashes[index]

    def next_hashes(self) -> Iterator[BlockHash]:
        """The hashes of the full blocks that are still to be computed."""
        index = self.computed // self._pool.block_tokens
        while (found := self.hash_at(index)) is not None:
            yield found
            index += 1

    def match_prefix(self) -> None:
        """Share the blocks of other sequences that hold the next tokens.

        At least one token is left to compute, for its logits are wanted.
        """
        size, first = self._pool.block_tokens, self.computed
        while self.computed == len(self.blocks) * size and self.missing > size:
            key = self.hash_at(len(self.blocks))
            block = None if key is None else self._pool.find(key)
            if block is None:
                break
            self.blocks.append(block)
            self.computed += size
            self._registered = len(self.blocks)
        self._count_found(first)

    def _count_found(self, first: int) -> None:
        """Count the tokens from ``first`` on as found, unless they were counted before.

        A sequence is one query, of all tokens that it has when it first looks; one that gave up
        its blocks finds them again without being another.
        """
        queries = 0 if self._queried else len(self.token_ids)
        hits = max(0, self.computed - max(first, self._reached))
        if queries or hits:
            self._pool.count_prefix(queries, hits)
        self._queried, self._reached = True, max(self._reached, self.computed)

    def reserve(self, tokens: int) -> bool:
        """Have blocks for the first ``tokens`` tokens; false when the pool has too few."""
        while len(self.blocks) < self._pool.needed(tokens):
            block = self._pool.allocate(self.blocks[-1] if self.blocks else None)
            if block is None:
                return False
            self.blocks.append(block)
        return True

    def advance(self, computed: int) -> None:
        """The first ``computed`` tokens are in the blocks now; others can find full blocks."""
        self.computed = computed
        self._reached = max(self._reached, computed)
        for index in range(self._registered, computed // self._pool.block_tokens):
            key = self.hash_at(index)
            if key is not None:
                self._pool.register(self.blocks[index], key)
                self._registered = index + 1

    def release(self) -> None:
        """Give the blocks back; their tokens would have to be computed, or found, again."""
        self._pool.release(self.blocks)
        self.blocks, self.computed, self._registered = [], 0, 0

    def extents(self, tokens: int) -> list[tuple[int, int]]:
        """The slots of the first ``tokens`` tokens: a range for each run of neighbouring blocks."""
        size, runs = self._pool.block_tokens, list[tuple[int, int]]()
        for block in self.blocks[: self._pool.needed(tokens)]:
            if runs and runs[-1][1] == block * size:
                runs[-1] = (runs[-1][0], runs[-1][1] + size)
            else:
                runs.append((block * size, (block + 1) * size))
        excess = self._pool.needed(tokens) * size - tokens
        if excess:
            runs[-1] = (runs[-1][0], runs[-1][1] - excess)
        return runs

    def slots(self, first: int, last: int) -> list[int]:
        """The places of the tokens ``first`` to ``last`` (exclusive) in the KV cache."""
        size = self._pool.block_tokens
        return [self.blocks[at // size] * size + at % size for at in range(first, last)]
