"""Converts a Whisper model of CTranslate2 to a checkpoint of transformers.

CTranslate2 has the projections of queries, keys and values in one matrix each. Numbers of heads and
layers follow from the tensors, special tokens from the tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deployments.conversion.ctranslate2 import read_variables
from deployments.conversion.errors import ConversionError
from deployments.conversion.files import only_file

Tensors = Mapping[str, npt.NDArray[Any]]

NORMS = {
    "self_attention": "self_attn_layer_norm",
    "attention": "encoder_attn_layer_norm",
    "ffn": "final_layer_norm",
}
END, START, NO_TIMESTAMPS = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
SECONDS_OF_TIMESTAMPS = 30
MULTILINGUAL_VOCABULARY = 51_865
"""https://github.com/openai/whisper/blob/main/whisper/model.py: ``is_multilingual``."""
HEAD_SIZE = 64
"""Of every size of Whisper (arXiv:2212.04356, table 1: width / heads)."""


def write_checkpoint(origin: Path, folder: Path) -> None:
    """Convert the only ``model.bin`` in ``origin``, with the tokenizer and configuration beside it.

    Raises:
        ConversionError: it is not a Whisper model of CTranslate2, or a quantized one.
    """
    from transformers import WhisperFeatureExtractor

    file = only_file(origin, ".bin")
    tensors = read_variables(file, "WhisperSpec")
    try:
        model = _model(file.parent, tensors)
    except (KeyError, IndexError, OSError, RuntimeError, TypeError, ValueError) as error:
        message = f"it is not a Whisper model of CTranslate2: {type(error).__name__}: {error}"
        raise ConversionError(message) from error
    tokenizer = _tokenizer(file.parent / "tokenizer.json")
    model.save_pretrained(folder)
    extractor: Any = WhisperFeatureExtractor
    extractor(feature_size=model.config.num_mel_bins).save_pretrained(folder)
    _write_tokenizer(tokenizer, folder)


def _model(home: Path, tensors: Tensors) -> Any:
    """The model with ``tensors`` and the settings that the files in ``home`` have."""
    import torch
    from transformers import GenerationConfig, WhisperForConditionalGeneration

    tokens = _special_tokens(home / "tokenizer.json")
    given = json.loads((home / "config.json").read_text(encoding="utf-8"))
    model: Any = WhisperForConditionalGeneration(_config(tensors, tokens))
    weights = {name: torch.tensor(array) for name, array in _renamed(tensors)}
    missing, unknown = model.load_state_dict(weights, strict=False)
    if set(missing) - {"proj_out.weight"} or unknown:  # tied to the embedding of the tokens
        raise ValueError(f"missing or unknown tensors: {[*missing, *unknown][:3]}")
    model.tie_weights()
    vocabulary = model.config.vocab_size
    model.generation_config = GenerationConfig.from_dict(_generation(given, tokens, vocabulary))
    return model.eval()


def _special_tokens(file: Path) -> dict[str, int]:
    stored = json.loads(file.read_text(encoding="utf-8"))
    return {each["content"]: int(each["id"]) for each in stored["added_tokens"]}


def _config(tensors: Tensors, tokens: Mapping[str, int]) -> Any:
    from transformers import WhisperConfig

    vocabulary, width = tensors["decoder/embeddings/weight"].shape
    if width % HEAD_SIZE:
        raise ValueError(f"a width of {width} is no multiple of {HEAD_SIZE}")
    sides = {}
    for side in ("encoder", "decoder"):
        layers = {name.split("/")[1] for name in tensors if name.startswith(f"{side}/layer_")}
        sides[f"{side}_layers"] = len(layers - {"layer_norm"})
        sides[f"{side}_attention_heads"] = width // HEAD_SIZE
        sides[f"{side}_ffn_dim"] = tensors[f"{side}/layer_0/ffn/linear_0/weight"].shape[0]
    config: Any = WhisperConfig
    return config(
        vocab_size=vocabulary,
        d_model=width,
        num_mel_bins=tensors["encoder/conv1/weight"].shape[1],
        max_source_positions=tensors["encoder/position_encodings/encodings"].shape[0],
        max_target_positions=tensors["decoder/position_encodings/encodings"].shape[0],
        decoder_start_token_id=tokens[START],
        bos_token_id=tokens[END],
        eos_token_id=tokens[END],
        pad_token_id=tokens[END],
        **sides,
    )


def _renamed(tensors: Tensors) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Every tensor of the checkpoint, under transformers' name."""
    for name, array in tensors.items():
        if array.ndim == 0 or "alignment" in name:
            continue
        if array.dtype.kind != "f":
            raise ValueError(f"{name} is quantized ({array.dtype}); only floats are converted")
        for new, part in _parts(name.split("/"), array.astype(np.float32)):
            yield f"model.{new}", part


def _parts(
    path: list[str], array: npt.NDArray[np.float32]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    match path:
        case [side, "position_encodings", "encodings"]:
            yield f"{side}.embed_positions.weight", array
        case ["decoder", "embeddings", "weight"]:
            yield "decoder.embed_tokens.weight", array
        case ["encoder", "conv1" | "conv2" as layer, kind]:
            yield f"encoder.{layer}.{kind}", array
        case [side, "layer_norm", kind]:
            yield f"{side}.layer_norm.{_of_norm(kind)}", array
        case [side, layer, block, "layer_norm", kind]:
            yield f"{_layer(side, layer)}.{NORMS[block]}.{_of_norm(kind)}", array
        case [side, layer, "ffn", linear, kind]:
            number = {"linear_0": "fc1", "linear_1": "fc2"}[linear]
            yield f"{_layer(side, layer)}.{number}.{kind}", array
        case [side, layer, block, linear, kind]:
            name = {"self_attention": "self_attn", "attention": "encoder_attn"}[block]
            yield from _projections(f"{_layer(side, layer)}.{name}", block, linear, kind, array)
        case _:
            raise KeyError("/".join(path))


def _projections(
    name: str, block: str, linear: str, kind: str, array: npt.NDArray[np.float32]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The projections in one matrix. Keys have no bias: CTranslate2 has zeros there."""
    together = {
        ("self_attention", "linear_0"): ("q_proj", "k_proj", "v_proj"),
        ("self_attention", "linear_1"): ("out_proj",),
        ("attention", "linear_0"): ("q_proj",),
        ("attention", "linear_1"): ("k_proj", "v_proj"),
        ("attention", "linear_2"): ("out_proj",),
    }[block, linear]
    for projection, part in zip(together, np.split(array, len(together)), strict=True):
        if (projection, kind) != ("k_proj", "bias"):
            yield f"{name}.{projection}.{kind}", part


def _layer(side: str, layer: str) -> str:
    return f"{side}.layers.{int(layer.removeprefix('layer_'))}"


def _of_norm(kind: str) -> str:
    return {"gamma": "weight", "beta": "bias"}[kind]


def _generation(
    given: Mapping[str, Any], tokens: Mapping[str, int], vocabulary: int
) -> dict[str, Any]:
    """Whisper's settings of decoding, as transformers has them."""
    multilingual = vocabulary >= MULTILINGUAL_VOCABULARY
    made: dict[str, Any] = {
        "begin_suppress_tokens": given["suppress_ids_begin"],
        "suppress_tokens": given["suppress_ids"],
        "alignment_heads": given["alignment_heads"],
        "decoder_start_token_id": tokens[START],
        "bos_token_id": tokens[END],
        "eos_token_id": tokens[END],
        "pad_token_id": tokens[END],
        "no_timestamps_token_id": tokens[NO_TIMESTAMPS],
        "is_multilingual": multilingual,
        "max_initial_timestamp_index": 50,
        "max_length": 448,
        "return_timestamps": False,
    }
    if multilingual:
        known = {name: token for name, token in tokens.items() if token in given["lang_ids"]}
        made["lang_to_id"] = known
        made["task_to_id"] = {task: tokens[f"<|{task}|>"] for task in ("transcribe", "translate")}
    return made


def _tokenizer(file: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises no narrower class, whatever is wrong
        raise ConversionError(f"its {file.name} cannot be read: {error}") from error


def _write_tokenizer(tokenizer: Any, folder: Path) -> None:
    """The tokenizer, with the timestamp tokens, which CTranslate2 leaves out."""
    from tokenizers import AddedToken

    names = [f"<|{step * 0.02:.2f}|>" for step in range(SECONDS_OF_TIMESTAMPS * 50 + 1)]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
        "model_max_length": 448,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
