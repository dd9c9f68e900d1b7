"""The service's settings: from ``PRSM_HF_*`` variables, then from the profile, then defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from pydantic import (
    AliasChoices,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from configs.databases import database_url, located, sqlite_url
from configs.errors import ConfigError, explain
from configs.image_urls import HostPattern, Port, PrivateNetwork
from configs.labels import DEFAULT_TOPICS, Topics
from configs.suggestions import hint

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

PREFIX = "PRSM_HF_"
MIB = 1024 * 1024

MetricNames: TypeAlias = Literal["vllm", "gen_ai"]
"""Whose names metrics have besides our own: vLLM's, OpenTelemetry's for generative AI."""

MAX_IMAGE_BYTES = 60 * MIB
"""Bytes of all images of one answer, uncompressed: less than a message of Serve's may have."""


class Settings(BaseSettings):
    """Every setting. ``None`` means "not bounded" or "the profile decides", never zero."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, populate_by_name=True
    )

    hf_token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices(f"{PREFIX}HF_TOKEN", f"{PREFIX}TOKEN")
    )
    hf_cache_dir: Path = Path("./cache/huggingface")
    models_folder: Path | None = Field(
        default=None, description="models in folders below it are loaded by name"
    )
    max_live_models: int = Field(
        default=256, ge=1, le=4096, description="that are loaded by name beside the profile's"
    )
    default_text_model: str | None = None
    default_generation_model: str | None = None
    default_embedding_model: str | None = None
    default_classification_model: str | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    use_gpu: bool = True
    max_memory_gb: PositiveFloat | None = None
    use_quantization: bool = False

    max_length: PositiveInt = 512
    temperature: float = Field(default=0.8, ge=0, le=2)
    top_p: float = Field(default=0.9, gt=0, le=1)
    top_k: int = Field(default=50, ge=0)
    repetition_penalty: float = Field(default=1.1, gt=0, le=2)
    batch_size: PositiveInt = 8
    max_concurrent_requests: PositiveInt = 4

    threads: int = Field(default=0, ge=0, description="per replica; 0: every core it may use")
    request_timeout_s: PositiveFloat = 300.0
    stall_timeout_s: PositiveFloat = 120.0
    load_timeout_s: PositiveFloat = Field(
        default=1800.0,
        description="of an order's stream, and for the process of a text generator to load it",
    )
    heartbeat_s: PositiveFloat = 15.0
    stream_max_new_tokens: PositiveInt = 256
    decode_max_new_tokens: PositiveInt = Field(
        default=1024, description="of one summary or caption; a model may have room for fewer"
    )
    max_body_bytes: PositiveInt = 10 * MIB
    max_inflight_body_bytes: PositiveInt = Field(
        default=256 * MIB, description="of all requests that one replica of the ingress works on"
    )
    max_inflight_answer_bytes: PositiveInt = Field(
        default=256 * MIB, description="of all answers that clients of one replica still read"
    )
    body_timeout_s: PositiveFloat = Field(default=60.0, description="for a whole body to arrive")
    send_timeout_s: PositiveFloat = Field(
        default=60.0, description="for a client to take what was sent; then it is cut off"
    )
    max_prompt_bytes: PositiveInt = 100 * 1024
    max_texts: PositiveInt = 2048
    max_pairs: PositiveInt = Field(default=8192, description="texts times labels, of zero-shot")
    max_image_pixels: int = Field(
        default=50_000_000, ge=1, le=178_000_000, description="more than that Pillow itself refuses"
    )
    max_image_side: int = Field(default=20_000, ge=1, description="pixels of its longer side")
    max_mask_pixels: PositiveInt = Field(
        default=250_000_000, description="of all masks that one segmented image may have"
    )
    max_generated_pixels: PositiveInt = Field(
        default=1024 * 1024, description="width times height of an image that a model makes"
    )
    max_generated_images: int = Field(default=10, ge=1, le=16, description="of one request")
    max_denoising_steps: int = Field(default=100, ge=1, le=1000, description="of one image")
    max_chat_images: PositiveInt = Field(default=8, description="in all messages of one chat")
    image_urls: bool = Field(default=False, description="fetch images that are named by a URL")
    image_url_hosts: tuple[HostPattern, ...] = Field(
        default=(), description="names, `*.name` or networks, and no others; none: any public host"
    )
    image_url_denied_hosts: tuple[HostPattern, ...] = ()
    image_url_networks: tuple[PrivateNetwork, ...] = Field(
        default=(), description="private networks that images may come from, as 10.1.0.0/16"
    )
    image_url_ports: tuple[Port, ...] = (80, 443)
    max_image_url_bytes: int = Field(
        default=10 * MIB, ge=1, le=MAX_IMAGE_BYTES, description="of one image; 60 MiB of a request"
    )
    image_url_timeout_s: PositiveFloat = Field(default=10.0, description="with all redirects")
    max_image_downloads: PositiveInt = Field(
        default=16, description="at a time, per replica of the ingress"
    )
    image_threads: PositiveInt = Field(
        default=3, description="per replica, for files and masks; large images leave one free"
    )
    max_audio_s: float = Field(default=600.0, gt=0, le=3600, description="of one recording")
    max_audio_samples: PositiveInt = Field(
        default=60_000_000, description="of all channels of one recording; a small file has many"
    )
    max_waiting_pixels: PositiveInt = Field(
        default=400_000_000, description="per replica, of large images that wait to be decoded"
    )
    max_waiting_bytes: PositiveInt = Field(
        default=256 * MIB,
        description="of tokens or pixels that wait for one model, and of files in one replica",
    )
    topics: Topics = DEFAULT_TOPICS
    max_graph_steps: int = Field(default=32, ge=1, le=1024)
    max_graph_bytes: PositiveInt = Field(
        default=64 * MIB, description="that flow between the steps of one graph request"
    )
    max_graph_depth: PositiveInt = Field(default=16, description="names in one reference")
    max_graph_concurrency: PositiveInt = Field(default=8, description="steps at the same time")
    graph_timeout_s: PositiveFloat = 300.0
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="names that a Host header may have beside those of loopback"
    )
    api_keys_file: Path | None = Field(default=None, description="name:sha256[:scopes] a line")
    keys_url: SecretStr | None = Field(
        default=None, description="a database of API keys; none: those of the file alone"
    )
    allow_anonymous: bool = Field(
        default=False, description="serve beyond loopback although there are no API keys"
    )

    log_requests: bool = Field(
        default=False, description="a line of the ingress's log for each inference request"
    )
    other_metric_names: tuple[MetricNames, ...] = Field(
        default=("vllm", "gen_ai"), description="whose names /metrics has beside its own"
    )

    answer_max_new_tokens: PositiveInt = Field(
        default=256, description="of /query and /conversations; the prompt is trimmed to leave room"
    )
    conversations_url: SecretStr | None = Field(
        default=None, description="a database; none: a SQLite file in hf_cache_dir"
    )
    conversation_max_turns: PositiveInt = 100
    conversation_max_bytes: PositiveInt = 256 * 1024
    conversation_max_age_days: PositiveFloat = 30.0
    conversation_wait_s: PositiveFloat = Field(
        default=120.0, description="for the answer to the message before; then a 429"
    )
    conversation_lease_s: PositiveFloat = Field(
        default=30.0, description="until a conversation whose replica died is free again"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment takes precedence over the values of the profile."""
        return env_settings, init_settings

    @field_validator("conversations_url", "keys_url")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            database_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _one_body_fits(self) -> Self:
        if self.max_inflight_body_bytes < self.max_body_bytes:
            raise ValueError("max_inflight_body_bytes must not be below max_body_bytes")
        return self

    @model_validator(mode="after")
    def _images_fit_an_answer(self) -> Self:
        if 3 * self.max_generated_pixels * self.max_generated_images > MAX_IMAGE_BYTES:
            raise ValueError(
                "max_generated_pixels times max_generated_images must not exceed "
                f"{MAX_IMAGE_BYTES // 3} pixels, which one message between replicas holds"
            )
        return self

    @property
    def token(self) -> str | None:
        return self.hf_token.get_secret_value() if self.hf_token else None

    @property
    def conversations_database(self) -> URL:
        if self.conversations_url is None:
            return sqlite_url(self.hf_cache_dir / "conversations.sqlite3")
        return database_url(self.conversations_url.get_secret_value())

    @property
    def keys_database(self) -> URL | None:
        return None if self.keys_url is None else database_url(self.keys_url.get_secret_value())

    @property
    def needs_keys(self) -> bool:
        """Whether requests need a key."""
        return self.api_keys_file is not None or self.keys_url is not None

    def located(self) -> Settings:
        """The same settings with absolute paths, for processes that run in other directories."""
        changed: dict[str, Any] = {"hf_cache_dir": self.hf_cache_dir.resolve()}
        if self.models_folder is not None:
            changed["models_folder"] = self.models_folder.resolve()
        if self.api_keys_file is not None:
            changed["api_keys_file"] = self.api_keys_file.resolve()
        if self.conversations_url is not None:
            url = located(self.conversations_database)
            changed["conversations_url"] = SecretStr(url.render_as_string(hide_password=False))
        if self.keys_database is not None:
            url = located(self.keys_database)
            changed["keys_url"] = SecretStr(url.render_as_string(hide_password=False))
        return self.model_copy(update=changed)


def resolve(profile_values: Mapping[str, Any], origin: str) -> Settings:
    """Settings from the environment, then ``profile_values``, then defaults.

    Raises :class:`ConfigError` that names the variable or the key of the profile and what was
    expected, also for a variable that has our prefix but is not a setting.
    """
    if unknown := unknown_variables(os.environ):
        raise ConfigError(f"{PREFIX}* environment", unknown)
    try:
        return Settings(**profile_values)
    except ValidationError as error:
        problems = explain(error, model=Settings)
        raise ConfigError(f"{origin} or {PREFIX}* environment", problems) from None
    except SettingsError as error:  # a variable that should be JSON and is not
        raise ConfigError(f"{PREFIX}* environment", [_not_json(str(error))]) from None


def unknown_variables(names: Iterable[str]) -> list[str]:
    """A message for each of ``names`` that has our prefix but is no setting, with a suggestion."""
    known = {name for key in Settings.model_fields for name in _variables(key)}
    ours = sorted(name for name in names if name.upper().startswith(PREFIX))
    return [
        f"{name}: no setting is read from it; {hint(name, known)}".removesuffix("; ")
        for name in ours
        if name.upper() not in known
    ]


def _variables(key: str) -> Iterable[str]:
    """The environment variables that set ``key``."""
    alias = Settings.model_fields[key].validation_alias
    if alias is None:
        return (f"{PREFIX}{key}".upper(),)
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return tuple(each.upper() for each in choices if isinstance(each, str))


def _not_json(said: str) -> str:
    """The message for a variable that should be JSON, from the library's, which names the field."""
    field = said.partition('field "')[2].partition('"')[0]
    return f'{PREFIX}{field.upper()}: expected JSON, as ["a", "b"]' if field else said
