"""Settings: the order of their sources, and the messages about bad values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.errors import ConfigError
from configs.settings import Settings, resolve, unknown_variables

SECRET = "hf_do_not_show_me"


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(values, "a.yaml")
    return str(caught.value)


def test_a_setting_that_is_not_set_has_its_documented_default() -> None:
    settings = resolve({}, "a.yaml")
    assert (settings.max_length, settings.temperature, settings.top_p) == (512, 0.8, 0.9)
    assert (settings.top_k, settings.repetition_penalty, settings.batch_size) == (50, 1.1, 8)
    assert (settings.max_concurrent_requests, settings.device) == (4, "auto")
    assert settings.use_gpu
    assert not settings.use_quantization
    assert settings.max_memory_gb is None
    assert settings.token is None
    assert settings.hf_cache_dir == Path("./cache/huggingface")
    assert settings.max_body_bytes == 10 * 1024 * 1024
    assert (settings.max_prompt_bytes, settings.max_texts) == (100 * 1024, 2048)
    assert settings.cors_origins == ()


def test_the_profile_takes_precedence_over_the_default() -> None:
    assert resolve({"top_k": 7}, "a.yaml").top_k == 7


def test_the_environment_takes_precedence_over_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRSM_HF_TOP_K", "9")
    settings = resolve({"top_k": 7, "batch_size": 3}, "a.yaml")
    assert (settings.top_k, settings.batch_size) == (9, 3)


def test_a_variable_with_the_default_value_still_takes_precedence_over_the_profile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PRSM_HF_TEMPERATURE", "0.8")
    assert resolve({"temperature": 0.1}, "a.yaml").temperature == 0.8


def test_an_explicit_zero_is_a_value_in_the_profile() -> None:
    settings = resolve({"temperature": 0, "top_k": 0}, "a.yaml")
    assert (settings.temperature, settings.top_k) == (0.0, 0)


def test_an_explicit_zero_is_a_value_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRSM_HF_TEMPERATURE", "0")
    monkeypatch.setenv("PRSM_HF_USE_GPU", "0")
    settings = resolve({"temperature": 1.5, "use_gpu": True}, "a.yaml")
    assert settings.temperature == 0.0
    assert not settings.use_gpu


@pytest.mark.parametrize("variable", ["PRSM_HF_TOKEN", "PRSM_HF_HF_TOKEN"])
def test_the_token_is_read_under_both_names(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, SECRET)
    assert resolve({}, "a.yaml").token == SECRET
    assert resolve({"hf_token": "of-the-profile"}, "a.yaml").token == SECRET


def test_the_profile_may_set_the_token() -> None:
    assert resolve({"hf_token": SECRET}, "a.yaml").token == SECRET


def test_an_empty_token_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRSM_HF_TOKEN", "")
    assert resolve({}, "a.yaml").token is None


def test_the_token_is_never_shown() -> None:
    settings = resolve({"hf_token": SECRET}, "a.yaml")
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_a_token_of_the_wrong_type_is_named_but_not_shown() -> None:
    message = refusal({"hf_token": 1234567})
    assert "hf_token" in message
    assert "1234567" not in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("device", "tpu"),
        ("use_gpu", "perhaps"),
        ("max_memory_gb", 0),
        ("use_quantization", 2),
        ("max_length", 0),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("repetition_penalty", 0),
        ("repetition_penalty", 2.1),
        ("batch_size", 0),
        ("max_concurrent_requests", "many"),
        ("threads", -1),
        ("request_timeout_s", 0),
        ("request_timeout_s", float("nan")),
        ("stall_timeout_s", -1),
        ("heartbeat_s", 0),
        ("stream_max_new_tokens", 0),
        ("max_body_bytes", -1),
        ("max_prompt_bytes", 0),
        ("max_texts", 0),
    ],
)
def test_a_bad_value_is_named_with_its_file_and_what_was_found(
    monkeypatch: pytest.MonkeyPatch, key: str, value: Any
) -> None:
    message = refusal({key: value})
    assert message.startswith("a.yaml")
    assert f"{key}: " in message
    assert f"got {value!r}" in message
    monkeypatch.setenv(f"PRSM_HF_{key.upper()}", str(value))
    message = refusal({})
    assert "PRSM_HF_" in message
    assert f"{key}: " in message


def test_a_variable_that_should_hold_a_list_and_does_not_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PRSM_HF_CORS_ORIGINS", "https://a.example")
    message = refusal({})
    assert message.endswith('PRSM_HF_CORS_ORIGINS: expected JSON, as ["a", "b"]')


def test_a_list_comes_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRSM_HF_CORS_ORIGINS", '["https://a.example"]')
    assert resolve({}, "a.yaml").cors_origins == ("https://a.example",)


def test_a_key_that_is_not_known_is_named() -> None:
    assert "tempreature: unknown key; did you mean temperature?" in refusal({"tempreature": 1})


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("PRSM_HF_TEMPRATURE", "PRSM_HF_TEMPERATURE"),
        ("PRSM_HF_MAX_TEXT", "PRSM_HF_MAX_TEXTS"),
        ("PRSM_HF_CACHE_DIR", "PRSM_HF_HF_CACHE_DIR"),
        ("prsm_hf_topk", "PRSM_HF_TOP_K"),
        ("PRSM_HF_TOKENS", "PRSM_HF_TOKEN"),
    ],
)
def test_a_variable_that_no_setting_reads_is_told_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "1")
    message = refusal({})
    assert message.startswith(f"PRSM_HF_* environment: {variable}: no setting is read from it")
    assert message.endswith(f"did you mean {meant}?")


def test_a_variable_that_is_like_none_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRSM_HF_ZZZZZZ", "1")
    assert "PRSM_HF_ZZZZZZ: no setting is read from it" in refusal({})


def test_every_setting_may_be_set_by_its_variable() -> None:
    names = [f"PRSM_HF_{key.upper()}" for key in Settings.model_fields]
    assert unknown_variables([*names, "PRSM_HF_TOKEN", "PATH", "PRSM_SERVE_RUN"]) == []


def test_every_problem_is_told_at_once() -> None:
    message = refusal({"top_k": -1, "top_p": 2, "nope": 1})
    assert all(key in message for key in ("top_k", "top_p", "nope"))
    assert len(message.splitlines()) == 3


def test_settings_do_not_change_once_made() -> None:
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.top_k = 1  # type: ignore[misc]


def test_conversations_are_kept_beside_the_weights_unless_a_database_is_named() -> None:
    default = resolve({"hf_cache_dir": "/srv/cache"}, "a.yaml").conversations_database
    assert default.database == "/srv/cache/conversations.sqlite3"
    named = resolve({"conversations_url": "postgresql://ada@db/talk"}, "a.yaml")
    assert named.conversations_database.drivername == "postgresql+asyncpg"
    assert "ada" not in repr(named)


def test_located_settings_mean_the_same_from_every_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = resolve({"conversations_url": "sqlite:///talk.sqlite3"}, "a.yaml").located()
    default = resolve({}, "a.yaml").located()
    server = resolve({"conversations_url": "postgresql://ada:pw@db/talk"}, "a.yaml").located()
    monkeypatch.chdir("/")
    assert file.conversations_database.database == str(tmp_path / "talk.sqlite3")
    assert default.conversations_database.database == str(
        tmp_path / "cache/huggingface/conversations.sqlite3"
    )
    assert server.conversations_database.password == "pw"


def test_a_file_of_keys_is_the_same_from_every_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    located = resolve({"api_keys_file": "keys"}, "a.yaml").located()
    monkeypatch.chdir("/")
    assert located.api_keys_file == tmp_path / "keys"


def test_the_images_of_one_answer_fit_a_message() -> None:
    assert resolve({"max_generated_images": 16}, "a.yaml").max_generated_images == 16
    told = refusal({"max_generated_images": 16, "max_generated_pixels": 2048 * 2048})
    assert "max_generated_pixels times max_generated_images must not exceed" in told


def test_no_secret_is_in_what_is_printed_of_settings() -> None:
    given = {
        "keys_url": "postgresql://ada:pw-of-keys@db/keys",
        "conversations_url": "postgresql://ada:pw-of-talk@db/talk",
        "hf_token": "hf_of-the-hub",
    }
    settings = resolve(given, "a.yaml").located()
    assert settings.keys_database is not None
    assert settings.keys_database.password == "pw-of-keys"
    shown = f"{settings!r} {settings} {settings.model_dump_json()} {settings.keys_database!r}"
    for secret in ("pw-of-keys", "pw-of-talk", "hf_of-the-hub"):
        assert secret not in shown


def test_keys_are_needed_where_a_file_or_a_database_has_them(tmp_path: Path) -> None:
    assert not resolve({}, "a.yaml").needs_keys
    assert resolve({"api_keys_file": "keys"}, "a.yaml").needs_keys
    stored = resolve({"keys_url": "sqlite:///keys.sqlite3"}, "a.yaml").located()
    assert stored.needs_keys
    assert stored.keys_database is not None
    assert Path(stored.keys_database.database or "").is_absolute()
