"""Trains the three shape models: ``python -m tests.shapes.training FOLDER [captions|...]``.

Captions and questions take three to four minutes each on a free core, detection more than ten.
Everything random comes from fixed seeds.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tests.shapes.drawing import COLOURS, KINDS, Drawing, Shape, drawing

logger = logging.getLogger(__name__)

SIDE, PATCH = 64, 8
SEED = 20
DRAWINGS = 6_000
NOISE = 0.04
RATE = 1.5e-3

COLOUR_QUESTIONS = (
    "what color is it?",
    "what color is the {kind}?",
    "what color is the shape?",
    "which color is this?",
)
KIND_QUESTIONS = ("what shape is it?", "what shape is this?", "what is it?", "what is this?")
ANSWERS = (*COLOURS, *KINDS)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PAD, UNK, CLS, SEP = range(4)
SIZES: dict[str, Any] = {
    "image_size": SIDE,
    "patch_size": PATCH,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.1,  # the usual 0.02 is for wide layers: these hardly begin to learn
}


def caption(shape: Shape) -> str:
    article = "an" if shape.colour[0] in "aeiou" else "a"
    return f"{article} {shape.colour} {shape.kind}"


def question(dice: random.Random, shape: Shape) -> tuple[str, str]:
    """A question about ``shape``, and its answer."""
    if dice.random() < 0.5:
        asked = dice.choice(COLOUR_QUESTIONS).format(kind=shape.kind)
        return asked.replace("color", dice.choice(("color", "colour"))), shape.colour
    return dice.choice(KIND_QUESTIONS), shape.kind


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


def make_detection(folder: Path) -> None:
    """A ``YolosForObjectDetection`` for up to two shapes. It has no tokenizer files.

    Starts from the captions' model, which has to lie beside ``folder``.
    """
    from transformers import YolosConfig, YolosForObjectDetection
    from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

    torch.manual_seed(SEED)
    sizes = {**SIZES, "image_size": [SIDE, SIDE], "num_hidden_layers": 3}
    config: Any = YolosConfig(
        **sizes,
        num_detection_tokens=4,
        use_mid_position_embeddings=False,
        id2label=dict(enumerate(KINDS)),
        label2id={kind: index for index, kind in enumerate(KINDS)},
    )
    model: Any = YolosForObjectDetection(config)
    _start(model.vit, folder.with_name("captions"))
    processor: Any = YolosImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, do_pad=False, format="coco_detection"
    )
    drawings = [*drawn(DRAWINGS, shapes=1), *drawn(DRAWINGS // 4, shapes=2)]
    pixels = torch.cat([processor(d.image, return_tensors="pt")["pixel_values"] for d in drawings])
    labels = [_targets(d) for d in drawings]

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        targets = [labels[i] for i in chosen.tolist()]
        value: torch.Tensor = model(pixel_values=noisy(pixels[chosen]), labels=targets).loss
        return value

    train(model, loss, len(drawings), steps=6000, batch=24)
    save(model, folder, processor)


def _start(finder: Any, captions: Path) -> None:
    """Start from the reader of the captions' model, which can tell shapes from grounds already.

    Its layers are the finder's first ones. The tokens that look for objects start at random:
    transformers starts all of them at zero, where nothing tells them apart.
    """
    from transformers import VisionEncoderDecoderModel

    reader: Any = VisionEncoderDecoderModel.from_pretrained(captions).encoder
    known, own = {}, finder.state_dict()
    for name, tensor in reader.state_dict().items():
        for part, here in READER_TO_FINDER.items():
            name = name.replace(part, here)
        if name in own and own[name].shape == tensor.shape:
            known[name] = tensor
    finder.load_state_dict(known, strict=False)
    places = reader.embeddings.position_embeddings[0]
    with torch.no_grad():
        finder.embeddings.position_embeddings[0, : len(places)] = places
        torch.nn.init.normal_(finder.embeddings.detection_tokens, std=0.5)


READER_TO_FINDER = {
    "layers.": "encoder.layer.",
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
"""What transformers calls the same layers in ViT and in YOLOS."""


def _targets(of: Drawing) -> dict[str, torch.Tensor]:
    """Classes, and boxes as centre and size relative to the image."""
    width, height = of.image.size
    boxes = [
        ((a + c) / 2 / width, (b + d) / 2 / height, (c - a) / width, (d - b) / height)
        for a, b, c, d in (shape.box for shape in of.shapes)
    ]
    classes = torch.tensor([KINDS.index(shape.kind) for shape in of.shapes])
    return {"class_labels": classes, "boxes": torch.tensor(boxes)}


def drawn(count: int, shapes: int) -> list[Drawing]:
    dice = random.Random(f"{SEED} {shapes}")
    return [drawing(dice, shapes) for _ in range(count)]


def noisy(pixels: torch.Tensor) -> torch.Tensor:
    return pixels + NOISE * torch.randn_like(pixels)


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


def train(
    model: Any, loss: Callable[[torch.Tensor], torch.Tensor], items: int, *, steps: int, batch: int
) -> None:
    """AdamW with a short warm-up, then the rate falls along a cosine."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=RATE, total_steps=steps, pct_start=0.05
    )
    model.train()
    for step in range(steps):
        value = loss(torch.randint(items, (batch,)))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            logger.info("step %d of %d: loss %.4f", step, steps, value.item())


def save(model: Any, folder: Path, *others: Any) -> None:
    for part in (model.eval(), *others):
        part.save_pretrained(folder)


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
