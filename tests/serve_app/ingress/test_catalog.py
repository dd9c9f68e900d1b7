"""The catalog: names, aliases and tasks lead to one card, or to a list of those there are."""

from __future__ import annotations

from typing import Any

import pytest

from configs.profile import Profile
from configs.settings import Settings
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.errors import FamilyNotAllowed, ModelNotFound, ValidationFailed
from tests.serve_app.house import FAST, FULL, profile

OTHERS = ["house/vectors", "house/mood"]


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(profile(), Settings())


@pytest.mark.parametrize("name", [FAST, "fast"])
async def test_a_model_is_found_by_name_and_by_alias(catalog: Catalog, name: str) -> None:
    card = await catalog.find(name)
    assert (card.name, card.family, card.engine) == (FAST, "generation", "openvino")


async def test_a_card_knows_what_the_profile_says(catalog: Catalog) -> None:
    card = await catalog.find("house/vectors")
    assert (card.tasks, card.max_tokens, card.window, card.pinned) == (("embed",), 64, None, True)
    assert card.revision is None


async def test_a_pinned_revision_is_shown() -> None:
    content = profile().model_dump(mode="json")
    content["families"][1]["models"][0]["source"] = {"hub": "a/b", "revision": "abc"}
    catalog = Catalog(Profile.model_validate(content), Settings())
    assert (await catalog.find("house/vectors")).revision == "abc"


async def test_an_unknown_name_lists_every_model(catalog: Catalog) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await catalog.find("no/such")
    assert caught.value.details["available"] == [FAST, FULL, *OTHERS]
    assert caught.value.field == "model"


@pytest.mark.parametrize("name", ["no/such", "house/vectors", ""])
async def test_a_name_that_does_not_do_the_task_lists_those_that_do(
    catalog: Catalog, name: str
) -> None:
    with pytest.raises(ModelNotFound) as caught:
        await catalog.resolve("chat", name)
    assert caught.value.details["available"] == [FAST, FULL]
    assert caught.value.field == "model_name"


async def test_a_model_of_another_task_is_told_from_one_that_is_unknown(catalog: Catalog) -> None:
    with pytest.raises(ModelNotFound, match=r"'house/vectors' is served only for embed\."):
        await catalog.resolve("chat", "house/vectors")
    with pytest.raises(ModelNotFound, match="'no/such' is not served here"):
        await catalog.resolve("chat", "no/such")


async def test_without_a_name_the_pinned_model_answers(catalog: Catalog) -> None:
    assert (await catalog.resolve("generate", None)).name == FAST


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"default_generation_model": FULL}, FULL),
        ({"default_text_model": FULL}, FULL),
        ({"default_generation_model": "fast", "default_text_model": FULL}, FAST),
    ],
)
async def test_without_a_name_the_settings_default_answers(
    settings: dict[str, Any], expected: str
) -> None:
    catalog = Catalog(profile(), Settings(**settings))
    assert (await catalog.resolve("chat", None)).name == expected


async def test_the_tasks_own_name_stands_for_its_default(catalog: Catalog) -> None:
    assert (await catalog.resolve("chat", "chat")).name == FAST
    with pytest.raises(ModelNotFound):
        await catalog.resolve("chat", "generate")


NEEDS_ALL = [("response_format", "response_format"), ("logit_bias", "logit_bias")]


@pytest.mark.parametrize("name", [None, "chat"])
async def test_a_default_is_a_model_that_can_do_what_is_needed(catalog: Catalog, name: Any) -> None:
    assert (await catalog.resolve("chat", name, needed=NEEDS_ALL)).name == FULL
    assert (await catalog.resolve("chat", name, needed=[])).name == FAST
    settings = Settings(default_generation_model=FAST)
    assert (await Catalog(profile(), settings).resolve("chat", name, needed=NEEDS_ALL)).name == FULL


async def test_a_model_that_is_named_is_not_replaced(catalog: Catalog) -> None:
    with pytest.raises(ValidationFailed, match="These models can") as caught:
        await catalog.resolve("chat", FAST, needed=NEEDS_ALL)
    assert (caught.value.field, caught.value.details["models"]) == ("response_format", [FULL])


async def test_where_no_model_can_do_it_the_default_is_refused() -> None:
    content = profile().model_dump(mode="json")
    del content["families"][0]["models"][1]
    alone = Catalog(Profile.model_validate(content), Settings())
    with pytest.raises(ValidationFailed, match=f"cannot be honoured by {FAST}"):
        await alone.resolve("chat", None, needed=NEEDS_ALL)


async def test_a_task_that_nobody_does_is_a_400(catalog: Catalog) -> None:
    with pytest.raises(ValidationFailed, match="No model is configured for caption"):
        await catalog.resolve("caption", None)


async def test_what_every_engine_does_is_not_refused(catalog: Catalog) -> None:
    catalog.require(
        await catalog.find(FAST), "chat", [("temperature", "temperature"), ("stop", "stop")]
    )
    catalog.require(await catalog.find(FULL), "chat", [("logprobs", "top_logprobs")])


async def test_what_an_engine_cannot_do_names_the_field_and_a_model_that_can(
    catalog: Catalog,
) -> None:
    with pytest.raises(ValidationFailed) as caught:
        catalog.require(
            await catalog.find(FAST), "chat", [("stop", "stop"), ("logprobs", "logit_bias")]
        )
    assert caught.value.field == "logprobs"
    assert caught.value.details["field_errors"] == {"logprobs": "not supported by this model"}
    assert caught.value.details["models"] == [FULL]
    assert FULL in caught.value.message


async def test_what_no_model_can_do_names_none(catalog: Catalog) -> None:
    with pytest.raises(ValidationFailed) as caught:
        catalog.require(await catalog.find(FAST), "summarize", [("tools", "tools")])
    assert caught.value.details["models"] == []
    assert "These models can" not in caught.value.message


async def test_the_first_task_that_somebody_does_is_answered(catalog: Catalog) -> None:
    task, card = await catalog.resolve_first(["topic", "sentiment", "chat"], None)
    assert (task, card.name) == ("sentiment", "house/mood")


async def test_a_named_model_decides_which_task_is_answered(catalog: Catalog) -> None:
    task, card = await catalog.resolve_first(["sentiment", "chat"], "fast")
    assert (task, card.name) == ("chat", FAST)


async def test_without_any_the_last_task_is_missed(catalog: Catalog) -> None:
    with pytest.raises(ValidationFailed, match="No model is configured for zero_shot"):
        await catalog.resolve_first(["topic", "zero_shot"], None)
    with pytest.raises(ModelNotFound):
        await catalog.resolve_first(["sentiment", "chat"], "no/such")


async def test_without_a_name_the_first_task_is_one_that_a_key_may_have_done(
    catalog: Catalog,
) -> None:
    bound = catalog.restricted_to({"embeddings"})
    task, card = await bound.resolve_first(("sentiment", "embed"), None)
    assert (task, card.name) == ("embed", "house/vectors")
    with pytest.raises(FamilyNotAllowed):
        await bound.resolve_first(("sentiment", "embed"), "house/mood")
    with pytest.raises(FamilyNotAllowed):
        await bound.resolve_first(("sentiment", "chat"), None)
