"""Forwards of a vision-language model for one sequence, as ``generate`` makes them."""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any

import torch
from transformers import DynamicCache

from deployments.engine.codec import TextCodec
from deployments.engine.interface import EngineNotLoaded
from deployments.engine.sequence import Arrays
from deployments.images.preprocessing import CONTROL, INPUT_ERRORS
from deployments.seam.generation import ChatImage, ChatMessage

_PROBE_TOKENS = 3
_MAX_ERROR = {torch.float32: 1e-3}
_MAX_HALF_ERROR = 0.05
"""How far logits may be from those of ``generate``, in standard deviations of those."""


class ImageTextForward:
    """Adds the tokens of a sequence to its KV cache; the first forward reads the images, too.

    ``inputs`` are the tensors of the images in the ``prompt_tokens`` first tokens. Positions are
    prepared as ``generate`` prepares them, since some models give an image positions of its own
    (M-RoPE, arXiv:2409.12191), and are part of this object: the model keeps none.
    """

    def __init__(self, model: Any, inputs: Arrays, prompt_tokens: int) -> None:
        self._model = model
        self._prompt_tokens = prompt_tokens
        self._cache = DynamicCache(config=model.config)
        self._inputs: dict[str, Any] = {name: _on(model, each) for name, each in inputs.items()}
        self._is_first = True

    def __call__(self, tokens: list[int], wanted: int) -> torch.Tensor:
        """The logits after the last ``wanted`` of ``tokens``, of shape (wanted, vocabulary).

        The first call has all tokens that there are, the prompt's and those that were generated
        before a preemption.
        """
        model, first = self._model, self._is_first
        ids = torch.tensor([tokens], device=model.device)
        new = len(tokens) - self._prompt_tokens if first else len(tokens)
        if new:
            self._inputs = model._update_model_kwargs_for_generation(
                {}, self._inputs, num_new_tokens=new
            )
        if first and "position_ids" in inspect.signature(model.forward).parameters:
            positions = model._prepare_position_ids_for_generation(ids, dict(self._inputs))
            self._inputs["position_ids"] = positions
        prepared = model.prepare_inputs_for_generation(
            ids,
            next_sequence_length=len(tokens),
            past_key_values=self._cache,
            attention_mask=None,
            is_first_iteration=first,
            use_cache=True,
            logits_to_keep=wanted,
            **self._inputs,
        )
        output = model(**prepared, return_dict=True)
        self._is_first = False
        logits: torch.Tensor = output.logits[0, -wanted:]
        return logits


@torch.inference_mode()
def check_image_model(model: Any, codec: TextCodec, window: int) -> None:
    """Raise ``EngineNotLoaded`` unless ``model`` decodes a chat with an image as ``generate`` does.

    A chat without one is compared behind it, since models may remember positions of the last image.
    """
    if codec.images is None:
        raise EngineNotLoaded("its processor reads no images")
    images = codec.images
    question = ChatMessage("user", "?", images=(ChatImage(b"", 0),))
    try:
        text = codec.render_chat([question])
        if problem := images.problem(text, [CONTROL]):
            raise EngineNotLoaded(f"its chat template shows no images: {problem.message}")
        ids, inputs = images.encode(text, [CONTROL])
    except INPUT_ERRORS as error:
        raise EngineNotLoaded(f"it cannot read a chat with an image: {error}") from error
    if len(ids) >= window:
        raise EngineNotLoaded(f"an image takes {len(ids)} tokens of a window of {window}")
    plain = codec.encode_chat([ChatMessage("user", "?")])
    for tokens, given in ((ids, inputs), (plain, {})):
        try:
            difference = _difference(model, tokens, given)
        except (*INPUT_ERRORS, AttributeError, KeyError, AssertionError) as failure:
            raise EngineNotLoaded(f"it cannot decode a chat with an image: {failure}") from failure
        limit = _MAX_ERROR.get(model.dtype, _MAX_HALF_ERROR)
        if not difference <= limit:
            off = f"its logits are {difference:.2g} standard deviations off"
            raise EngineNotLoaded(f"it decodes images otherwise than generate: {off}")


def _difference(model: Any, ids: list[int], inputs: Arrays) -> float:
    """How far the logits of a few tokens are from those of ``generate``, as a root mean square."""
    config = deepcopy(model.generation_config)
    config.update(
        do_sample=False,
        num_beams=1,
        max_length=None,
        min_new_tokens=None,
        max_new_tokens=_PROBE_TOKENS,
        eos_token_id=None,
        output_logits=True,
        return_dict_in_generate=True,
    )
    prompt = torch.tensor([ids], device=model.device)
    expected = model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        generation_config=config,
        **{name: _on(model, each) for name, each in inputs.items()},
    )
    forward, tokens, worst = ImageTextForward(model, inputs, len(ids)), ids, 0.0
    for theirs, token in zip(
        expected.logits, expected.sequences[0, len(ids) :].tolist(), strict=True
    ):
        difference = forward(tokens, 1)[0].float() - theirs[0].float()
        error = difference.square().mean().sqrt() / theirs.float().std().clamp_min(1e-6)
        worst = max(worst, float(error))
        tokens = [token]
    return worst


def _on(model: Any, array: Any) -> torch.Tensor:
    """An input on the model's device; numbers with a fraction have the model's dtype."""
    tensor = torch.from_numpy(array)
    dtype = model.dtype if tensor.is_floating_point() else tensor.dtype
    return tensor.to(device=model.device, dtype=dtype)
