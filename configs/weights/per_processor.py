"""What is made of weights once for each processor: exports of encoders, choices of a dtype."""

from __future__ import annotations

import logging
from pathlib import Path

from configs.engines import ModelHead
from configs.processor import native_bfloat16
from configs.weights.cache import WeightsCache
from configs.weights.delivery import NotFinishedError, ReadOnlyCache, WeightsDelivery
from configs.weights.dtypes import DtypeChoice
from configs.weights.errors import ConversionFailedError, WeightsError
from configs.weights.exports import Export
from configs.weights.progress import Console, WeightsProgress
from configs.weights.sources import WeightsSource

logger = logging.getLogger(__name__)


def exported(
    source: WeightsSource,
    head: ModelHead,
    cache_dir: Path,
    *,
    token: str | None = None,
    progress: WeightsProgress | None = None,
) -> Export:
    """The OpenVINO export of the encoder ``source``; exported and timed against torch if need be.

    That is done once for each version of OpenVINO and each processor, in a process of its own. That
    a model cannot be exported is cached as well. A conversion that crashes is tried again next
    time.

    Raises:
        WeightsError: the weights themselves cannot be fetched.
    """
    delivery = WeightsDelivery(WeightsCache(cache_dir), token, progress or Console())
    delivery.deliver(source)
    try:
        export = Export.read(delivery.export(source, head))
    except ConversionFailedError as error:
        logger.warning("no export for OpenVINO this time: %s", error)
        export = Export(None, "its conversion broke down")
    delivery.announce_ready(source)
    return export


def is_exported(source: WeightsSource, head: ModelHead, cache_dir: Path) -> bool:
    """Whether ``exported`` would neither fetch nor convert anything."""
    try:
        WeightsDelivery(ReadOnlyCache(cache_dir), None, lambda _: None).export(source, head)
    except (NotFinishedError, WeightsError):
        return False
    return True


def fastest_dtype(
    source: WeightsSource,
    cache_dir: Path,
    *,
    token: str | None = None,
    progress: WeightsProgress | None = None,
) -> DtypeChoice:
    """The dtype for the text generator ``source`` on OpenVINO; measured if need be.

    That is done once for each version of OpenVINO and each processor with bfloat16 arithmetic, in a
    process of its own; others have float32 alone. After a measurement that breaks down the model
    computes in float32, and the next load tries again.

    Raises:
        WeightsError: the weights themselves cannot be fetched.
    """
    delivery = WeightsDelivery(WeightsCache(cache_dir), token, progress or Console())
    delivery.deliver(source)
    choice = DtypeChoice("float32")
    try:
        if native_bfloat16():
            choice = DtypeChoice.read(delivery.measured_dtypes(source))
    except ConversionFailedError as error:
        logger.warning("float32 without a comparison this time: %s", error)
    delivery.announce_ready(source)
    return choice


def is_dtype_known(source: WeightsSource, cache_dir: Path) -> bool:
    """Whether ``fastest_dtype`` would neither fetch nor measure anything."""
    delivery = WeightsDelivery(ReadOnlyCache(cache_dir), None, lambda _: None)
    try:
        delivery.deliver(source)
        if native_bfloat16():
            delivery.measured_dtypes(source)
    except (NotFinishedError, WeightsError):
        return False
    return True
