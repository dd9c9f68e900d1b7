"""What a vision-language model reads of a chat with images: token ids and the images' tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.engine.interface import EngineNotLoaded
from deployments.engine.sequence import Arrays
from deployments.images.decode import Picture
from deployments.images.preprocessing import CONTROL, INPUT_ERRORS, refuse_elongated
from deployments.models.load_errors import UnsupportedError
from deployments.seam.problems import Problem

_OF_TEXT = ("input_ids", "attention_mask")


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """The processor of a vision-language model, which makes tokens of texts and images.

    ``chat_template`` is the processor's own. Thread-safe.
    """

    processor: Any
    chat_template: str | None

    @classmethod
    def from_folder(cls, folder: Path, *, trust_remote_code: bool = False) -> ImageInputs:
        """Raises ``EngineNotLoaded`` for a processor that cannot work here."""
        import transformers  # imports torch

        auto: Any = transformers.AutoProcessor  # untyped
        try:
            processor = auto.from_pretrained(
                folder, local_files_only=True, trust_remote_code=trust_remote_code, backend="pil"
            )
        except ImportError as error:
            what = "a processor of images that needs a package which is not installed (torchvision)"
            raise EngineNotLoaded(f"{what}: {error}") from UnsupportedError(what)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EngineNotLoaded(f"its processor cannot be loaded: {error}") from error
        if getattr(processor, "image_processor", None) is None:
            raise EngineNotLoaded("its processor reads no images")
        fast = getattr(processor.tokenizer, "backend_tokenizer", None)
        if fast is not None:  # else the first call would do this, while other threads tokenize
            fast.no_truncation()
            fast.no_padding()
        template = getattr(processor, "chat_template", None)
        if isinstance(template, dict):
            template = template.get("default")
        return cls(processor, template)

    def encode(self, text: str, images: Sequence[Picture]) -> tuple[list[int], Arrays]:
        """The token ids of a rendered chat, and the tensors of its images.

        Each image has its placeholder in ``text``, in their order. Raises one of ``INPUT_ERRORS``
        for what the processor cannot read.
        """
        features = self.processor(
            text=[text],
            images=list(images),
            return_tensors="pt",
            add_special_tokens=self.adds_special_tokens(text),
        )
        ids: list[int] = features["input_ids"][0].tolist()
        more = {name: each for name, each in features.items() if name not in _OF_TEXT}
        return ids, {name: each.numpy() for name, each in more.items()}

    def adds_special_tokens(self, text: str) -> bool:
        """Whether the tokenizer adds its special tokens to a rendered chat, as in transformers.

        They are added unless the chat template has written the first of them.
        """
        first = self.processor.tokenizer.bos_token
        return first is None or not text.startswith(first)

    def problem(self, text: str, images: Sequence[Picture]) -> Problem | None:
        """Why these images cannot be read with this rendered chat, before that is tried."""
        token = getattr(self.processor, "image_token", None)
        if isinstance(token, str) and (count := text.count(token)) != len(images):
            message = f"the chat has {len(images)} images, but {count} places for images ({token})"
            return Problem("validation", message, "prompt")
        fits = refuse_elongated(lambda image, _: None, self.processor)
        return next((each for each in (fits(image, None) for image in images) if each), None)

    def unreadable(self, text: str, images: Sequence[Picture]) -> Problem | None:
        """The problem of the first image, after :meth:`encode` has failed.

        ``None`` if it fails with an ordinary image in each place as well.
        """
        for index in range(len(images)):
            others = [CONTROL] * len(images)
            others[index] = images[index]
            if not self._reads(text, others):
                if not self._reads(text, [CONTROL] * len(images)):
                    return None
                width, height = images[index].size
                message = f"the model cannot read an image of {width} x {height} pixels"
                return Problem("validation", message, "prompt")
        return None

    def _reads(self, text: str, images: Sequence[Picture]) -> bool:
        try:
            self.encode(text, images)
        except INPUT_ERRORS:
            return False
        return True


def nbytes(inputs: Arrays) -> int:
    """The bytes of all arrays."""
    return sum(each.nbytes for each in inputs.values())
