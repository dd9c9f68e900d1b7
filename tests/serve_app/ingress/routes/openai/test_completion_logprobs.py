"""Log probabilities of completions: OpenAI's older shape, with offsets into the text."""

from __future__ import annotations

from deployments.seam.generation import (
    GeneratedSequence,
    GenerationResult,
    Token,
    TokenChunk,
    TokenLogprob,
)
from tests.serve_app.house import FAST, FULL, events
from tests.serve_app.ingress.routes.openai.completion_calls import LOGPROBS, posted, reaching
from tests.serve_app.local_handle import Family


async def test_an_engine_without_alternatives_names_a_model_that_has_them() -> None:
    response = await posted(Family(), model=FAST, logprobs=2)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "logprobs")
    assert FULL in response.json()["error"]["message"]


async def test_the_chosen_tokens_own_probability_needs_no_alternatives() -> None:
    (request,) = await reaching(model=FAST, logprobs=0)
    assert (request.sampling.logprobs, request.sampling.top_logprobs) == (True, 0)


async def test_log_probabilities_have_the_older_shape_with_offsets() -> None:
    answer = GenerationResult(3, (GeneratedSequence("abc", "stop", 2, LOGPROBS),))
    response = await posted(Family(answer), model=FULL, logprobs=1)
    assert response.json()["choices"][0]["logprobs"] == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [{"x": -1.0, "ab": -0.5}, {"c": -0.25}],
        "text_offset": [0, 2],
    }


async def test_offsets_go_on_through_a_stream() -> None:
    tokens = (Token(0, 0, 1, "ab", None, LOGPROBS[0]), Token(0, 1, 2, "c", "stop", LOGPROBS[1]))
    family = Family([TokenChunk(3, tokens)])
    response = await posted(family, model=FULL, logprobs=1, stream=True)
    chunks = [data["choices"][0] for _, data in events(response.text) if data != "[DONE]"]
    assert [chunk["logprobs"]["text_offset"] for chunk in chunks] == [[0], [2]]


PARTS = [b" \xf0\x9f", b"\x99\x82", b"<|mark|>", b"a\xc3", b"\xa9", b"!", b"\xff", b"end", b"e"]
SPELT = " 🙂aé!\ufffd"
OFFSETS = [0, 1, 2, 2, 3, 4, 5, 6, 6]


def spelt(raw: bytes) -> TokenLogprob:
    return TokenLogprob(raw.decode(errors="replace"), -0.5, raw)


async def test_offsets_index_the_text_where_characters_have_several_tokens() -> None:
    """Marks have no text, and neither has the stop string that ended it."""
    special = tuple(raw.startswith(b"<|") for raw in PARTS)
    choice = GeneratedSequence(SPELT, "stop", len(PARTS), tuple(map(spelt, PARTS)), "ende", special)
    response = await posted(Family(GenerationResult(3, (choice,))), model=FULL, logprobs=0)
    answer = response.json()["choices"][0]
    assert answer["logprobs"]["text_offset"] == OFFSETS
    assert SPELT[OFFSETS[0] :].startswith(" 🙂")
    assert SPELT[OFFSETS[3] :].startswith("aé")


async def test_offsets_index_the_text_in_a_stream_too() -> None:
    texts = [" ", "🙂", "", "a", "é", "!", "\ufffd"]
    tokens = tuple(
        Token(0, at, at, text, None, spelt(raw), special=raw.startswith(b"<|"))
        for at, (text, raw) in enumerate(zip(texts, PARTS, strict=False))
    )
    last = Token(0, len(tokens), 2, "", "stop", spelt(b"<|end|>"), special=True)
    family = Family([TokenChunk(3, tokens), TokenChunk(3, (last,))])
    response = await posted(family, model=FULL, logprobs=0, stream=True)
    chunks = [data["choices"][0] for _, data in events(response.text) if data != "[DONE]"]
    found = [offset for chunk in chunks for offset in chunk["logprobs"]["text_offset"]]
    assert found == [*OFFSETS[:7], 6]
    assert "".join(chunk["text"] for chunk in chunks) == SPELT
