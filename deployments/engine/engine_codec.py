"""Opens the codec of a torch engine, with the processor of images where the model reads any."""

from __future__ import annotations

from pathlib import Path

from deployments.engine.codec import TextCodec
from deployments.engine.settings import EngineSettings


def codec_of(folder: Path | str, settings: EngineSettings) -> TextCodec:
    """Raises ``EngineNotLoaded`` for a processor of images that cannot work here."""
    if not settings.reads_images:
        return TextCodec.from_folder(folder, settings.chat_template)
    from deployments.engine.image_inputs import ImageInputs  # imports torch, later

    trusted = bool(settings.options.get("trust_remote_code", False))
    images = ImageInputs.from_folder(Path(folder), trust_remote_code=trusted)
    return TextCodec.from_folder(folder, settings.chat_template, images)
