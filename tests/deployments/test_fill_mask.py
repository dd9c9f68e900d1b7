"""Masked words are filled in as transformers' own pipeline does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import (
    BertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    pipeline,
)

from deployments.classification import Classification
from deployments.conversion.openvino_export import write_export
from deployments.encoders.openvino import OpenVinoNetwork
from deployments.encoders.pytorch import load_network
from deployments.encoders.tokenization import TokenizedText
from deployments.seam.fill_mask import FillMaskRequest, FillMaskResult, TokenPrediction
from deployments.seam.problems import Problem
from tests.deployments import tiny
from tests.deployments.families import (
    MAX_TOKENS,
    bert_config,
    family_of,
    saved,
    started,
    tokenizer,
    watch_batches,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]

TEXTS = ("a [MASK] cat", "sport and [MASK]", "[MASK] b c d", "this is a [MASK] .")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(BertForMaskedLM(bert_config()), tmp_path_factory.mktemp("bert") / "model")


async def filled(folder: Path, *texts: str, **request: Any) -> list[Any]:
    family = Classification(family_of(folder, "fill_mask"))
    answer = await family.fill_mask(FillMaskRequest("tiny", texts, **request))
    assert isinstance(answer, FillMaskResult), answer
    return list(answer.items)


def expected(folder: Path, text: str, **options: Any) -> list[TokenPrediction]:
    """What the pipeline answers."""
    found = pipeline("fill-mask", model=str(folder))(text, **options)
    about: Any = pytest.approx
    return [
        TokenPrediction(
            each["token"], each["token_str"], about(each["score"], 1e-4), each["sequence"]
        )
        for each in found
    ]


async def test_the_likeliest_tokens_are_those_of_the_pipeline(folder: Path) -> None:
    for text, predictions in zip(TEXTS, await filled(folder, *TEXTS, top_k=4), strict=True):
        assert list(predictions) == expected(folder, text, top_k=4)


async def test_targets_are_the_only_tokens_that_count(folder: Path) -> None:
    targets = ("tax", "sport", "##s", "sport")
    (predictions,) = await filled(folder, TEXTS[0], top_k=9, targets=targets)
    assert list(predictions) == expected(folder, TEXTS[0], targets=list(targets[:3]))


async def test_a_target_that_is_not_one_token_is_named(folder: Path) -> None:
    family = Classification(family_of(folder, "fill_mask"))
    request = FillMaskRequest("tiny", TEXTS, targets=("tax", "sport tax"))
    answer = await family.fill_mask(request)
    assert answer == Problem(
        "validation", "'sport tax' is 2 tokens of the model; expected one", "targets"
    )


async def test_a_text_without_exactly_one_mask_fails_alone(folder: Path) -> None:
    long = "a " * MAX_TOKENS + "[MASK]"
    none, two, too_long, good = await filled(
        folder, "a cat", "[MASK] and [MASK]", long, TEXTS[0], top_k=1
    )
    assert none.message == "the text has 0 mask tokens; expected one [MASK]"
    assert two.message == "the text has 2 mask tokens; expected one [MASK]"
    assert f"maximum context length is {MAX_TOKENS} tokens" in too_long.message
    assert list(good) == expected(folder, TEXTS[0], top_k=1)
    (cut,) = await filled(folder, long, truncate=True)
    assert cut == none


async def test_the_head_computes_one_token_of_each_text(folder: Path) -> None:
    options = {"dtype": None, "use_safetensors": True, "trust_remote_code": False}
    network = load_network("masked", folder, "cpu", options)
    texts = [TokenizedText(tokenizer()(text)) for text in TEXTS[:2]]
    assert network(texts).shape == (2, len(tokenizer()))


async def test_texts_of_several_requests_share_a_forward(folder: Path) -> None:
    family = Classification(family_of(folder, "fill_mask"))
    batches: list[int] = []
    watch_batches(family, lambda batch: batches.append(len(batch)))
    await started(family)
    batches.clear()
    answer = await family.fill_mask(FillMaskRequest("tiny", TEXTS))
    assert isinstance(answer, FillMaskResult)
    assert batches == [len(TEXTS)]
    assert answer.token_counts.prompt == sum(len(tokenizer()(text)["input_ids"]) for text in TEXTS)


async def test_a_model_whose_positions_are_offset_and_whose_mask_has_another_name(
    tmp_path: Path,
) -> None:
    made: Any = tiny.tokenizer()
    made.add_special_tokens({"mask_token": "<mask>"})
    config = RobertaConfig(**(tiny.SIZES | {"vocab_size": len(made)}))
    RobertaForMaskedLM(config).save_pretrained(tmp_path)
    made.save_pretrained(tmp_path)
    (predictions,) = await filled(tmp_path, "w1 <mask> w3", top_k=3)
    assert list(predictions) == expected(tmp_path, "w1 <mask> w3", top_k=3)


async def test_an_export_to_openvino_answers_alike(folder: Path, tmp_path: Path) -> None:
    write_export(folder, tmp_path, "masked")
    network = OpenVinoNetwork(tmp_path, threads=1, bfloat16=False)
    assert network.tokenizer.mask_token == "[MASK]"
    options = {"dtype": None, "use_safetensors": True, "trust_remote_code": False}
    texts = [TokenizedText(tokenizer()(text)) for text in TEXTS]
    ours, theirs = network(texts), load_network("masked", folder, "cpu", options)(texts)
    assert ours == pytest.approx(theirs, abs=1e-3)


async def test_tasks_that_need_different_heads_are_no_model_of_the_family(folder: Path) -> None:
    family = Classification(family_of(folder, "fill_mask", "sentiment"))
    with pytest.raises(ValueError, match="no one head"):
        await started(family)


async def test_a_tokenizer_without_a_mask_token_is_refused(tmp_path: Path) -> None:
    model = BertForMaskedLM(bert_config())
    folder = tiny.saved(tmp_path / "model", model)
    with pytest.raises(ValueError, match="mask token"):
        await started(Classification(family_of(folder, "fill_mask")))
