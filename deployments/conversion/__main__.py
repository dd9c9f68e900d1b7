"""The command ``python -m deployments.conversion``, which runs one recipe."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from deployments.conversion.errors import ConversionError
from deployments.models.thread_priority import lower_thread_priority

RECIPES = {
    "gguf-tokenizer": "gguf:write_tokenizer",
    "gguf-safetensors": "gguf:write_checkpoint",
    "onnx-bert": "onnx_bert:write_checkpoint",
    "sentiment-head": "sentiment:write_checkpoint",
    "efficientnet-lite": "efficientnet:write_checkpoint",
    "pickle-safetensors": "pickles:write_checkpoint",
    "whisper-ctranslate2": "whisper:write_checkpoint",
    "openvino": "openvino_export:write_export",
    "openvino-dtypes": "openvino_dtypes:write_choice",
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m deployments.conversion")
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("origin", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--options", type=json.loads, default={})
    chosen = parser.parse_args(arguments)
    lower_thread_priority()  # replicas answer requests meanwhile
    module, _, function = RECIPES[chosen.recipe].partition(":")
    # Imported here, so that a recipe loads only the libraries that it needs.
    recipe = getattr(import_module(f"deployments.conversion.{module}"), function)
    try:
        recipe(chosen.origin, chosen.folder, **chosen.options)
    except ConversionError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
