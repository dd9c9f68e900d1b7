"""Whisper models of CTranslate2 become checkpoints of transformers, or an error that says why."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from deployments.conversion.ctranslate2 import MAX_VARIABLES
from deployments.conversion.errors import ConversionError
from deployments.conversion.whisper import MULTILINGUAL_VOCABULARY, write_checkpoint

Tensors = dict[str, npt.NDArray[Any]]

SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|de|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|notimestamps|>",
]
IDS = {name: place for place, name in enumerate(SPECIAL)}
SETTINGS: dict[str, Any] = {
    "suppress_ids_begin": [7],
    "suppress_ids": [8],
    "alignment_heads": [[0, 0]],
    "lang_ids": [IDS["<|en|>"], IDS["<|de|>"]],
}
CODES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def original(vocabulary: int) -> Any:
    torch.manual_seed(0)
    config: Any = WhisperConfig
    return WhisperForConditionalGeneration(
        config(
            vocab_size=vocabulary,
            d_model=64,
            num_mel_bins=8,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=1,
            decoder_attention_heads=1,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            max_source_positions=10,
            max_target_positions=12,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=1,
        )
    )


def tensors_of(model: Any) -> Tensors:
    """The weights under the names that CTranslate2's converter gives them."""
    state = {name: tensor.numpy() for name, tensor in model.model.state_dict().items()}
    made: Tensors = {"encoder/num_heads": np.array(1, np.int16)}
    for name in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            made[f"encoder/{name}/{kind}"] = state[f"encoder.{name}.{kind}"]
    made["decoder/embeddings/weight"] = state["decoder.embed_tokens.weight"]
    for side in ("encoder", "decoder"):
        positions = state[f"{side}.embed_positions.weight"]
        made[f"{side}/position_encodings/encodings"] = positions
        norm(made, state, f"{side}/layer_norm", f"{side}.layer_norm")
        here, there = f"{side}/layer_0", f"{side}.layers.0"
        attention(made, state, f"{here}/self_attention", f"{there}.self_attn", ["qkv", "out"])
        norm(made, state, f"{here}/self_attention/layer_norm", f"{there}.self_attn_layer_norm")
        norm(made, state, f"{here}/ffn/layer_norm", f"{there}.final_layer_norm")
        for number, linear in enumerate(("fc1", "fc2")):
            for kind in ("weight", "bias"):
                made[f"{here}/ffn/linear_{number}/{kind}"] = state[f"{there}.{linear}.{kind}"]
    here, there = "decoder/layer_0/attention", "decoder.layers.0.encoder_attn"
    attention(made, state, here, there, ["q", "kv", "out"])
    norm(made, state, f"{here}/layer_norm", f"{there}_layer_norm")
    return made


def norm(made: Tensors, state: Mapping[str, Any], here: str, there: str) -> None:
    made[f"{here}/gamma"], made[f"{here}/beta"] = state[f"{there}.weight"], state[f"{there}.bias"]


def attention(
    made: Tensors, state: Mapping[str, Any], here: str, there: str, linears: list[str]
) -> None:
    zeros = np.zeros(64, np.float32)
    for number, linear in enumerate(linears):
        for kind in ("weight", "bias"):
            names = ["out"] if linear == "out" else linear
            parts = [state.get(f"{there}.{name}_proj.{kind}", zeros) for name in names]
            made[f"{here}/linear_{number}/{kind}"] = np.concatenate(parts)


def write_variables(file: Path, tensors: Tensors, spec: str = "WhisperSpec") -> None:
    def text(name: str) -> bytes:
        return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"

    raw = struct.pack("<I", 6) + text(spec) + struct.pack("<II", 3, len(tensors))
    for name, array in tensors.items():
        raw += text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        raw += struct.pack("<BI", CODES[str(array.dtype)], array.nbytes) + array.tobytes()
    file.write_bytes(raw)


def write_origin(folder: Path, tensors: Tensors) -> None:
    tokenizer = Tokenizer(models.WordLevel({name: IDS[name] for name in SPECIAL}, SPECIAL[0]))
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    write_variables(folder / "model.bin", tensors)


@pytest.mark.parametrize("vocabulary", [9, MULTILINGUAL_VOCABULARY])
def test_the_weights_and_the_languages_are_those_of_the_origin(
    tmp_path: Path, vocabulary: int
) -> None:
    model = original(vocabulary)
    write_origin(tmp_path, tensors_of(model))
    write_checkpoint(tmp_path, tmp_path / "made")
    made: Any = WhisperForConditionalGeneration.from_pretrained(tmp_path / "made")
    expected = model.state_dict()
    assert made.state_dict().keys() == expected.keys()
    for name, tensor in made.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    generation: Any = GenerationConfig.from_pretrained(tmp_path / "made")
    many = vocabulary == MULTILINGUAL_VOCABULARY
    assert generation.is_multilingual == many
    assert getattr(generation, "lang_to_id", None) == ({"<|en|>": 2, "<|de|>": 3} if many else None)
    tasks = {"transcribe": IDS["<|transcribe|>"], "translate": IDS["<|translate|>"]}
    assert getattr(generation, "task_to_id", None) == (tasks if many else None)
    assert generation.no_timestamps_token_id == IDS["<|notimestamps|>"]
    assert generation.suppress_tokens == [8]


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def instead(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


def renamed(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"\0" * 9)
    (folder / "model.bin").rename(folder / "weights.bin")


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tensors = tensors_of(original(9))
        array = change(tensors.pop(name))
        write_variables(folder / "model.bin", tensors if array is None else tensors | {name: array})

    return write


def many_tensors(folder: Path) -> None:
    raw = bytearray((folder / "model.bin").read_bytes())
    struct.pack_into("<I", raw, 4 + 2 + len("WhisperSpec\0") + 4, MAX_VARIABLES + 1)
    (folder / "model.bin").write_bytes(raw)


def no_model(folder: Path) -> None:
    """A tokenizer that is JSON, with its special tokens, and is none."""
    stored = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(stored | {"model": {"type": "none"}}))


EMBEDDING = "decoder/embeddings/weight"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (renamed, "weights.bin is not a model of CTranslate2"),
        (without("model.bin"), "expected one .bin file"),
        (without("config.json"), "FileNotFoundError.*config.json"),
        (without("tokenizer.json"), "FileNotFoundError.*tokenizer.json"),
        (instead("config.json", "{"), "JSONDecodeError"),
        (instead("config.json", "[]"), "TypeError"),
        (instead("config.json", "{}"), "KeyError: 'suppress_ids_begin'"),
        (instead("tokenizer.json", "{}"), "KeyError: 'added_tokens'"),
        (instead("tokenizer.json", '{"added_tokens": []}'), r"KeyError: '<\|startoftranscript"),
        (no_model, "its tokenizer.json cannot be read"),
        (changed(EMBEDDING, lambda array: None), f"KeyError: '{EMBEDDING}'"),
        (changed(EMBEDDING, lambda array: array[:, :-1]), "width of 63"),
        (changed(EMBEDDING, lambda array: array.astype(np.int8)), "quantized .int8."),
        (changed("encoder/conv1/weight", lambda array: array[:, 0, 0]), "IndexError"),
        (changed("encoder/conv1/bias", lambda array: array[1:]), "RuntimeError.*size mismatch"),
        (changed("encoder/conv1/bias", lambda array: None), "missing or unknown.*conv1.bias"),
        (many_tensors, f"{MAX_VARIABLES + 1} tensors"),
    ],
)
def test_what_is_no_such_model_is_a_conversion_error(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    write_origin(tmp_path, tensors_of(original(9)))
    spoil(tmp_path)
    with pytest.raises(ConversionError, match=f"(?s){message}"):
        write_checkpoint(tmp_path, tmp_path / "made")
    assert not (tmp_path / "made").exists()
