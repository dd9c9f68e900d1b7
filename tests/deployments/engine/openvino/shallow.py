"""SmolLM2 without most of its layers: it writes nonsense, ten times as fast."""

import json
import shutil
from pathlib import Path

from gguf import GGUFReader, GGUFValueType, GGUFWriter

LAYERS = 2


def write_shallow_model(whole: Path, folder: Path) -> None:
    """Copy the folder of a GGUF file with the first layers of its model only."""
    for file in whole.glob("*.json"):
        shutil.copy(file, folder)
    config = json.loads((whole / "config.json").read_text("utf-8"))
    config["num_hidden_layers"] = LAYERS
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    [file] = whole.glob("*.gguf")
    reader = GGUFReader(file)
    writer = GGUFWriter(folder / "shallow.gguf", "llama")
    _copy_fields(reader, writer)
    _copy_tensors(reader, writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy_fields(reader: GGUFReader, writer: GGUFWriter) -> None:
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue  # the writer's own
        value = LAYERS if name.endswith(".block_count") else field.contents()
        kind = field.types[0]
        inner = field.types[-1] if kind is GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, kind, sub_type=inner)


def _copy_tensors(reader: GGUFReader, writer: GGUFWriter) -> None:
    for tensor in reader.tensors:
        prefix, _, rest = tensor.name.partition(".")
        if prefix == "blk" and int(rest.partition(".")[0]) >= LAYERS:
            continue
        data = tensor.data
        writer.add_tensor(tensor.name, data, raw_shape=data.shape, raw_dtype=tensor.tensor_type)
