"""What the sampler should do, written slowly: one row, float64, plain Python over all tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from deployments.engine.uniform import UniformNumbers
from deployments.seam.generation import Sampling


@dataclass(frozen=True)
class ReferenceRow:
    """One sequence; ``allowed`` are the tokens of its grammar, if it has one."""

    sampling: Sampling
    seed: int
    prompt_ids: tuple[int, ...] = ()
    generated: tuple[int, ...] = ()
    early_ends: frozenset[int] = field(default=frozenset())
    allowed: frozenset[int] | None = None

    def scores(self, logits: Iterable[float]) -> list[float]:
        """The logits after penalties, bias, grammar and minimum length."""
        plan, counts = self.sampling, Counter(self.generated)
        scores = list(logits)
        for token in {*self.prompt_ids, *self.generated}:
            factor = plan.repetition_penalty
            scores[token] = scores[token] * factor if scores[token] < 0 else scores[token] / factor
        for token, count in counts.items():
            scores[token] -= count * plan.frequency_penalty + plan.presence_penalty
        for token, bias in plan.logit_bias.items():
            scores[token] += bias
        everything = frozenset(range(len(scores)))
        allowed = everything if self.allowed is None else self.allowed
        remaining = (allowed - self.early_ends) or allowed
        return [x if token in remaining else -math.inf for token, x in enumerate(scores)]

    def probabilities(self, logits: Iterable[float]) -> list[float]:
        """What is left by temperature and the cuts, not normalised."""
        scores = [score / self.sampling.temperature for score in self.scores(logits)]
        best = max(scores)
        weights = [math.exp(score - best) for score in scores]
        if self.sampling.top_k:
            kth = sorted(weights, reverse=True)[: self.sampling.top_k][-1]
            weights = [weight if weight >= kth else 0.0 for weight in weights]
        if self.sampling.nucleus < 1.0:
            needed, reached = self.sampling.nucleus * math.fsum(weights), 0.0
            for weight in sorted(weights, reverse=True):
                last, reached = weight, reached + weight
                if reached >= needed:
                    break
            weights = [weight if weight >= last else 0.0 for weight in weights]
        weights = [w if w >= self.sampling.min_p * max(weights) else 0.0 for w in weights]
        return self._typical(weights) if self.sampling.typical_p < 1.0 else weights

    def _typical(self, weights: list[float]) -> list[float]:
        """The weights whose information is closest to the entropy."""
        whole = math.fsum(weights)
        entropy = -math.fsum(w / whole * math.log(w / whole) for w in weights if w)
        distances = [abs(math.log(w / whole) + entropy) if w else math.inf for w in weights]
        farthest = reached = 0.0
        for distance, weight in sorted(zip(distances, weights, strict=True)):
            farthest, reached = distance, reached + weight / whole
            if reached >= self.sampling.typical_p:
                break
        return [w if d <= farthest else 0.0 for w, d in zip(weights, distances, strict=True)]

    def token(self, logits: Iterable[float]) -> int:
        """The greedy token, or the one at the random number of the position."""
        if self.sampling.greedy:
            scores = self.scores(logits)
            return scores.index(max(scores))
        weights = self.probabilities(logits)
        at = UniformNumbers(self.seed).at(len(self.generated)) * math.fsum(weights)
        reached = 0.0
        for token, weight in enumerate(weights):
            reached += weight
            if reached > at:
                return token
        return max(token for token, weight in enumerate(weights) if weight)
