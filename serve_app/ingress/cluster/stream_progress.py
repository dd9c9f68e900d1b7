"""The delivered tokens of a stream, behind which another replica continues if one is lost."""

from __future__ import annotations

from dataclasses import replace

from deployments.seam.generation import GenerationRequest, TokenChunk


class StreamProgress:
    """The tokens of one request that have reached the ingress, by choice."""

    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self._tokens: list[list[int]] = [[] for _ in range(request.choices)]
        self._finished = [False] * request.choices

    def add(self, chunk: TokenChunk) -> None:
        for token in chunk.tokens:
            self._tokens[token.choice].append(token.token_id)
            self._finished[token.choice] |= token.finish_reason is not None

    @property
    def complete(self) -> bool:
        return all(self._finished)

    def remaining(self) -> GenerationRequest:
        """The request for the missing tokens: the same, with the tokens that were delivered."""
        pairs = zip(self._tokens, self._finished, strict=True)
        delivered = tuple(None if finished else tuple(tokens) for tokens, finished in pairs)
        return replace(self._request, delivered=delivered)
