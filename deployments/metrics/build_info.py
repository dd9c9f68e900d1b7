"""The versions of this service and of what it is built on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from deployments.metrics import signals
from deployments.metrics.report import MetricSample

PACKAGES = ("prsm-serve", "ray", "transformers", "torch")


def build_info() -> MetricSample:
    """The gauge that is always 1. Versions are read from metadata: nothing is imported."""
    versions = (_version(name) for name in PACKAGES)
    return signals.BUILD_INFO.of(*versions, platform.python_version())


def _version(package: str) -> str:
    """Code that came by ``working_dir`` or ``PYTHONPATH`` is not installed, and has no version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return signals.UNKNOWN
