"""Speech recognition: Whisper models, recordings in, texts with timestamps out.

A recording is read in windows of 30 s, one after the other, since where one begins is known only
from the one before it. Windows of several requests share a forward. A recording whose caller was
cancelled ends at its next token.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from configs.engines import EngineName
from configs.profile import ModelSpec
from deployments.batching.batch_runner import BatchedModel
from deployments.batching.batcher import Batcher
from deployments.batching.lane import Lane
from deployments.batching.model_loader import BatchedModelLoader
from deployments.batching.reserved_bytes import ReservedBytes
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.errors import unavailable_as_problem
from deployments.models.family import FamilyDeployment
from deployments.models.pretrained import load_model, load_tokenizer
from deployments.seam.problems import Problem
from deployments.seam.transcription import TranscriptionRequest, TranscriptionResult
from deployments.speech.recording import Recording, RecordingError
from deployments.speech.transcript import Transcript
from deployments.speech.whisper_tokens import WhisperTokens
from deployments.speech.windows import DecodedWindow, SpeechWindow, WindowOptions, WindowReader

LIBRARIES = ("transformers.models.whisper.modeling_whisper", "soundfile", "soxr")


@dataclass(frozen=True, slots=True)
class SpeechModel:
    """One loaded model. ``max_prompt`` is the number of tokens of a prompt that it reads."""

    tokenizer: Any
    extractor: Any
    tokens: WhisperTokens
    max_prompt: int
    lane: Lane[SpeechWindow, DecodedWindow]
    engine: EngineName = "torch"

    def options(self, request: TranscriptionRequest) -> WindowOptions | Problem:
        """The options of the first window; the request's prompt is for no other."""
        if request.translate and "translate" not in self.tokens.tasks:
            message = "the model knows English only, and translates nothing"
            return Problem("validation", message, "model")
        if not request.prompt:
            return WindowOptions(request.translate)
        if self.tokens.sot_prev is None:
            return Problem("validation", "the model reads no prompt", "prompt")
        text = f" {request.prompt.strip()}"
        ids = self.tokenizer(text, add_special_tokens=False).input_ids
        words = [token for token in ids if token < self.tokens.end]  # and no special tokens
        return WindowOptions(request.translate, tuple(words[-self.max_prompt :]))


class Transcription(FamilyDeployment[SpeechModel]):
    """The deployment of speech recognition."""

    tasks: ClassVar[dict[str, str]] = {"transcribe": "transcribes a recording"}

    def __init__(self, config: FamilyConfig) -> None:
        meter = Meter(config.ledger)
        self._batcher = Batcher(config, meter)
        self._reserved = ReservedBytes(config.settings.max_waiting_bytes, "recordings")
        super().__init__(config, SpeechLoader(config, self._batcher), self._batcher, meter)

    @unavailable_as_problem
    async def transcribe(self, request: TranscriptionRequest) -> TranscriptionResult | Problem:
        """What is said in the recording, in segments."""
        with self._reserved.reserve(request.model, len(request.audio)):
            async with self._models.use(request.model) as model:
                try:
                    return await self._transcribed(model, request)
                except RecordingError as error:
                    return error.problem

    async def _transcribed(
        self, model: SpeechModel, request: TranscriptionRequest
    ) -> TranscriptionResult | Problem:
        """Raises :class:`RecordingError`."""
        language = model.tokens.language(request.language)
        if isinstance(language, Problem):
            return language
        options = await self._batcher.in_thread(model.options, request)
        if isinstance(options, Problem):
            return options
        reader = await self._batcher.in_thread(self._opened, model, request.audio)
        transcript = Transcript(model.tokenizer, model.tokens, language)
        while True:
            with self._batcher.meter.preprocessing(request.model):
                window = await self._batcher.in_thread(reader.next, options, transcript.language)
            if window is None:
                return transcript.result(reader.seconds)
            (decoded,) = await self._batcher.answers(model.lane, _alone(window))
            if isinstance(decoded, Problem):
                return decoded
            advance = await self._batcher.in_thread(transcript.add, window, reader.seek, decoded)
            reader.advance(advance)
            options = WindowOptions(request.translate)

    def _opened(self, model: SpeechModel, audio: bytes) -> WindowReader:
        extractor, settings = model.extractor, self._config.settings
        limits = settings.max_audio_s, settings.max_audio_samples
        return WindowReader(Recording(audio, extractor.sampling_rate, *limits), extractor)


async def _alone(window: SpeechWindow) -> AsyncGenerator[Sequence[SpeechWindow], None]:
    yield [window]


class SpeechLoader(BatchedModelLoader[SpeechModel]):
    """Loads Whisper models."""

    def __init__(self, config: FamilyConfig, batcher: Batcher) -> None:
        super().__init__(config, batcher, LIBRARIES)

    def load(self, spec: ModelSpec) -> SpeechModel:
        """Raises ``ValueError`` for a model that is no Whisper."""
        import transformers

        from deployments.speech.whisper_decoder import WhisperDecoder

        folder = self._config.folder(spec)
        tokenizer = load_tokenizer(folder, trust_remote_code=spec.trust_remote_code)
        extractor: Any = transformers.WhisperFeatureExtractor
        model, device = load_model("AutoModelForSpeechSeq2Seq", folder, self._config, spec)
        if model.config.model_type != "whisper":
            raise ValueError(f"{spec.name} is a {model.config.model_type}, not a Whisper model")
        model.generation_config.max_length = None  # windows have a bound of their own
        tokens = WhisperTokens.of(model.generation_config, tokenizer)
        positions = int(model.config.max_source_positions)
        batched: BatchedModel[SpeechWindow, DecodedWindow] = BatchedModel(
            WhisperDecoder(model, tokens, device),
            size=lambda window: positions,
            kind=lambda window: window.options,
            nbytes=lambda window: window.nbytes,
            by_steps=True,
        )
        return SpeechModel(
            tokenizer,
            extractor.from_pretrained(folder, local_files_only=True),
            tokens,
            int(model.config.max_target_positions) // 2 - 1,
            self._batcher.lane(spec.name, batched),
        )
