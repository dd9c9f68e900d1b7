"""Converts GGUF files: to a folder with a tokenizer beside the file, or to a whole checkpoint.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.weights.hub import link_or_copy
from deployments.conversion.errors import ConversionError
from deployments.conversion.files import only_file
from deployments.conversion.gguf_zero_points import write_exact_ir

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer
    from transformers import GenerationConfig, PreTrainedTokenizerFast


def write_tokenizer(origin: Path, folder: Path) -> None:
    """Write the ``.gguf`` file, and its tokenizer, chat template and configurations beside it.

    For OpenVINO, which reads the weights from GGUF itself. Where it would round them, the IR with
    the right ones is there too (:mod:`deployments.conversion.gguf_zero_points`).
    """
    from transformers import AutoConfig

    file = only_file(origin, ".gguf")
    tokenizer = _tokenizer(file)
    config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    config.update(_ends(tokenizer))
    config.save_pretrained(folder)
    _generation(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder, save_jinja_files=False)
    link_or_copy(file, folder / file.name)
    write_exact_ir(file, folder)


def write_checkpoint(origin: Path, folder: Path) -> None:
    """Write a transformers checkpoint: float16 safetensors, tokenizer and configurations."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    file = only_file(origin, ".gguf")
    tokenizer = _tokenizer(file)
    # Without dequantize the weights would stay in GGUF blocks, which cannot be saved.
    model = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        dtype=torch.float16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.config.update(_ends(tokenizer))
    model.generation_config = _generation(tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder, save_jinja_files=False)


def _tokenizer(file: Path) -> PreTrainedTokenizerFast:
    from gguf import GGUFReader
    from transformers import AutoTokenizer

    fields = GGUFReader(file).fields
    tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    # transformers reads vocabulary and merges from the file, but not the pre-tokenizer.
    kind = str(fields["tokenizer.ggml.pre"].contents())
    tokenizer.backend_tokenizer.pre_tokenizer = _pre_tokenizer(kind)
    family = str(fields["general.architecture"].contents())
    tokenizer.model_max_length = int(fields[f"{family}.context_length"].contents())
    ready: PreTrainedTokenizerFast = tokenizer
    return ready


def _pre_tokenizer(kind: str) -> PreTokenizer:
    """The pre-tokenizer that ``tokenizer.ggml.pre`` names.

    Names and expressions: ``src/llama-vocab.cpp`` of llama.cpp.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    if kind != "smollm":
        raise ConversionError(f"the pre-tokenizer {kind!r} is not known here, only 'smollm' is")
    return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])


def _ends(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The ids that begin, end and pad a text; a text ends as a turn of a chat does."""
    return {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _generation(tokenizer: PreTrainedTokenizerFast) -> GenerationConfig:
    from transformers import GenerationConfig

    return GenerationConfig(**_ends(tokenizer))  # type: ignore[no-untyped-call]
