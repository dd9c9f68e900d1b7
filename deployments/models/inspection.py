"""Inspects models that are asked for by name, for the ingress, which may not see their files."""

from __future__ import annotations

import asyncio

from configs.detection import (
    DetectedModel,
    Inspection,
    ModelNotThereError,
    ModelRefusedError,
    inspect_model,
)
from configs.weights import WeightsError
from deployments.models.config import FamilyConfig
from deployments.seam.problems import Problem


async def inspected(request: Inspection, config: FamilyConfig) -> DetectedModel | Problem:
    """What the model is, or why it cannot be served. Files are read in a thread."""
    settings = config.settings
    try:
        return await asyncio.to_thread(
            inspect_model, request, settings.hf_cache_dir, settings.token
        )
    except ModelNotThereError:
        return Problem("not_found", "There is no such model.")
    except ModelRefusedError as error:
        return Problem("validation", str(error))
    except WeightsError as error:
        return Problem("unavailable", str(error))
