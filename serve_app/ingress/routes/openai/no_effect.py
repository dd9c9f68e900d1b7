"""Fields that other servers know, each at the value that asks for nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import Body

Nothing: TypeAlias = Annotated[list[Any], Field(max_length=0)]


class NoEffectBody(Body):
    """Fields that are accepted without an effect, because clients send them by default.

    What another value would ask for is not done here, so it is refused.
    """

    user: NoEffect[str | None] = None
    metadata: NoEffect[Annotated[dict[str, str], Field(max_length=16)] | None] = None
    store: NoEffect[Literal[False] | None] = None
    service_tier: NoEffect[Literal["auto", "default"] | None] = None
    best_of: NoEffect[Literal[1] | None] = None
    use_beam_search: NoEffect[Literal[False] | None] = None
    length_penalty: NoEffect[Annotated[float, Field(ge=1, le=1)] | None] = None
    early_stopping: NoEffect[Literal[False] | None] = None
    skip_special_tokens: NoEffect[Literal[True] | None] = None
    spaces_between_special_tokens: NoEffect[Literal[True] | None] = None
    include_stop_str_in_output: NoEffect[Literal[False] | None] = None
    return_token_ids: NoEffect[Literal[False] | None] = None
    return_tokens_as_token_ids: NoEffect[Literal[False] | None] = None
    stop_token_ids: NoEffect[Nothing | None] = None
    bad_words: NoEffect[Nothing | None] = None
    priority: NoEffect[Literal[0] | None] = None


class NoEffectChatBody(NoEffectBody):
    """The same for chats."""

    functions: NoEffect[Nothing | None] = None
    function_call: NoEffect[Literal["none"] | None] = None
    modalities: NoEffect[Annotated[list[Literal["text"]], Field(min_length=1)] | None] = None
    audio: None = None
    prediction: None = None
    web_search_options: None = None
    moderation: None = None
    reasoning_effort: NoEffect[Literal["none"] | None] = None
    verbosity: NoEffect[Literal["medium"] | None] = None
    prompt_cache_key: NoEffect[str | None] = None
    prompt_cache_options: None = None
    prompt_cache_retention: NoEffect[Literal["in_memory", "24h"] | None] = None
    safety_identifier: NoEffect[str | None] = None
    echo: NoEffect[Literal[False] | None] = None
    add_generation_prompt: NoEffect[Literal[True] | None] = None
    continue_final_message: NoEffect[Literal[False] | None] = None
    add_special_tokens: NoEffect[Literal[False] | None] = None
    documents: NoEffect[Nothing | None] = None
    chat_template: None = None
