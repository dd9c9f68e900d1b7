from __future__ import annotations

from typing import Any

import pytest

from deployments.engine.codec import TextCodec
from deployments.engine.sequence import Sequence
from deployments.seam.generation import Sampling, Token, ToolCallMarkers


class Recorder:
    def __init__(self, codec: TextCodec, new: int = 100, **options: Any) -> None:
        self.codec = codec
        self.tokens: list[Token] = []
        self.sequence = Sequence(
            codec=codec,
            prompt_ids=codec.encode("prompt"),
            sampling=Sampling(),
            max_new_tokens=new,
            on_token=self.tokens.append,
            on_failure=lambda problem: None,
            **options,
        )

    def feed(self, text: str) -> bool:
        """Append the text byte by byte; whether that finished the sequence."""
        return self.feed_ids(self.codec.encode(text))

    def feed_ids(self, ids: list[int]) -> bool:
        return any(self.sequence.append(each) for each in ids)

    @property
    def deltas(self) -> list[str]:
        return [token.text for token in self.tokens]

    @property
    def reasons(self) -> list[str | None]:
        return [token.finish_reason for token in self.tokens]


def test_every_token_has_one_event_and_its_position(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, choice=3)
    assert record.feed("hé!") is False
    assert record.deltas == ["h", "", "é", "!"]
    assert [(token.position, token.choice) for token in record.tokens] == [
        (0, 3),
        (1, 3),
        (2, 3),
        (3, 3),
    ]


def test_the_end_of_sequence_counts_and_has_no_text(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec)
    assert record.feed_ids([*byte_codec.encode("ok"), 256]) is True
    assert record.deltas == ["o", "k", ""]
    assert record.reasons == [None, None, "stop"]


def test_the_budget_ends_a_sequence_by_length(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, new=3)
    assert record.feed("abcdef") is True
    assert record.reasons == [None, None, "length"]


def test_a_stop_string_cuts_the_text_before_it(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, stop=("END",))
    assert record.feed("a ENd END more") is True
    assert "".join(record.deltas) == "a ENd "
    assert len(record.tokens) == len("a ENd END")
    assert record.reasons[-1] == "stop"


def test_a_stop_string_wins_over_a_budget_used_up_by_it(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, new=4, stop=("END",))
    assert record.feed("xEND") is True
    assert (record.deltas, record.reasons[-1]) == (["x", "", "", ""], "stop")


def test_text_held_back_is_shown_when_the_budget_ends_it(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, new=3, stop=("END",))
    record.feed("xEN")
    assert record.deltas == ["x", "", "EN"]


def test_text_held_back_is_shown_when_the_model_ends_it(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, stop=("END",))
    record.feed_ids([*byte_codec.encode("xEN"), 256])
    assert record.deltas == ["x", "", "", "EN"]


def test_half_a_character_at_the_end_is_shown_as_a_replacement(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, new=2)
    record.feed("x🙂")
    assert record.deltas == ["x", "\ufffd"]


def test_a_resumed_sequence_goes_on_behind_what_was_sent(byte_codec: TextCodec) -> None:
    sent = tuple(byte_codec.encode("heé")[:3])
    record = Recorder(byte_codec, new=6, stop=("é!",), resume_ids=sent)
    assert record.feed_ids([byte_codec.encode("é")[1], *byte_codec.encode("!")]) is True
    assert record.deltas == ["", ""]
    assert [token.position for token in record.tokens] == [3, 4]
    assert record.reasons[-1] == "stop"


def test_choices_of_one_request_have_seeds_of_their_own(byte_codec: TextCodec) -> None:
    seeds = {Recorder(byte_codec, choice=choice).sequence.seed for choice in range(16)}
    assert len(seeds) == 16
    assert Recorder(byte_codec, choice=1).sequence.seed in seeds


def test_end_of_sequence_can_be_taken_from_the_caller(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, eos_ids=frozenset())
    assert record.feed_ids([256, 256]) is False


def test_a_text_tells_which_stop_string_ended_it(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, stop=("END", "."))
    record.feed("a.")
    assert [token.stop_string for token in record.tokens] == [None, "."]
    assert not any(token.special for token in record.tokens)


def test_an_end_of_sequence_is_special_and_no_stop_string(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, stop=("END",))
    record.feed_ids([*byte_codec.encode("a"), 256])
    assert [token.special for token in record.tokens] == [False, True]
    assert record.tokens[-1].stop_string is None


MARKS = ToolCallMarkers("<call>\n", "\n</call>")


@pytest.mark.parametrize(
    ("written", "ended"),
    [
        ('Well. <call>\n{"a": "</call>}"}', True),
        ("<call> is a mark, and {} is none", False),
        ('<call>{"a": "', False),
        ('<call>{broken <call>{"a": {}}', True),
    ],
)
def test_where_it_is_the_last_the_first_call_ends_the_text(
    byte_codec: TextCodec, written: str, ended: bool
) -> None:
    record = Recorder(byte_codec, stop_after_tool_call=MARKS)
    assert record.feed(written) is ended
    assert "".join(record.deltas) == written
    assert record.reasons[-1] == ("stop" if ended else None)
    assert record.tokens[-1].stop_string is None
    assert Recorder(byte_codec).feed(written) is False


def test_a_stop_string_ends_the_text_before_its_call(byte_codec: TextCodec) -> None:
    record = Recorder(byte_codec, stop_after_tool_call=MARKS, stop=("END",))
    assert record.feed('<call>{"a": "END') is True
    assert record.tokens[-1].stop_string == "END"


def test_a_resumed_sequence_knows_the_call_that_it_is_in(byte_codec: TextCodec) -> None:
    already = byte_codec.encode('<call>{"a": "</call>')
    record = Recorder(byte_codec, stop_after_tool_call=MARKS, resume_ids=already)
    assert record.feed('"}') is True
