from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

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


BYTES = {f"<0x{byte:02X}>": byte for byte in range(256)}
WORDS = ["▁Hello", "▁world", "▁a", "b", "▁", "▁▁c", "é", "▁你", "\ufffd", "ld", "'t", "."]


def sentence_piece() -> Tokenizer:
    """Shaped as those of Llama 2, Mistral and Gemma: what has no token is spelt in bytes."""
    vocabulary = BYTES | {word: 256 + number for number, word in enumerate([*WORDS, "<unk>"])}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return marked(tokenizer)


def byte_level() -> Tokenizer:
    """Shaped as GPT-2's, with tokens of one byte and of several."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    longer = ["Ġa", "Ã©", "ðŁ", "ĻĤ", "Ġ", "ld", "âĢ"]
    vocabulary = {token: n for n, token in enumerate(dict.fromkeys([*characters, *longer]))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    return marked(tokenizer)


def of_words(decoder: Any) -> Tokenizer:
    words = ["do", "##ne", "##'", "a", "▁b", "▁", "▁▁", ".", "c</w>", "d", "é", "[UNK]"]
    vocabulary = {word: n for n, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.decoder = decoder
    return marked(tokenizer)


def marked(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.add_tokens(["<tool_call>", "ü", " two words "])
    return tokenizer


TOKENIZERS = {
    "sentence-piece": sentence_piece(),
    "byte-level": byte_level(),
    "metaspace": of_words(decoders.Metaspace()),
    "word-piece": of_words(decoders.WordPiece()),
    "suffix": of_words(decoders.BPEDecoder()),
    "none": of_words(None),
    "replaced-bytes": byte_level(),
}
TOKENIZERS["replaced-bytes"].decoder = decoders.Sequence(
    [decoders.Replace("Ġa", "Ġa"), decoders.ByteLevel()]
)


def runs(tokenizer: Tokenizer, ids: list[int]) -> Iterator[bytes | list[int]]:
    """Bytes that follow each other, and the other tokens between them; special tokens are air."""
    added = tokenizer.get_added_tokens_decoder()
    special = {token_id for token_id, token in added.items() if token.special}
    run, others = b"", list[int]()
    for token_id in ids:
        if token_id in special or token_id >= tokenizer.get_vocab_size():
            continue
        if token_id < 256:
            if others:
                yield others
                others = []
            run += bytes([token_id])
        else:
            if run:
                yield run
                run = b""
            others.append(token_id)
    if run or others:
        yield run or others


def kept(run: bytes) -> str:
    """A run of bytes as SentencePiece reads it: a U+FFFD for each that is part of no character."""
    text = ""
    while run:
        for size in (1, 2, 3, 4):
            with suppress(UnicodeDecodeError):
                text += run[:size].decode()
                run = run[size:]
                break
        else:
            text, run = text + "\ufffd", run[1:]
    return text


def whole(tokenizer: Tokenizer, ids: list[int]) -> str:
    """The text of a vocabulary with byte fallback, without ever taking a character back."""
    text = ""
    for run in runs(tokenizer, ids):
        if isinstance(run, bytes):
            text += kept(run)
        else:
            text += tokenizer.decode([257, *run]).removeprefix(tokenizer.decode([257]))
    start = next(iter(runs(tokenizer, ids)), b"")
    stripped = isinstance(start, list) or start.startswith(b" ")
    return text.removeprefix(" ") if stripped else text


def drawn(tokenizer: Tokenizer, chance: random.Random) -> list[int]:
    """Any tokens, valid characters in pieces, and ids that do not exist, in a random mixture."""
    size, ids = tokenizer.get_vocab_size(), list[int]()
    for _ in range(chance.randint(0, 12)):
        kind = chance.random()
        if kind < 0.3 and size > 256:
            ids += "é你🙂"[chance.randrange(3)].encode()
        else:
            ids.append(
                chance.randrange(256, size + 3)
                if kind < 0.6 < size - 256
                else chance.randrange(size)
            )
    return ids


def random_texts(name: str) -> Iterator[tuple[Tokenizer, list[int], list[int]]]:
    tokenizer, chance = TOKENIZERS[name], random.Random(11)
    for _ in range(2000):
        yield tokenizer, drawn(tokenizer, chance), drawn(tokenizer, chance)


def added(before: str, both: str) -> str:
    """What ``both`` has behind ``before``: the end of that is U+FFFD where a character goes on."""
    settled = 0
    while both[settled : settled + 1] == before[settled : settled + 1] != "":
        settled += 1
    assert before[settled:].strip("\ufffd") == ""
    return both[settled:]


@pytest.mark.parametrize("name", ["byte-level", "metaspace", "word-piece", "suffix", "none"])
def test_what_random_tokens_add_to_a_prompt_is_what_the_tokenizer_says(name: str) -> None:
    for tokenizer, prompt, ids in random_texts(name):
        expected = added(tokenizer.decode(prompt), tokenizer.decode(prompt + ids))
        deltas = pieces(TextStream(tokenizer, prompt), ids)
        assert "".join(deltas) == expected
        assert len(deltas) == len(ids) + 1


def test_random_bytes_of_a_byte_fallback_vocabulary_never_take_back_a_character() -> None:
    for tokenizer, prompt, ids in random_texts("sentence-piece"):
        assert "".join(pieces(TextStream(tokenizer), ids)) == whole(tokenizer, ids)
        expected = added(whole(tokenizer, prompt), whole(tokenizer, prompt + ids))
        deltas = pieces(TextStream(tokenizer, prompt), ids)
        assert "".join(deltas) == expected
        assert len(deltas) == len(ids) + 1


def test_valid_text_of_a_byte_fallback_vocabulary_is_what_the_tokenizer_says() -> None:
    tokenizer, chance = TOKENIZERS["sentence-piece"], random.Random(5)
    for _ in range(500):
        ids = list[int]()
        for _ in range(chance.randint(1, 9)):
            ids += chance.choice([list("é你🙂 z".encode()), [256], [257], [259], [268], [269]])
        assert "".join(pieces(TextStream(tokenizer), ids)) == tokenizer.decode(ids)


def test_an_invalid_byte_is_told_and_the_stream_goes_on() -> None:
    """DecodeStream raises here."""
    assert pieces(TextStream(sentence_piece()), [0x49, 0xF8, 258, 0xC3, 0xA9]) == [
        *("I", "\ufffd", " a", "", "é"),
        "",
    ]


def test_spaces_survive_a_sentencepiece_vocabulary() -> None:
    ids = [256, 257, 0xC3, 0xA9]
    assert pieces(TextStream(sentence_piece()), ids) == ["Hello", " world", "", "é", ""]
    assert pieces(TextStream(sentence_piece(), [258]), ids) == [" Hello", " world", "", "é", ""]


def test_the_first_space_is_kept_behind_special_tokens_too(byte_codec: TextCodec) -> None:
    tokenizer = sentence_piece()
    (end,) = tokenizer.encode("</s>").ids
    assert pieces(TextStream(tokenizer, [256, *[end] * 40]), [257]) == [" world", ""]
    assert pieces(TextStream(tokenizer, [end]), [257]) == ["world", ""]


@pytest.mark.parametrize("name", ["sentence-piece", "byte-level", "replaced-bytes"])
def test_a_long_run_of_bytes_that_complete_nothing_is_not_held_back(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    token = tokenizer.get_vocab()["<0xBF>" if name == "sentence-piece" else "¿"]
    stream = TextStream(tokenizer)
    shown = 0
    for number in range(20_000):
        shown += len(stream.push(token))
        assert number + 1 - shown <= 8
    assert shown + len(stream.flush()) == 20_000
