"""A vision-language model with random weights: Idefics3, whose images have a few tokens each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from tests.deployments import tiny

WINDOW = 128
IMAGE_TOKENS = 7
"""Tokens of an image in a prompt: four for its patches, and three around them."""

PLACES = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
TEMPLATE = """{{ bos_token }}{% for message in messages %}{{ message['role'] }} \
{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}\
{{ part['text'] }}{% endif %}{% endfor %}<end_of_utterance> {% endfor %}\
{% if add_generation_prompt %}assistant {% endif %}"""


def vision_language(folder: Path, template: str = TEMPLATE, window: int = WINDOW) -> Path:
    """The checkpoint, with its processor and chat template."""
    torch.manual_seed(0)
    words = tiny.tokenizer()
    words.bos_token = "[CLS]"
    words.add_special_tokens({"additional_special_tokens": list(PLACES)})
    text = {
        **tiny.SIZES,
        "model_type": "llama",
        "max_position_embeddings": window,
        "vocab_size": len(words),
        "eos_token_id": 3,
    }
    config_class: Any = Idefics3Config
    config = config_class(
        text_config=text,
        vision_config={**tiny.IMAGE_SIZES, "image_size": tiny.SIDE, "patch_size": 8},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=1,
    )
    model: Any = Idefics3ForConditionalGeneration(config)
    model.eval().save_pretrained(folder)
    side = {"longest_edge": tiny.SIDE}
    images: Any = Idefics3ImageProcessorPil(
        size=side, max_image_size=side, do_image_splitting=False
    )
    processor: Any = Idefics3Processor
    processor(images, words, image_seq_len=4, chat_template=template).save_pretrained(folder)
    return folder
