"""The versions of this service and of what it is built on."""

from __future__ import annotations

import platform
from importlib.metadata import version

from deployments.metrics import signals
from deployments.metrics.report import MetricSample

PACKAGES = ("prsm-serve", "ray", "transformers", "torch")


def build_info() -> MetricSample:
    """The gauge that is always 1. Versions are read from metadata: nothing is imported."""
    versions = (version(name) for name in PACKAGES)
    return signals.BUILD_INFO.of(*versions, platform.python_version())
