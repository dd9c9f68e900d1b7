from __future__ import annotations

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models

from deployments.engine.codec import TextCodec
from deployments.engine.detokenizer import TextStream


def pieces(stream: TextStream, ids: list[int]) -> list[str]:
    return [*(stream.push(each) for each in ids), stream.flush()]


@pytest.mark.parametrize("text", ["plain", "你好，世界", "🙂🎉👩‍👩‍👧 é", "naïve\n\tcafé "])
def test_characters_are_never_split(byte_codec: TextCodec, text: str) -> None:
    ids = byte_codec.encode(text)
    assert len(ids) == len(text.encode())
    deltas = pieces(byte_codec.stream(), ids)
    assert "".join(deltas) == text
    assert not any("\ufffd" in delta for delta in deltas)


def test_bytes_that_nothing_completes_come_out_at_the_end(byte_codec: TextCodec) -> None:
    ids = byte_codec.encode("a🙂")[:-1]
    assert pieces(byte_codec.stream(), ids) == ["a", "", "", "", "\ufffd"]


def test_an_invalid_byte_does_not_hold_up_what_follows(byte_codec: TextCodec) -> None:
    ids = [*byte_codec.encode("é")[:1], *byte_codec.encode("ok")]
    assert "".join(pieces(byte_codec.stream(), ids)) == "\ufffdok"


def test_special_tokens_have_no_text(byte_codec: TextCodec) -> None:
    assert pieces(byte_codec.stream(), [256, *byte_codec.encode("x"), 256]) == ["", "x", "", ""]


def test_pieces_of_random_tokens_make_the_text_of_the_whole(gguf_folder: Path) -> None:
    codec = TextCodec.from_folder(gguf_folder)
    chance = random.Random(7)
    awkward = codec.encode("你好🙂🇫🇷é👩‍👩‍👧 ñ")
    for _ in range(500):
        ids = [
            chance.choice(awkward) if chance.random() < 0.7 else chance.randrange(codec.vocab_size)
            for _ in range(chance.randint(1, 30))
        ]
        assert "".join(pieces(codec.stream(), ids)) == codec.decode(ids)


def test_spaces_survive_a_sentencepiece_vocabulary(tmp_path: Path) -> None:
    vocabulary = {"▁Hello": 0, "▁world": 1, "<0xC3>": 2, "<0xA9>": 3, "<unk>": 4}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    assert pieces(TextStream(tokenizer), [0, 1, 2, 3]) == ["Hello", " world", "", "é", ""]
