"""Fields that other servers know, each at the value that asks for nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from serve_app.ingress.validation.fields import Body

Nothing: TypeAlias = Annotated[list[Any], Field(max_length=0)]


class NoEffectBody(Body):
    """Fields that are accepted without an effect, because clients send them by default.

    What another value would ask for is not done here, so it is refused.
    """

    user: str | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    best_of: Literal[1] | None = None
    use_beam_search: Literal[False] | None = None
    length_penalty: Annotated[float, Field(ge=1, le=1)] | None = None
    early_stopping: Literal[False] | None = None
    skip_special_tokens: Literal[True] | None = None
    spaces_between_special_tokens: Literal[True] | None = None
    include_stop_str_in_output: Literal[False] | None = None
    return_token_ids: Literal[False] | None = None
    return_tokens_as_token_ids: Literal[False] | None = None
    stop_token_ids: Nothing | None = None
    bad_words: Nothing | None = None
    priority: Literal[0] | None = None


class NoEffectChatBody(NoEffectBody):
    """The same for chats."""

    functions: Nothing | None = None
    function_call: Literal["none"] | None = None
    modalities: Annotated[list[Literal["text"]], Field(min_length=1)] | None = None
    audio: None = None
    prediction: None = None
    web_search_options: None = None
    moderation: None = None
    reasoning_effort: Literal["none"] | None = None
    verbosity: Literal["medium"] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    safety_identifier: str | None = None
    echo: Literal[False] | None = None
    add_generation_prompt: Literal[True] | None = None
    continue_final_message: Literal[False] | None = None
    add_special_tokens: Literal[False] | None = None
    documents: Nothing | None = None
    chat_template: None = None
