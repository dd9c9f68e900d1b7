"""What a model is, found out from its files; and files that cannot be right."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from configs.detection import (
    DetectedModel,
    Inspection,
    ModelNotThereError,
    ModelRefusedError,
    inspect_model,
    model_files,
)
from configs.weights import FolderSource

EMPTY = (2).to_bytes(8, "little") + b"{}"
NLI = {"id2label": {"0": "contradiction", "1": "neutral", "2": "entailment"}}
STARS = {"id2label": {"0": "1 star", "1": "2 stars"}}


def folder(root: Path, config: dict[str, Any] | None = None, **files: Any) -> Path:
    """A folder with a tokenizer, a preprocessor and weights, unless ``files`` say otherwise."""
    made = root / "models" / "model"
    made.mkdir(parents=True)
    contents: dict[str, Any] = {
        "tokenizer.json": {},
        "preprocessor_config.json": {},
        "model.safetensors": EMPTY,
    }
    if config is not None:
        contents["config.json"] = config
    contents |= {name.replace("__", "."): content for name, content in files.items()}
    for name, content in contents.items():
        if isinstance(content, bytes):
            (made / name).write_bytes(content)
        elif content is not None:
            (made / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return made


def inspected(made: Path, **options: Any) -> DetectedModel:
    source = FolderSource(folder=made, allow_bin=options.pop("allow_bin", False))
    limits = {"max_gb": 1.0} | options
    return inspect_model(Inspection(source, made.parent, **limits), made.parent)


def kind(architecture: str, **config: Any) -> dict[str, Any]:
    return {"architectures": [architecture], **config}


@pytest.mark.parametrize(
    ("config", "family", "tasks"),
    [
        (kind("LlamaForCausalLM"), "Generation", ("generate", "chat")),
        (kind("GPT2LMHeadModel"), "Generation", ("generate", "chat")),
        (kind("BertModel", model_type="bert"), "Embeddings", ("embed",)),
        (kind("BertForSequenceClassification", **NLI), "Classification", ("zero_shot",)),
        (kind("BertForSequenceClassification", **STARS), "Classification", ("sentiment",)),
        (kind("BertForSequenceClassification"), "Classification", ("sentiment", "topic")),
        (kind("BertForSequenceClassification", id2label={"0": "x"}), "Reranking", ("rerank",)),
        (kind("BertForSequenceClassification", num_labels=1), "Reranking", ("rerank",)),
        (kind("DebertaForTokenClassification"), "Entities", ("entities",)),
        (kind("BertForQuestionAnswering"), "Entities", ("question_answering",)),
        (kind("RobertaForMaskedLM"), "Classification", ("fill_mask",)),
        (kind("ViTForImageClassification"), "Vision", ("image_classify",)),
        (kind("YolosForObjectDetection"), "Vision", ("detect",)),
        (kind("SegformerForSemanticSegmentation"), "Vision", ("segment",)),
        (kind("DetrForSegmentation"), "Vision", ("segment",)),
        (kind("Mask2FormerForUniversalSegmentation"), "Vision", ("segment",)),
        (kind("CLIPModel"), "Vision", ("image_zero_shot",)),
        (kind("ViltForQuestionAnswering"), "Vision", ("visual_question",)),
        (kind("VisionEncoderDecoderModel"), "Captioning", ("caption",)),
        (
            kind("LlavaForConditionalGeneration", vision_config={}),
            "Captioning",
            ("caption", "visual_question"),
        ),
        (
            kind("T5ForConditionalGeneration"),
            "Summarization",
            ("summarize", "translate", "text2text"),
        ),
        (kind("BartForConditionalGeneration"), "Summarization", ("summarize",)),
        (kind("M2M100ForConditionalGeneration"), "Summarization", ("translate",)),
        (kind("MarianMTModel"), "Summarization", ("translate",)),
        (
            kind("WhisperForConditionalGeneration", num_mel_bins=80),
            "Transcription",
            ("transcribe",),
        ),
    ],
)
def test_the_architecture_names_the_family_and_the_tasks(
    tmp_path: Path, config: dict[str, Any], family: str, tasks: tuple[str, ...]
) -> None:
    first = inspected(folder(tmp_path, config)).kinds[0]
    assert first.deployment.rpartition(":")[2] == family
    assert first.tasks == tasks


@pytest.mark.parametrize("file", ["chat_template__jinja", "chat_template__json"])
def test_a_chat_template_makes_a_writer_about_images_a_chat_model(
    tmp_path: Path, file: str
) -> None:
    config = kind("LlavaForConditionalGeneration", vision_config={})
    first, *others = inspected(folder(tmp_path, config, **{file: "{}"})).kinds
    assert (first.deployment.rpartition(":")[2], first.reads_images) == ("Generation", True)
    assert ("caption", "visual_question") in {each.tasks for each in others}
    (tmp_path / "models" / "model" / "preprocessor_config.json").unlink()
    with pytest.raises(ModelRefusedError, match="no preprocessor_config"):
        inspected(tmp_path / "models" / "model")


def test_a_checkpoint_of_sentence_transformers_makes_vectors(tmp_path: Path) -> None:
    config = kind("BertModel", model_type="bert", max_position_embeddings=512)
    limit = {"max_seq_length": 256}
    found = inspected(
        folder(tmp_path, config, modules__json=[{}], sentence_bert_config__json=limit)
    )
    assert found.kinds[0].tasks == ("embed",)
    assert found.max_tokens == 256


def test_the_front_matter_of_the_readme_tells_a_reranker(tmp_path: Path) -> None:
    readme = "---\nlicense: mit\npipeline_tag: text-ranking\n---\n# A model\n"
    config = kind("BertForSequenceClassification")
    assert inspected(folder(tmp_path, config, README__md=readme)).kinds[0].tasks == ("rerank",)


@pytest.mark.parametrize(
    ("tag", "task"),
    [
        ("translation", "translate"),
        ("summarization", "summarize"),
        ("text2text-generation", "text2text"),
    ],
)
def test_the_front_matter_of_the_readme_tells_what_a_model_writes(
    tmp_path: Path, tag: str, task: str
) -> None:
    config = kind("BartForConditionalGeneration")
    first, *others = inspected(
        folder(tmp_path, config, README__md=f"---\npipeline_tag: {tag}\n---\n")
    ).kinds
    assert first.tasks == (task,)
    assert {other.tasks[0] for other in others} == {"translate", "summarize", "text2text"} - {task}


def test_the_window_is_that_of_the_text_model(tmp_path: Path) -> None:
    config = kind("LlamaForCausalLM", text_config={"max_position_embeddings": 77})
    assert inspected(folder(tmp_path, config)).window == 77


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (kind("BertForMultipleChoice"), "a BertForMultipleChoice, which chooses between endings"),
        (kind("Speech2TextForConditionalGeneration", num_mel_bins=80), "a Speech2TextForCond"),
        (kind("UnheardOf"), "a UnheardOf; no family here serves that"),
        ({}, "names no architecture"),
        ({"architectures": "BertModel"}, "no list of architectures"),
        (kind("BertModel", model_type="bert", auto_map={}), "code of its own"),
    ],
)
def test_what_no_family_serves_is_refused_with_what_it_is(
    tmp_path: Path, config: dict[str, Any], why: str
) -> None:
    with pytest.raises(ModelRefusedError, match=why):
        inspected(folder(tmp_path, config, code__py="print()"))


def pipeline(root: Path, index: Any, weights: str = "unet/a.safetensors") -> Path:
    """A folder of a pipeline of diffusers."""
    made = folder(root, model_index__json=index, model__safetensors=None)
    (made / weights).parent.mkdir(exist_ok=True)
    (made / weights).write_bytes(EMPTY)
    return made


STABLE: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "scheduler": ["diffusers", "PNDMScheduler"],
}


def test_a_pipeline_of_diffusers_makes_images(tmp_path: Path) -> None:
    parts = {"safety_checker": [None, None], "requires_safety_checker": False}
    found = inspected(pipeline(tmp_path, STABLE | parts))
    assert (found.what, found.weight_bytes) == ("StableDiffusionPipeline", len(EMPTY))
    assert found.kinds[0].tasks == ("image_generate",)


@pytest.mark.parametrize(
    ("index", "weights", "why"),
    [
        (
            STABLE | {"_class_name": "FluxPipeline"},
            "unet/a.safetensors",
            "it is a FluxPipeline; no",
        ),
        (STABLE | {"unet": ["own", "UNet"]}, "unet/a.safetensors", "its unet has code of its own"),
        ({}, "unet/a.safetensors", "names no class"),
        ([], "unet/a.safetensors", "is not an object"),
        (STABLE, "all.safetensors", "no safetensors weights"),
        (STABLE, "unet/a.bin", "no safetensors weights"),
    ],
)
def test_other_pipelines_are_refused_with_what_they_are(
    tmp_path: Path, index: Any, weights: str, why: str
) -> None:
    with pytest.raises(ModelRefusedError, match=why):
        inspected(pipeline(tmp_path, index, weights))


@pytest.mark.parametrize(
    "value",
    [[["x"], "y"], [{}, "y"], ["diffusers", ["y"]], ["diffusers"], [None, "y"], [], {}, "xy", 1],
)
@pytest.mark.parametrize("part", ["unet", "scheduler"])
def test_a_part_that_names_no_class_is_refused(tmp_path: Path, part: str, value: Any) -> None:
    with pytest.raises(ModelRefusedError, match=f"names no library and class for its {part}; no"):
        inspected(pipeline(tmp_path, STABLE | {part: value}))


@pytest.mark.parametrize(
    ("part", "library", "name"),
    [
        ("unet", "diffusers", "StableDiffusionPipeline"),
        ("unet", "stable_diffusion", "StableDiffusionPipeline"),
        ("vae", "diffusers", "KandinskyCombinedPipeline"),
        ("text_encoder", "transformers", "AutoModel"),
        ("scheduler", "diffusers", "StableDiffusionPipeline"),
        ("scheduler", "transformers", "PNDMScheduler"),
        ("prior", "diffusers", "UNet2DConditionModel"),
    ],
)
def test_a_part_of_another_class_is_refused(
    tmp_path: Path, part: str, library: str, name: str
) -> None:
    with pytest.raises(ModelRefusedError, match=f"its {part} is a {name}; no"):
        inspected(pipeline(tmp_path, STABLE | {part: [library, name]}))


@pytest.mark.parametrize("part", [part for part in STABLE if not part.startswith("_")])
def test_a_pipeline_without_a_part_that_it_needs_is_refused(tmp_path: Path, part: str) -> None:
    for number, index in enumerate(
        (STABLE | {part: [None, None]}, {name: STABLE[name] for name in STABLE if name != part})
    ):
        with pytest.raises(ModelRefusedError, match=f"it has no {part}; no"):
            inspected(pipeline(tmp_path / str(number), index))


def test_code_of_a_model_is_accepted_where_it_is_trusted(tmp_path: Path) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM", auto_map={}), code__py="print()")
    assert inspected(made, trust_remote_code=True).kinds


BAD_FILES: list[tuple[dict[str, Any], str]] = [
    ({"config__json": "{"}, "config.json is not JSON"),
    ({"config__json": "[]"}, "config.json is not an object"),
    ({"config__json": "[" * 100_000}, "config.json is not JSON"),
    ({"config__json": b"\xff\xfe{}"}, "config.json is not JSON"),
    ({"config__json": " " * 1_100_000}, "config.json has more than"),
    ({"model__safetensors": b""}, "model.safetensors is not safetensors, or damaged"),
    ({"model__safetensors": b"\xff" * 16}, "model.safetensors is not safetensors, or damaged"),
    ({"model__safetensors": EMPTY[:-1]}, "model.safetensors is not safetensors, or damaged"),
    ({"model__safetensors": EMPTY[:8] + b"xx"}, "model.safetensors is not safetensors"),
    ({"model__safetensors": None}, "has no safetensors weights"),
    ({"tokenizer__json": None}, "has no tokenizer"),
    ({"config__json": None}, "has no config.json"),
]


@pytest.mark.parametrize(("files", "why"), BAD_FILES)
def test_files_that_cannot_be_right_are_refused(
    tmp_path: Path, files: dict[str, Any], why: str
) -> None:
    with pytest.raises(ModelRefusedError, match=why):
        inspected(folder(tmp_path, kind("LlamaForCausalLM"), **files))


def test_pickles_are_refused_unless_the_rule_converts_them(tmp_path: Path) -> None:
    files = {"model__safetensors": None, "pytorch_model__bin": b"pickle"}
    made = folder(tmp_path, kind("LlamaForCausalLM"), **files)
    with pytest.raises(ModelRefusedError, match="pickles are not loaded here"):
        inspected(made)
    assert inspected(made, allow_bin=True).format == "pickle"


def test_weights_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM"))
    with (made / "model-2.safetensors").open("wb") as file:
        file.write(EMPTY)
        file.truncate(2**20)
    with pytest.raises(ModelRefusedError, match="at most"):
        inspected(made, max_gb=0.0005)


@pytest.mark.parametrize("small", ["model.gguf", "2_Dense/model.safetensors"])
def test_small_weights_beside_large_ones_do_not_hide_them(tmp_path: Path, small: str) -> None:
    name = "model.safetensors" if small.endswith(".gguf") else "pytorch_model.bin"
    made = folder(tmp_path, kind("LlamaForCausalLM"), model__safetensors=None)
    (made / small).parent.mkdir(exist_ok=True)
    (made / small).write_bytes(EMPTY)
    with (made / name).open("wb") as file:
        file.write(EMPTY)
        file.truncate(2**20)
    with pytest.raises(ModelRefusedError, match="at most"):
        inspected(made, allow_bin=True, max_gb=0.0005)
    assert inspected(made, allow_bin=True).weight_bytes >= 2**20


def test_a_folder_outside_the_allowed_one_is_not_there(tmp_path: Path) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM"))
    inside = tmp_path / "allowed"
    inside.mkdir()
    (inside / "link").symlink_to(made)
    for path in (inside / "link", inside / ".." / "models" / "model", inside, inside / "missing"):
        with pytest.raises(ModelNotThereError):
            inspect_model(Inspection(FolderSource(folder=path), inside, 1.0), tmp_path)


@pytest.mark.parametrize("name", ["generation_config.json", "1_Pooling", "a/b/c/deep.json"])
@pytest.mark.parametrize("target", ["secret", "secret.json", "models/other", "missing"])
def test_a_link_that_leads_out_of_the_folder_is_refused(
    tmp_path: Path, name: str, target: str
) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM"))
    (tmp_path / "secret.json").write_text("{}")
    for each in ("secret", "models/other"):
        (tmp_path / each).mkdir()
    (made / name).parent.mkdir(parents=True, exist_ok=True)
    (made / name).symlink_to(tmp_path / target)
    with pytest.raises(ModelRefusedError, match=f"its {name} is a link that leads out of the fold"):
        inspected(made)


def test_links_inside_the_folder_are_followed_once(tmp_path: Path) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM"), tokenizer__json=None, config__json=None)
    (made / "blobs").mkdir()
    (made / "blobs" / "1").write_text(json.dumps(kind("LlamaForCausalLM")))
    (made / "config.json").symlink_to("blobs/1")
    (made / "tokenizer.json").symlink_to(made / "blobs" / "1")
    (made / "blobs" / "again").symlink_to(made)
    assert inspected(made).kinds[0].tasks == ("generate", "chat")


def test_a_folder_of_too_many_folders_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "MAX_FILES", 10)
    made = folder(tmp_path, kind("LlamaForCausalLM"))
    made.joinpath(*"abcdefghijk").mkdir(parents=True)
    with pytest.raises(ModelRefusedError, match="more than 10 files and folders"):
        inspected(made)


@pytest.mark.parametrize("module", [{"path": "../../other"}, {"path": "/etc"}, {"path": 1}, "x"])
def test_a_module_outside_the_folder_is_refused(tmp_path: Path, module: Any) -> None:
    modules = [{"path": ""}, {"path": "1_Pooling"}, module]
    made = folder(tmp_path, kind("BertModel", model_type="bert"), modules__json=modules)
    with pytest.raises(ModelRefusedError, match=r"modules\.json names a path"):
        inspected(made)


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM"), config__json=None)
    os.mkfifo(made / "config.json")
    with pytest.raises(ModelRefusedError, match=r"has no config\.json"):
        inspected(made)


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "models" / "model").mkdir(parents=True)
    with pytest.raises(ModelNotThereError):
        inspected(tmp_path / "models" / "model")
