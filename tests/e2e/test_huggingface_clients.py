"""``huggingface_hub``'s own clients, unmodified, against the running graph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient, errors

from tests.e2e.conftest import Open

CHAT = "HuggingFaceTB/SmolLM2-135M-Instruct"
PROMPT = "The capital of France is"
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
NEWS = (
    "The council closed the old bridge for eighteen months, since engineers had found cracks in "
    "two of its pillars. A ferry carries pedestrians free of charge meanwhile."
)


@pytest.fixture
def text(at: Open) -> Iterator[InferenceClient]:
    with at(CHAT) as client:
        yield client


def test_a_text_is_continued_greedily(text: InferenceClient, at: Open) -> None:
    answer = text.text_generation(PROMPT, max_new_tokens=6)
    assert answer.startswith(" Paris")
    assert at("SmolLM2-135M-Instruct").text_generation(PROMPT, max_new_tokens=6) == answer
    whole = text.text_generation(PROMPT, max_new_tokens=6, return_full_text=True)
    assert whole == PROMPT + answer


def test_details_account_for_every_token(text: InferenceClient) -> None:
    answer = text.text_generation(PROMPT, max_new_tokens=6, details=True)
    details = answer.details
    assert details is not None
    assert (details.finish_reason, details.generated_tokens, details.seed) == ("length", 6, None)
    assert "".join(token.text for token in details.tokens) == answer.generated_text
    assert all(token.logprob < 0 and not token.special for token in details.tokens)
    assert details.prefill == []


def test_a_stop_string_ends_the_text_and_is_part_of_it(text: InferenceClient) -> None:
    answer = text.text_generation(PROMPT, max_new_tokens=40, stop=["."], details=True)
    assert answer.details is not None
    assert answer.details.finish_reason == "stop_sequence"
    assert answer.generated_text.count(".") == 1
    assert answer.generated_text.endswith(".")


def test_an_end_of_sequence_is_told_from_a_stop_string(text: InferenceClient) -> None:
    turn = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    *_, last = text.text_generation(turn, stream=True, details=True)
    assert last.generated_text is not None
    assert "Paris" in last.generated_text
    assert last.details is not None
    assert last.details.finish_reason == "eos_token"
    assert last.token.special


def test_a_stream_is_the_same_text_piece_by_piece(text: InferenceClient) -> None:
    whole = text.text_generation(PROMPT, max_new_tokens=8)
    pieces = list(text.text_generation(PROMPT, max_new_tokens=8, stream=True))
    assert len(pieces) == 8
    assert "".join(pieces) == whole
    *events, last = text.text_generation(PROMPT, max_new_tokens=8, stream=True, details=True)
    assert [event.index for event in events] == list(range(1, 8))
    assert all(event.details is None and event.generated_text is None for event in events)
    assert last.generated_text == whole
    assert last.details is not None
    assert (last.details.generated_tokens, last.details.finish_reason) == (8, "length")
    assert last.details.input_length == 5


def test_the_same_seed_gives_the_same_text(text: InferenceClient) -> None:
    def drawn(seed: int) -> str:
        return text.text_generation(PROMPT, max_new_tokens=16, do_sample=True, seed=seed)

    assert drawn(7) == drawn(7)
    assert len({drawn(seed) for seed in (7, 8, 9)}) > 1


def test_best_of_gives_the_likeliest(text: InferenceClient) -> None:
    answer = text.text_generation(
        PROMPT, max_new_tokens=4, best_of=3, do_sample=True, seed=4, details=True
    )
    details = answer.details
    assert details is not None
    others = details.best_of_sequences
    assert others is not None
    assert len(others) == 2
    assert sum(token.logprob for token in details.tokens) == max(
        sum(token.logprob for token in tokens)
        for tokens in (details.tokens, *(each.tokens for each in others))
    )


def test_truncate_keeps_the_end_of_a_prompt(text: InferenceClient) -> None:
    def last(before: str) -> Any:
        (*_, event) = text.text_generation(
            f"{before} {PROMPT}", truncate=5, max_new_tokens=6, stream=True, details=True
        )
        return event

    one, other = last("Bananas are yellow."), last("Q: What is two and two? A: Four.")
    assert one.details.input_length == other.details.input_length == 5
    assert one.generated_text == other.generated_text
    assert one.generated_text.startswith(" Paris")


def test_what_an_engine_cannot_do_is_named_with_a_model_that_can(
    text: InferenceClient, at: Open
) -> None:
    with pytest.raises(errors.ValidationError, match=r"parameters\.top_n_tokens.*-torch"):
        text.text_generation(PROMPT, top_n_tokens=2)
    answer = at(f"{CHAT}-torch").text_generation(
        PROMPT, top_n_tokens=2, details=True, max_new_tokens=2
    )
    assert answer.details is not None
    tops: Any = answer.details.top_tokens
    for token, top in zip(answer.details.tokens, tops, strict=True):
        assert len(top) == 2
        assert top[0]["id"] == token.id
        assert top[0]["logprob"] == pytest.approx(token.logprob)


@pytest.mark.parametrize(
    "parameter",
    [
        {"adapter_id": "some-lora"},
        {"typical_p": 0.5, "do_sample": True},
        {"watermark": True},
        {"decoder_input_details": True, "details": True},
        {"temperature": 3.0},
    ],
    ids=lambda parameter: next(iter(parameter)),
)
def test_a_parameter_that_cannot_be_honoured_is_named(
    text: InferenceClient, parameter: Any
) -> None:
    with pytest.raises(errors.ValidationError, match=f"parameters.{next(iter(parameter))}"):
        text.text_generation(PROMPT, **parameter)


def test_chats(text: InferenceClient) -> None:
    answer = text.chat_completion(MESSAGES, temperature=0)
    content = answer.choices[0].message.content
    assert content is not None
    assert "Paris" in content
    assert (answer.model, answer.choices[0].finish_reason) == (CHAT, "stop")
    pieces = text.chat_completion(MESSAGES, temperature=0, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == content
    same: Any = text.chat.completions.create(messages=MESSAGES, temperature=0, model="any")
    assert same.choices[0].message.content == content


def test_summaries(text: InferenceClient, at: Open) -> None:
    bounds = {"max_length": 40, "min_length": 5}
    short = text.summarization(NEWS, generate_parameters=bounds).summary_text
    assert "bridge" in short
    said_outright = at(f"{CHAT}/pipeline/summarization").summarization(NEWS).summary_text
    assert "bridge" in said_outright
    with pytest.raises(errors.BadRequestError, match=r"generate_parameters\.num_beams"):
        text.summarization(NEWS, generate_parameters={"num_beams": 4})


def test_an_unknown_model_is_404_and_lists_the_available_ones(at: Open) -> None:
    for call in (
        lambda: at("no/such").text_generation(PROMPT),
        lambda: at("no/such").feature_extraction("a cat"),
    ):
        with pytest.raises(errors.HfHubHTTPError, match=r"Available: .*all-MiniLM") as raised:
            call()
        assert raised.value.response.status_code == 404
        assert not isinstance(raised.value, errors.TextGenerationError)


def test_health_and_information(base_url: str) -> None:
    client = InferenceClient(model=f"{base_url}/models/{CHAT}", provider="hf-inference")
    assert client.health_check()
    info = client.get_endpoint_info()
    assert (info["model_id"], info["model_pipeline_tag"]) == (CHAT, "text-generation")
    nobody = InferenceClient(model=f"{base_url}/models/no/such", provider="hf-inference")
    assert not nobody.health_check()


async def test_the_asynchronous_client(base_url: str) -> None:
    async with AsyncInferenceClient(model=f"{base_url}/models/{CHAT}", timeout=120) as client:
        whole = await client.text_generation(PROMPT, max_new_tokens=6)
        pieces = await client.text_generation(PROMPT, max_new_tokens=6, stream=True)
        assert "".join([piece async for piece in pieces]) == whole
        chunks: Any = await client.chat_completion(MESSAGES, temperature=0, stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in chunks]
        assert "Paris" in "".join(said)
        with pytest.raises(errors.ValidationError, match="watermark"):
            await client.text_generation(PROMPT, watermark=True, stream=True)
    async with AsyncInferenceClient(
        model=f"{base_url}/models/all-MiniLM-L6-v2", timeout=120
    ) as client:
        assert (await client.feature_extraction("a cat")).shape == (1, 384)


def test_the_events_of_a_stream_are_tgis(client: httpx.Client) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 2}, "stream": True}
    answer = client.post(f"/models/{CHAT}", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, last = [json.loads(line[5:]) for line in answer.text.splitlines() if line]
    assert set(first) == set(last) == {"index", "token", "generated_text", "details"}
    assert set(first["token"]) == {"id", "text", "logprob", "special"}


@pytest.mark.parametrize(
    ("content", "content_type", "status", "message"),
    [
        (b'{"inputs": ', "application/json", 400, "not valid JSON"),
        (b"[]", "application/json", 400, "JSON object"),
        (b"a=b", "text/plain", 415, "application/json"),
        (b"{}", "application/json", 400, "inputs"),
        (b"\x89PNG", "image/png", 415, "application/json"),
    ],
)
def test_bad_bodies_get_one_readable_error(
    client: httpx.Client, content: bytes, content_type: str, status: int, message: str
) -> None:
    answer = client.post(f"/models/{CHAT}", content=content, headers={"content-type": content_type})
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "error_type", "details", "request_id"}
    assert message in answer.json()["error"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_the_chat_below_a_model_has_openais_errors(client: httpx.Client) -> None:
    answer = client.post(f"/models/{CHAT}/v1/chat/completions", json={"messages": []})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
