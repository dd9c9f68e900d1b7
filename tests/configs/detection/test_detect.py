"""What a model is, found out from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.detection import ModelRefusedError
from tests.configs.detection.model_folders import folder, inspected, kind

NLI = {"id2label": {"0": "contradiction", "1": "neutral", "2": "entailment"}}
STARS = {"id2label": {"0": "1 star", "1": "2 stars"}}


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


def test_code_of_a_model_is_accepted_where_it_is_trusted(tmp_path: Path) -> None:
    made = folder(tmp_path, kind("LlamaForCausalLM", auto_map={}), code__py="print()")
    assert inspected(made, trust_remote_code=True).kinds
