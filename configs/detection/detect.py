"""Finds out what a model is, from the files of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from configs.detection.errors import ModelNotThereError, ModelRefusedError
from configs.detection.gguf_header import read_gguf_header
from configs.detection.kinds import (
    EMBEDDER,
    GENERATOR,
    IMAGE_GENERATOR,
    RERANKER,
    TRANSCRIBER,
    ModelKind,
    kinds_of,
    without_family,
)
from configs.detection.model_files import ModelFiles
from configs.detection.pipeline_index import why_not_run
from configs.weights import PIPELINE_INDEX, WeightFormat

WINDOW_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")
TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")
"""Where processors of images and texts have their chat template."""

GGUF_PRE_TOKENIZERS = frozenset({"smollm"})
"""The pre-tokenizers of GGUF files that the conversion knows."""

IMAGE_FAMILIES = ("deployments.vision:Vision", "deployments.captioning:Captioning")


@dataclass(frozen=True, slots=True)
class DetectedModel:
    """What a model is. ``kinds`` says what may serve it, the most likely first.

    ``what`` is its class or GGUF architecture. ``window`` is a text generator's context length and
    ``max_tokens`` an encoder's longest text, in tokens, where the files say it. ``weight_bytes``
    is the size of the weights in the ``format`` that is read. ``revision`` is the commit of a
    repository.
    """

    what: str
    kinds: tuple[ModelKind, ...]
    format: WeightFormat
    weight_bytes: int
    window: int | None = None
    max_tokens: int | None = None
    revision: str | None = None


def detect(files: ModelFiles, *, trust_remote_code: bool = False) -> DetectedModel:
    """What the model in a folder is.

    A model with code of its own needs ``trust_remote_code``. Raises
    :class:`ModelNotThereError` if the folder has no model, :class:`ModelRefusedError` for one that
    no family serves or whose files cannot be right.
    """
    if files.has(PIPELINE_INDEX):
        return _pipeline(files)
    if files.has("config.json"):
        return _checkpoint(files, trust_remote_code)
    if files.with_suffix(".gguf"):
        return _gguf(files)
    if files.has("modules.json") or files.with_suffix(".safetensors"):
        raise ModelRefusedError("it has no config.json")
    raise ModelNotThereError


def _pipeline(files: ModelFiles) -> DetectedModel:
    """Of a pipeline of diffusers, whose parts are in folders of their own."""
    index = files.json(PIPELINE_INDEX)
    if (reason := why_not_run(index)) is not None:
        raise ModelRefusedError(f"{reason}; no family here serves that")
    parts = [name for name in files.names if name.count("/") == 1]
    if not any(name.endswith(".safetensors") for name in parts):
        raise ModelRefusedError("it has no safetensors weights")
    files.check_safetensors()
    return DetectedModel(
        what=str(index["_class_name"]),
        kinds=(IMAGE_GENERATOR,),
        format="safetensors",
        weight_bytes=files.weight_bytes("safetensors"),
    )


def _checkpoint(files: ModelFiles, trust_remote_code: bool) -> DetectedModel:
    config = files.json("config.json")
    if "auto_map" in config and not trust_remote_code and files.with_suffix(".py"):
        raise ModelRefusedError("it has code of its own, which is not trusted here")
    names = _architectures(config)
    kinds = _sentence_kinds(files) or _first_kinds(names, config, files)
    what = next(iter(names), "sentence-transformers model")
    _check_preprocessing(files, kinds[0])
    format_ = _format(files)
    return DetectedModel(
        what=what,
        kinds=tuple(dict.fromkeys(kinds)),
        format=format_,
        weight_bytes=files.weight_bytes(format_),
        window=_window(config),
        max_tokens=_whole(files.json("sentence_bert_config.json").get("max_seq_length")),
    )


def _architectures(config: Mapping[str, Any]) -> list[str]:
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelRefusedError("its config.json has no list of architectures")
    return names


def _sentence_kinds(files: ModelFiles) -> list[ModelKind]:
    """Of a sentence-transformers checkpoint; empty for any other."""
    modules = files.json_value("modules.json")
    if modules is None:
        return []
    _check_module_paths(modules)
    kind = files.json("config_sentence_transformers.json").get("model_type", "SentenceTransformer")
    if kind == "CrossEncoder":
        return [RERANKER]
    if kind != "SentenceTransformer" or not isinstance(modules, list):
        shown = str(kind)[:100]
        raise ModelRefusedError(f"it is a {shown} of sentence-transformers; no family serves that")
    return [EMBEDDER]


def _check_module_paths(modules: Any) -> None:
    """Raises :class:`ModelRefusedError` for a module outside the model's folder."""
    for module in modules if isinstance(modules, list) else ():
        path = module.get("path", "") if isinstance(module, dict) else None
        pure = PurePosixPath(path) if isinstance(path, str) else None
        if pure is None or pure.is_absolute() or ".." in pure.parts:
            raise ModelRefusedError("its modules.json names a path that is not inside its folder")


def _first_kinds(names: list[str], config: Mapping[str, Any], files: ModelFiles) -> list[ModelKind]:
    if not names:
        raise ModelRefusedError("its config.json names no architecture")
    tag = files.readme_fields().get("pipeline_tag", "")
    has_template = files.has(*CHAT_TEMPLATES)
    for name in names:
        if kinds := kinds_of(name, config, tag, has_template=has_template):
            return kinds
    raise ModelRefusedError(without_family(names))


def _check_preprocessing(files: ModelFiles, kind: ModelKind) -> None:
    """Raises :class:`ModelRefusedError` if the files that make tensors of inputs are missing."""
    reads_images = kind.deployment in IMAGE_FAMILIES
    has_preprocessor = files.has("preprocessor_config.json", "processor_config.json")
    if not has_preprocessor and (reads_images or kind.reads_images or kind == TRANSCRIBER):
        raise ModelRefusedError("it has no preprocessor_config.json")
    has_tokenizer = files.has(*TOKENIZERS) or any(name.endswith(TOKENIZERS) for name in files.names)
    if not (reads_images or has_tokenizer):
        raise ModelRefusedError("it has no tokenizer")


def _format(files: ModelFiles) -> WeightFormat:
    if any(name.endswith(".safetensors") for name in files.names):
        files.check_safetensors()
        return "safetensors"
    if any(name.rpartition("/")[2].startswith("pytorch_model") for name in files.names):
        return "pickle"
    raise ModelRefusedError("it has no safetensors weights")


def _gguf(files: ModelFiles) -> DetectedModel:
    names = files.with_suffix(".gguf")
    if len(names) > 1:
        raise ModelRefusedError(f"it has {len(names)} GGUF files; one is expected")
    header = read_gguf_header(files.path(names[0]))
    if header.pre_tokenizer not in GGUF_PRE_TOKENIZERS:
        known = ", ".join(sorted(GGUF_PRE_TOKENIZERS))
        given = header.pre_tokenizer[:60]
        raise ModelRefusedError(f"its GGUF file has the pre-tokenizer {given!r}; known: {known}")
    return DetectedModel(
        what=f"GGUF {header.architecture[:60]}",
        kinds=(GENERATOR,),
        format="gguf",
        weight_bytes=files.weight_bytes("gguf"),
        window=_whole(header.context_length),
    )


def _window(config: Mapping[str, Any]) -> int | None:
    text = config.get("text_config")
    merged = {**config, **(text if isinstance(text, dict) else {})}
    values = (_whole(merged.get(name)) for name in WINDOW_NAMES)
    return next((value for value in values if value is not None), None)


def _whole(value: Any) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 < value < 2**31 else None
