"""Headers of GGUF files: what they say, and those that are damaged or made to hurt."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from configs.detection import Inspection, ModelRefusedError, inspect_model
from configs.detection.gguf_header import read_gguf_header
from configs.weights import FolderSource


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def header(*pairs: bytes, keys: int | None = None) -> bytes:
    count = len(pairs) if keys is None else keys
    return b"GGUF" + struct.pack("<IQQ", 3, 1, count) + b"".join(pairs)


ARCHITECTURE = text("general.architecture") + struct.pack("<I", 8) + text("llama")
CONTEXT = text("llama.context_length") + struct.pack("<II", 4, 2048)
WORDS = text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc")
NUMBERS = text("scores") + struct.pack("<IIQ", 9, 6, 3) + b"\0" * 12
TOKENIZER = text("tokenizer.ggml.pre") + struct.pack("<I", 8) + text("smollm")


def written(folder: Path, content: bytes) -> Path:
    file = folder / "model" / "model.gguf"
    file.parent.mkdir()
    file.write_bytes(content)
    return file


def test_single_values_are_read_and_lists_are_passed_over(tmp_path: Path) -> None:
    file = written(tmp_path, header(ARCHITECTURE, WORDS, NUMBERS, CONTEXT, TOKENIZER))
    found = read_gguf_header(file)
    assert (found.architecture, found.context_length) == ("llama", 2048)
    assert found.pre_tokenizer == "smollm"


def test_a_folder_with_a_gguf_file_is_a_text_generator(tmp_path: Path) -> None:
    file = written(tmp_path, header(ARCHITECTURE, CONTEXT, TOKENIZER))
    found = inspect_model(Inspection(FolderSource(folder=file.parent), tmp_path, 1.0), tmp_path)
    assert (found.format, found.window, found.kinds[0].tasks[0]) == ("gguf", 2048, "generate")


def test_a_tokenizer_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    pre = text("tokenizer.ggml.pre") + struct.pack("<I", 8) + text("qwen2")
    file = written(tmp_path, header(ARCHITECTURE, pre))
    with pytest.raises(ModelRefusedError, match="pre-tokenizer 'qwen2'; known: smollm"):
        inspect_model(Inspection(FolderSource(folder=file.parent), tmp_path, 1.0), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGML" + b"\0" * 40,
        header(ARCHITECTURE)[:-1],
        header(keys=2**40),
        header(text("general.architecture") + struct.pack("<IQ", 8, 2**60)),
        header(text("tokens") + struct.pack("<IIQ", 9, 8, 2**60)),
        header(text("tokens") + struct.pack("<IIQ", 9, 6, 2**60)),
        header(text("nested") + struct.pack("<IIQ", 9, 9, 1)),
        header(text("unknown") + struct.pack("<I", 99)),
        header(struct.pack("<Q", 2**60)),
    ],
)
def test_a_damaged_header_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ModelRefusedError, match="not GGUF, or damaged"):
        read_gguf_header(written(tmp_path, content))
