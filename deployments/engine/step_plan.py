"""Plans one step of continuous batching: one token of each decoding sequence, and prompt chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from deployments.engine.kv_blocks import BlockHash, BlockPool, BlockTable
from deployments.engine.sequence import Sequence
from deployments.engine.tuning import MAX_SCORED_PREFILL


@dataclass(frozen=True, slots=True)
class Chunk:
    """The tokens ``first`` to ``last`` (exclusive) of a sequence, to be computed in a step.

    With ``scores`` the log-probabilities of its prompt's tokens are wanted.
    """

    table: BlockTable
    first: int
    last: int
    scores: bool = False

    @property
    def scored(self) -> int:
        """How many of the chunk's tokens, from its first, predict a prompt token whose
        log-probability is wanted."""
        return self.last - self.first - self.samples if self.scores else 0

    @property
    def samples(self) -> bool:
        """Whether the sequence's next token is sampled from its logits."""
        return self.last == len(self.table.token_ids)


class RunningSequence:
    """A running sequence, its tokens and its KV cache blocks.

    ``token_ids`` may be one token ahead of ``sequence.generated``: a token that was sampled and is
    not delivered yet.
    """

    def __init__(self, sequence: Sequence, pool: BlockPool) -> None:
        self.sequence = sequence
        self.token_ids = [*sequence.prompt_ids, *sequence.generated]
        self.table = BlockTable(pool, self.token_ids, resumed=bool(sequence.generated))
        self._max_tokens = len(sequence.prompt_ids) + sequence.max_new_tokens

    @property
    def scores_prompt(self) -> bool:
        """Whether the log-probabilities of the prompt's tokens are still wanted."""
        return self.sequence.scores_prompt and len(self.token_ids) == len(self.sequence.prompt_ids)

    @property
    def complete(self) -> bool:
        """Whether its last token ends it, as far as that is known before it is delivered."""
        sampled = len(self.token_ids) > len(self.sequence.prompt_ids)
        ended = sampled and self.token_ids[-1] in self.sequence.eos_ids
        return ended or len(self.token_ids) >= self._max_tokens


class StepPlanner:
    """Plans steps of at most ``max_tokens`` tokens.

    Every decoding sequence has its token in every step. Prompts are prefilled in chunks beside
    them; ``max_mixed`` bounds their tokens in a step with decoding sequences, so that these do not
    wait for long. The least served request is prefilled first. A prompt waits while another one
    with the same next block is prefilled, and shares that block then. One whose log-probabilities
    are wanted shares no blocks of others, and ``MAX_SCORED_PREFILL`` bounds the tokens of those.
    """

    def __init__(self, pool: BlockPool, max_tokens: int, max_mixed: int) -> None:
        self._pool = pool
        self._max_tokens = max_tokens
        self._max_mixed = min(max_mixed, max_tokens)

    def plan(
        self, running: Iterable[RunningSequence], served: Callable[[Sequence], tuple[float, ...]]
    ) -> dict[RunningSequence, Chunk]:
        """The chunk of each sequence that advances in the next step. Their blocks are reserved."""
        active = [each for each in running if not each.complete]
        decoding = [each for each in active if each.table.missing == 1]
        chunks = {each: chunk for each in decoding if (chunk := self._chunk(each.table, 1))}
        left = self._max_mixed if chunks else self._max_tokens
        prefilling = [each for each in active if each.table.missing > 1]
        prefilling.sort(key=lambda each: served(each.sequence))
        claimed = set[BlockHash]()
        left_to_score = MAX_SCORED_PREFILL
        for each in prefilling:
            if left <= 0:
                break
            if each.scores_prompt:
                chunk = self._chunk(each.table, min(left, left_to_score), scores=True)
                left_to_score -= chunk.last - chunk.first if chunk else 0
            else:
                chunk = self._prefill(each.table, left, claimed)
            if chunk is not None:
                chunks[each] = chunk
                left -= chunk.last - chunk.first
        if not chunks and active:
            self._make_room(active)
        return chunks

    def _prefill(self, table: BlockTable, limit: int, claimed: set[BlockHash]) -> Chunk | None:
        table.match_prefix()
        wanted = list(table.next_hashes())
        waits = wanted and wanted[0] in claimed and table.computed % self._pool.block_tokens == 0
        claimed.update(wanted)
        return None if waits else self._chunk(table, limit)

    def _chunk(self, table: BlockTable, limit: int, *, scores: bool = False) -> Chunk | None:
        """A chunk of at most ``limit`` tokens; ``None`` when there are no blocks for it."""
        if limit <= 0:
            return None
        total, size = len(table.token_ids), self._pool.block_tokens
        first, last = table.computed, min(table.computed + limit, total)
        if last < total and last - first > size:
            last -= last % size  # ends with a block, so that the next tokens may be shared
        return Chunk(table, first, last, scores) if table.reserve(last) else None

    def _make_room(self, active: list[RunningSequence]) -> None:
        """All wait for blocks, though together they should fit: the youngest gives up its own."""
        holders = [each for each in active if each.table.blocks]
        if len(holders) > 1:
            holders[-1].table.release()
