"""One text being decoded: takes token ids, delivers text deltas, decides when it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Ids
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from deployments.engine.codec import TextCodec
from deployments.engine.grammar.constraint import Constraint
from deployments.engine.stopping import StopScanner, ToolCallStopScanner
from deployments.models.fair_shares import NOBODY, Owner
from deployments.seam.generation import FinishReason, Sampling, Token, TokenLogprob, ToolCallMarkers
from deployments.seam.problems import Problem

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""Inputs of a model beside its tokens, by their names: ``pixel_values`` and others."""

NO_INPUTS: Arrays = MappingProxyType({})


def held_tokens(sequences: Iterable[Sequence]) -> int:
    """The tokens of these sequences so far; those of a prompt count once for all its choices."""
    prompts, generated = dict[int, int](), 0
    for sequence in sequences:
        prompts[id(sequence.prompt_ids)] = len(sequence.prompt_ids)
        generated += len(sequence.generated)
    return sum(prompts.values()) + generated


class Sequence:
    """One choice of one request.

    ``on_token`` gets every decoded :class:`Token`, ``on_failure`` at most one :class:`Problem`
    after which no token comes, ``on_admitted`` a call when the sequence gets its first slot. All
    are called on the engine's thread and must not block.

    ``resume_ids`` are tokens that another replica decoded and delivered: positions, bounds,
    penalties and text continue behind them, and they are not delivered again. Engines must not
    choose a token of ``eos_ids`` before there are ``min_new_tokens``. ``constraint`` belongs to
    this sequence alone and stands at the beginning of a text; the text ends where it is complete.
    ``inputs`` are the tensors of the prompt's images, by the names of the model's inputs.
    The scheduler shares slots among owners and their requests: sequences with the same
    ``request_id`` count as one.
    """

    def __init__(
        self,
        *,
        codec: TextCodec,
        prompt_ids: Ids[int],
        sampling: Sampling,
        max_new_tokens: int,
        min_new_tokens: int = 0,
        on_token: Callable[[Token], None],
        on_failure: Callable[[Problem], None],
        on_admitted: Callable[[], None] | None = None,
        stop: Iterable[str] = (),
        stop_after_tool_call: ToolCallMarkers | None = None,
        eos_ids: frozenset[int] | None = None,
        choice: int = 0,
        request_id: str = "",
        resume_ids: Ids[int] = (),
        constraint: Constraint | None = None,
        inputs: Arrays = NO_INPUTS,
        owner: Owner = NOBODY,
    ) -> None:
        self.prompt_ids = tuple(prompt_ids)
        self.inputs = inputs
        self.sampling = sampling
        self.max_new_tokens = max_new_tokens
        self.min_new_tokens = min_new_tokens
        self.eos_ids = codec.eos_ids if eos_ids is None else eos_ids
        self.choice = choice
        self.request_id = request_id
        self.owner = owner
        self.constraint = constraint
        self.stop = tuple(stop)
        self.stop_after_tool_call = stop_after_tool_call
        self.generated: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.cancelled = False
        self._on_token = on_token
        self._on_failure = on_failure
        self._on_admitted = on_admitted
        self._special_ids = codec.special_ids
        self._text = codec.stream(self.prompt_ids)
        self._stops = (
            StopScanner(self.stop)
            if stop_after_tool_call is None
            else ToolCallStopScanner(self.stop, stop_after_tool_call)
        )
        for token_id in resume_ids:
            self._take(token_id)

    @property
    def seed(self) -> int:
        """64 bits from the request's seed and the choice, so that choices differ."""
        entropy = [self.sampling.seed % 2**64, self.choice]
        return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])

    @property
    def scores_prompt(self) -> bool:
        """Whether the log-probabilities of the prompt's tokens are wanted with the next token."""
        return self.sampling.prompt_logprobs and self.choice == 0 and not self.generated

    @property
    def min_tokens_left(self) -> int:
        """How many tokens must still come before an end of sequence may be chosen."""
        return max(0, self.min_new_tokens - len(self.generated))

    @property
    def finished(self) -> bool:
        """Whether it is complete, cancelled or failed: it needs no slot any more."""
        return self.cancelled or self.finish_reason is not None

    def check_window(self, window: int) -> None:
        """Raise ``ValueError`` when prompt and new tokens do not fit a window of so many tokens."""
        prompt, new = len(self.prompt_ids), self.max_new_tokens
        if prompt == 0 or new < 1 or prompt + new > window:
            tokens = f"{prompt} prompt and {new} new tokens"
            raise ValueError(f"{tokens} do not fit a window of {window}")

    def admitted(self) -> None:
        """Tell ``on_admitted``, the first time this is called."""
        call, self._on_admitted = self._on_admitted, None
        if call is not None:
            call()

    def append(self, token_id: int, logprob: TokenLogprob | None = None) -> bool:
        """Take the next token and deliver it; true when the sequence is finished.

        An end-of-sequence token counts as a token and has no text. Raises ``ConstraintError``, and
        delivers nothing, for a token that the constraint does not allow.
        """
        position = len(self.generated)
        text = self._take(token_id)
        token = Token(
            self.choice,
            position,
            token_id,
            text,
            self.finish_reason,
            logprob,
            special=token_id in self._special_ids,
            stop_string=self._stops.found,
        )
        self._on_token(token)
        return self.finish_reason is not None

    def deliver(self, token: Token) -> None:
        """Take the next token with its text, as another process decoded it, and deliver it."""
        self.generated.append(token.token_id)
        self.finish_reason = token.finish_reason
        self._on_token(token)

    def fail(self, problem: Problem) -> None:
        """Report that no further token will come."""
        self._on_failure(problem)

    def _take(self, token_id: int) -> str:
        complete = self.constraint is not None and self.constraint.take(token_id)
        self.generated.append(token_id)
        if token_id in self.eos_ids:
            self.finish_reason = "stop"
            return self._rest()
        text, stopped = self._stops.push(self._text.push(token_id))
        if stopped:
            self.finish_reason = "stop"
        elif complete:
            self.finish_reason = "stop"
            text += self._rest()
        elif len(self.generated) >= self.max_new_tokens:
            self.finish_reason = "length"
            text += self._rest()
        return text

    def _rest(self) -> str:
        """The text that the detokenizer and the stop scanner still hold back."""
        text, stopped = self._stops.push(self._text.flush())
        if stopped:
            self.finish_reason = "stop"
            return text
        return text + self._stops.flush()
