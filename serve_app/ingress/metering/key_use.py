"""What one request adds to the metrics of its API key."""

from __future__ import annotations

from deployments.metrics import signals
from deployments.metrics.report import MetricSample
from deployments.seam.tokens import TokenCounts
from serve_app.ingress.api_key import ApiKey


def key_samples(key: ApiKey, tokens: TokenCounts, *, success: bool) -> list[MetricSample]:
    """Only keys that the front knows get here, so clients cannot make labels."""
    samples = [signals.KEY_REQUESTS.of(key.name, "success" if success else "error")]
    if tokens.prompt:
        samples.append(signals.KEY_TOKENS_IN.of(key.name, amount=tokens.prompt))
    if tokens.completion:
        samples.append(signals.KEY_TOKENS_OUT.of(key.name, amount=tokens.completion))
    return samples
