from __future__ import annotations

import math

import pytest
import torch

from deployments.engine.codec import TextCodec
from deployments.engine.token_logprobs import SampledRow, token_logprobs


def test_each_row_has_as_many_alternatives_as_were_asked_for(byte_codec: TextCodec) -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 257)
    rows = [SampledRow(2, 7, 0), SampledRow(0, 8, 20), SampledRow(1, 9, 257)]
    logprobs = token_logprobs(logits, rows, byte_codec)
    assert [len(each.top) for each in logprobs] == [0, 20, 257]
    assert [each.text for each in logprobs] == [byte_codec.token_text(id_) for id_ in (7, 8, 9)]
    expected = logits.log_softmax(-1)[[2, 0, 1], [7, 8, 9]].tolist()
    assert [each.logprob for each in logprobs] == pytest.approx(expected)
    assert math.fsum(math.exp(value) for _, value, _ in logprobs[2].top) == pytest.approx(1.0)


def test_equally_likely_tokens_are_in_the_order_of_their_ids(byte_codec: TextCodec) -> None:
    logits = torch.zeros(1, 257)
    logits[0, [200, 30, 100]] = 2.0
    (logprob,) = token_logprobs(logits.bfloat16(), [SampledRow(0, 30, 3)], byte_codec)
    assert logprob.top_ids == (30, 100, 200)
    assert logprob.logprob == logprob.top[0][1]


def test_requested_tokens_are_reported_whether_likely_or_not(
    byte_codec: TextCodec,
) -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 257)
    rows = [SampledRow(1, 7, 3, (250, 3, 250)), SampledRow(0, 8, 2)]
    asking, other = token_logprobs(logits, rows, byte_codec)
    assert asking.of_token_ids == pytest.approx(logits.log_softmax(-1)[1, [250, 3, 250]].tolist())
    assert (len(asking.top), len(other.top), other.of_token_ids) == (3, 2, ())
    expected = logits.log_softmax(-1)[[1, 0], [7, 8]].tolist()
    assert [asking.logprob, other.logprob] == pytest.approx(expected)
