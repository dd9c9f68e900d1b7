from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from deployments.engine.codec import TextCodec
from deployments.seam.generation import ChatMessage

CHAT = [ChatMessage("system", "Be brief."), ChatMessage("user", "Hi 🙂"), ChatMessage("user", "?")]


@pytest.fixture(scope="module")
def codec(gguf_folder: Path) -> TextCodec:
    return TextCodec.from_folder(gguf_folder)


def folder_with(tmp_path: Path, tokenizer: Tokenizer, **settings: object) -> Path:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 300}))
    return tmp_path


def test_it_encodes_as_the_models_own_tokenizer_does(gguf_folder: Path, codec: TextCodec) -> None:
    theirs = AutoTokenizer.from_pretrained(str(gguf_folder))
    turns = [{"role": each.role, "content": each.content} for each in CHAT]
    chat = theirs.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert codec.encode("Hello <|im_end|> 你好") == theirs("Hello <|im_end|> 你好")["input_ids"]
    assert codec.encode_chat(CHAT) == chat


def test_it_needs_no_torch(gguf_folder: Path) -> None:
    program = (
        "import sys; from deployments.engine.codec import TextCodec; "
        f"TextCodec.from_folder({str(gguf_folder)!r}).encode('x'); "
        "import deployments.engine.factory; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_it_knows_the_end_of_a_turn(codec: TextCodec) -> None:
    assert codec.decode(list(codec.eos_ids)) == ""
    assert [codec.token_text(each) for each in codec.eos_ids] == ["<|im_end|>"]


def test_ends_come_from_every_file_and_from_the_template(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    tokenizer = Tokenizer.from_str(byte_tokenizer.to_str())
    tokenizer.add_special_tokens(["<turn>", "</turn>"])
    template = "{% for m in messages %}<turn>{{ m.content }}</turn>\n{% endfor %}"
    folder = folder_with(tmp_path, tokenizer, eos_token="<end>", chat_template=template)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 8]}))
    expected = {7, 8, tokenizer.token_to_id("<end>"), tokenizer.token_to_id("</turn>")}
    assert TextCodec.from_folder(folder).eos_ids == expected


def test_a_model_without_a_template_gets_turns_joined_by_its_end(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    codec = TextCodec.from_folder(folder_with(tmp_path, byte_tokenizer, eos_token="<end>"))
    ids = codec.encode_chat([ChatMessage("user", "Hi"), ChatMessage("assistant", "Yo")])
    assert ids == [*codec.encode("Hi"), 256, *codec.encode("Yo"), 256]


def test_a_template_that_shows_names_is_given_them(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    template = "{% for m in messages %}{{ m.name or '-' }}: {{ m.content }}\n{% endfor %}"
    codec = TextCodec.from_folder(folder_with(tmp_path, byte_tokenizer, chat_template=template))
    ids = codec.encode_chat([ChatMessage("user", "Hi", name="Ada"), ChatMessage("user", "Yo")])
    assert codec.decode(ids) == "Ada: Hi\n-: Yo\n"


def test_a_template_is_given_variables_which_replace_none_of_its_own(
    tmp_path: Path, byte_tokenizer: Tokenizer
) -> None:
    template = "{{ messages[0].content }} {{ think }} {{ eos_token }} {{ add_generation_prompt }}"
    folder = folder_with(tmp_path, byte_tokenizer, eos_token="!", chat_template=template)
    codec = TextCodec.from_folder(folder)
    given = {"think": False, "eos_token": "?", "add_generation_prompt": 0, "tools": [1]}
    ids = codec.encode_chat([ChatMessage("user", "Hi")], variables=given)
    assert codec.decode(ids) == "Hi False ! True"
    with pytest.raises(ValueError, match="cannot show these messages"):
        codec.encode_chat([ChatMessage("user", "Hi")], variables={"messages": []})


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('Roles must alternate user/assistant') }}", "Roles must alternate"),
        ("{% for m in messages %}{{ m.content + 1 }}", "chat template"),
    ],
    ids=["refuses", "broken"],
)
def test_a_template_that_cannot_render_a_chat_is_a_value_error_with_its_reason(
    tmp_path: Path, byte_tokenizer: Tokenizer, template: str, says: str
) -> None:
    codec = TextCodec.from_folder(folder_with(tmp_path, byte_tokenizer, chat_template=template))
    with pytest.raises(ValueError, match=says):
        codec.encode_chat(CHAT)


def test_an_empty_chat_is_refused(codec: TextCodec) -> None:
    with pytest.raises(ValueError, match="at least one message"):
        codec.encode_chat([])


def test_the_bytes_of_tokens_are_those_of_the_text(codec: TextCodec) -> None:
    text = "Hello there, 你好 🙂 é\n"
    assert b"".join(map(codec.token_bytes, codec.encode(text))) == text.encode()
    assert codec.token_bytes(codec.vocab_size + 5) == b""


def test_threads_can_share_it(codec: TextCodec) -> None:
    texts = [f"{number} 你好 🙂 " * 20 for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(codec.encode, texts)) == [codec.encode(text) for text in texts]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        TextCodec.from_folder(tmp_path / "nothing-here")


@pytest.mark.parametrize("text", ["a plain text", "ü你😀" * 5, "😀" * 9])
@pytest.mark.parametrize("room", [0, 1, 9, 10, 11, 12, 13, 1000])
def test_a_chat_is_cut_at_the_end_of_its_last_message(
    byte_codec: TextCodec, text: str, room: int
) -> None:
    chat = (ChatMessage("user", "asking"), ChatMessage("user", text))
    *before, last = byte_codec.truncate(chat, room)
    assert before == [chat[0]]
    assert text.startswith(last.content)
    size = len(byte_codec.encode_chat([*before, last]))
    assert size <= room or not last.content
    whole = len(byte_codec.encode_chat(chat))
    widest = max(len(character.encode()) for character in text)
    assert whole <= room or not last.content or size > room - widest


SYSTEM = ChatMessage("system", "Be brief.")
TURNS = tuple(
    ChatMessage(role, f"{role} {number}") for number in range(5) for role in ("user", "assistant")
)
LAST = ChatMessage("user", "and now?")


@pytest.mark.parametrize("head", [(), (SYSTEM,)])
@pytest.mark.parametrize("kept", range(6))
def test_a_chat_is_trimmed_by_whole_turns_from_the_oldest(
    byte_codec: TextCodec, head: tuple[ChatMessage, ...], kept: int
) -> None:
    """Exactly as many as have to go: with one token less, one more goes."""
    chat = (*head, *TURNS, LAST)
    wanted = (*head, *TURNS[len(TURNS) - 2 * kept :], LAST)
    room = len(byte_codec.encode_chat(wanted))
    assert byte_codec.trim_oldest(chat, room) == wanted
    if kept:
        assert byte_codec.trim_oldest(chat, room - 1) == (*head, *TURNS[12 - 2 * kept :], LAST)


def test_the_system_message_and_the_last_one_stay_even_where_they_do_not_fit(
    byte_codec: TextCodec,
) -> None:
    assert byte_codec.trim_oldest((SYSTEM, *TURNS, LAST), 1) == (SYSTEM, LAST)
    assert byte_codec.trim_oldest((SYSTEM,), 1) == (SYSTEM,)


def test_a_trimmed_chat_still_fits_the_models_template(codec: TextCodec) -> None:
    chat = (SYSTEM, *TURNS * 50, LAST)
    trimmed = codec.trim_oldest(chat, 200)
    size = len(codec.encode_chat(trimmed))
    assert trimmed[0] == SYSTEM
    assert trimmed[1].role == "user"
    assert 150 < size <= 200
