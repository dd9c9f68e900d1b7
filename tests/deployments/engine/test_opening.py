from __future__ import annotations

from deployments.engine.opening import unsupported
from deployments.engine.torch_batch import UNSUPPORTED as TORCH_UNSUPPORTED


def test_each_kind_tells_what_it_cannot_do_before_it_is_opened() -> None:
    assert unsupported("torch") == TORCH_UNSUPPORTED == frozenset()
    assert unsupported("openvino") == {
        "logit_bias",
        "top_logprobs",
        "frequency_penalty",
        "presence_penalty",
    }
