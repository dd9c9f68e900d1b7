"""Trains the three shape models: ``python -m tests.shapes.training FOLDER [captions|...]``.

Captions and questions take three to four minutes each on a free core, detection more than ten.
Everything random comes from fixed seeds.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.shapes.detection_training import make_detection
from tests.shapes.drawing import COLOURS, KINDS
from tests.shapes.learning import DRAWINGS, PATCH, SEED, SIDE, SIZES, drawn, noisy, save, train
from tests.shapes.sentences import ANSWERS, COLOUR_QUESTIONS, KIND_QUESTIONS, caption, question

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PAD, UNK, CLS, SEP = range(4)


def make_captions(folder: Path) -> None:
    """A ``VisionEncoderDecoderModel``: a ViT that reads, a GPT-2 that writes "a red circle"."""
    from transformers import (
        GenerationConfig,
        GPT2Config,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
        ViTConfig,
    )
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    torch.manual_seed(SEED)
    words = tokenizer(["a", "an", *COLOURS, *KINDS])
    marks: dict[str, Any] = {"bos_token_id": CLS, "eos_token_id": SEP, "pad_token_id": PAD}
    writing: Any = GPT2Config  # untyped, as the others
    writer = writing(
        vocab_size=len(words),
        n_positions=16,
        n_embd=64,
        n_layer=2,
        n_head=4,
        initializer_range=SIZES["initializer_range"],
        add_cross_attention=True,
        is_decoder=True,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **marks,
    )
    config: Any = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        ViTConfig(**SIZES), writer
    )
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = CLS, PAD, SEP
    model: Any = VisionEncoderDecoderModel(config=config)
    settings: Any = GenerationConfig
    model.generation_config = settings(decoder_start_token_id=CLS, max_new_tokens=8, **marks)
    processor: Any = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    drawings = drawn(DRAWINGS, shapes=1)
    pixels = processor([d.image for d in drawings], return_tensors="pt")["pixel_values"]
    texts = [caption(d.shapes[0]) for d in drawings]
    ids: list[list[int]] = words(texts)["input_ids"]
    wanted = torch.tensor([row[1:] for row in ids])  # the model itself puts [CLS] in front

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = model(pixel_values=noisy(pixels[chosen]), labels=wanted[chosen]).loss
        return value

    train(model, loss, len(drawings), steps=3000, batch=24)
    save(model, folder, processor, words)


def make_questions(folder: Path) -> None:
    """A ``ViltForQuestionAnswering`` that classifies over ``ANSWERS``."""
    from transformers import ViltConfig, ViltForQuestionAnswering, ViltProcessor
    from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

    torch.manual_seed(SEED)
    asking = " ".join((*COLOUR_QUESTIONS, *KIND_QUESTIONS))
    known = asking.replace("{kind}", "").replace("?", " ? ").split()
    words = tokenizer([*dict.fromkeys([*known, "colour", *COLOURS, *KINDS])])
    config: Any = ViltConfig(
        **SIZES,
        vocab_size=len(words),
        max_position_embeddings=16,
        max_image_length=-1,
        id2label=dict(enumerate(ANSWERS)),
        label2id={answer: index for index, answer in enumerate(ANSWERS)},
    )
    model: Any = ViltForQuestionAnswering(config)
    reading: Any = ViltImageProcessorPil
    images = reading(size={"shortest_edge": SIDE}, size_divisor=PATCH)
    drawings = drawn(DRAWINGS, shapes=1)
    read = [images(d.image, return_tensors="pt")["pixel_values"][0] for d in drawings]
    alike: dict[torch.Size, list[int]] = {}
    for index, image in enumerate(read):
        alike.setdefault(image.shape, []).append(index)
    dice = random.Random(SEED)
    groups = list(alike.values())

    def loss(_: torch.Tensor) -> torch.Tensor:
        group = dice.choices(groups, weights=[len(g) for g in groups])[0]
        chosen = dice.choices(group, k=24)
        pairs = [question(dice, drawings[i].shapes[0]) for i in chosen]
        pixels = noisy(torch.stack([read[i] for i in chosen]))
        texts = words([asked for asked, _ in pairs], padding=True, return_tensors="pt")
        mask = torch.ones(pixels.shape[0], *pixels.shape[2:], dtype=torch.long)
        right = torch.tensor([ANSWERS.index(answer) for _, answer in pairs])
        labels = torch.nn.functional.one_hot(right, len(ANSWERS)).float()
        value: torch.Tensor = model(
            **texts, pixel_values=pixels, pixel_mask=mask, labels=labels
        ).loss
        return value

    train(model, loss, len(drawings), steps=3000, batch=1)
    model.eval().save_pretrained(folder)
    processor: Any = ViltProcessor
    processor(images, words).save_pretrained(folder)


def tokenizer(words: Sequence[str]) -> Any:
    """One token a word, in lower case."""
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *words))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        bos_token="[CLS]",
        eos_token="[SEP]",
        model_max_length=16,
    )


MODELS = {
    "captions": make_captions,
    "questions": make_questions,
    "detection": make_detection,
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.shapes.training")
    parser.add_argument("folder", type=Path, help="a folder a model is written below it")
    parser.add_argument("models", nargs="*", choices=MODELS, default=list(MODELS))
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)  # sums in one order, whatever the machine
    for name in chosen.models or MODELS:
        MODELS[name](chosen.folder / name)


if __name__ == "__main__":
    main(sys.argv[1:])
