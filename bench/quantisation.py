# ruff: noqa: T201 - a command that prints a table
"""Memory and quality of quantised models against float32, on this machine's CPU.

    python -m bench.quantisation

Loads the embedded profile's torch chat model and its embedding model in float32, int8 and nf4, each
in a process of its own. Printed are memory, as a ratio to float32's (lower is better), and quality:
for the chat model perplexity of a fixed text and the share of greedy tokens equal to float32's, for
the embedding model the least cosine to float32's vectors.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from typing import Any

from configs.profile import ModelSpec, load_settings
from configs.profile_file import load_profile
from deployments.models.config import FamilyConfig
from deployments.models.memory import give_back, import_libraries, memory_use, own_weights
from deployments.models.pretrained import load_options, load_pretrained, load_tokenizer

CHAT = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
VECTORS = "sentence-transformers/all-MiniLM-L6-v2"
KINDS = ("none", "int8", "nf4")
TEXT = (
    "The first railway in the world to carry passengers by steam was opened in the north of England"
    " in 1825. Within thirty years lines crossed most of Europe, and a journey that had taken days"
    " by coach took hours. Towns set their clocks by the timetable, fresh milk reached the cities,"
    " and people who had never left their county saw the sea."
)
PROMPTS = ("The capital of France is", "Water boils at", "A cat is a small", "In the morning we")
SENTENCES = ("a kitten sleeps", "shares fell today", "the train is late", "bread needs flour")
NEW_TOKENS = 12


def measured(name: str, quantization: str) -> dict[str, Any]:
    """Memory and time of loading, and the model's answers. Call it in a fresh process."""
    import_libraries("transformers.modeling_utils", "sentence_transformers", "bitsandbytes")
    profile = load_profile("embedded")
    settings = load_settings(profile)
    model = next(model for model in profile.models if model.name == name)
    spec = model.model_copy(update={"quantization": quantization})
    config = FamilyConfig("bench", (spec,), settings)
    give_back()
    before, started = memory_use(), time.perf_counter()
    loaded = (_chat if name == CHAT else _vectors)(config, spec)
    give_back()
    taken = memory_use() - before
    seconds = time.perf_counter() - started
    answers = _chat_answers(*loaded) if name == CHAT else _vector_answers(loaded)
    return {"mib": taken.host / 2**20, "seconds": seconds, **answers}


def _chat(config: FamilyConfig, spec: ModelSpec) -> tuple[Any, Any]:
    folder, options = config.folder(spec), load_options(config, spec, "cpu")
    model = load_pretrained("AutoModelForCausalLM", folder, "cpu", options)
    return model, load_tokenizer(folder, trust_remote_code=False)


def _chat_answers(model: Any, tokenizer: Any) -> dict[str, Any]:
    import torch

    with torch.inference_mode():
        ids = tokenizer(TEXT, return_tensors="pt").input_ids
        perplexity = float(torch.exp(model(input_ids=ids, labels=ids).loss))
        greedy = [
            model.generate(
                **tokenizer(prompt, return_tensors="pt"),
                do_sample=False,
                max_new_tokens=NEW_TOKENS,
                min_new_tokens=NEW_TOKENS,
            )[0, -NEW_TOKENS:].tolist()
            for prompt in PROMPTS
        ]
    return {"perplexity": perplexity, "greedy": greedy}


def _vectors(config: FamilyConfig, spec: ModelSpec) -> Any:
    from sentence_transformers import SentenceTransformer

    options = load_options(config, spec, "cpu")
    trusted = options.pop("trust_remote_code")
    model = SentenceTransformer(
        str(config.folder(spec)),
        device="cpu",
        local_files_only=True,
        trust_remote_code=trusted,
        model_kwargs=options,
    ).eval()
    own_weights(model)
    return model


def _vector_answers(model: Any) -> dict[str, Any]:
    return {"vectors": model.encode(list(SENTENCES), normalize_embeddings=True).tolist()}


def in_a_process(name: str, quantization: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.quantisation", name, quantization]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def sanity(answer: dict[str, Any], reference: dict[str, Any]) -> str:
    if "vectors" in answer:
        pairs = zip(answer["vectors"], reference["vectors"], strict=True)
        cosines = [sum(a * b for a, b in zip(*pair, strict=True)) for pair in pairs]
        return f"least cosine {min(cosines):.4f}"
    pairs = zip(answer["greedy"], reference["greedy"], strict=True)
    same = [a == b for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True)]
    agreed = sum(same) / len(same)
    return f"perplexity {answer['perplexity']:.2f}, greedy tokens the same {agreed:.0%}"


def main() -> None:
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    print("| model | quantisation | memory, MiB | of float32's | load, s | sanity |")
    print("|---|---|---|---|---|---|")
    for name in (CHAT, VECTORS):
        whole = in_a_process(name, "none")
        for kind in KINDS:
            answer = whole if kind == "none" else in_a_process(name, kind)
            ratio, said = answer["mib"] / whole["mib"], sanity(answer, whole)
            figures = f"{answer['mib']:.0f} | {ratio:.2f} | {answer['seconds']:.1f}"
            print(f"| {name} | {kind} | {figures} | {said} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measured(sys.argv[1], sys.argv[2])))
    else:
        main()
