"""Feature extraction and sentence similarity. Options sit at the root of the body, as in TEI."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from starlette.responses import Response

from serve_app.ingress.documentation.rules import all_readable
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services, TaskResult
from serve_app.ingress.routes.cosine import cosines
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.request_body import Inputs, NoOptions, NoParameters
from serve_app.ingress.routes.vectors import EMBED, check_text, embed
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import Body, Readable, TextList, example, ruled

hub_tasks = HubTasks()


class FeatureBody(Body):
    """Texts to embed. ``prompt_name`` is one of the prompts that the model was published with."""

    model_config = example(inputs=["a cat", "a dog"])

    inputs: Inputs
    normalize: bool | None = None
    prompt_name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    truncate: bool | None = None
    truncation_direction: NoEffect[Literal["right", "Right"] | None] = None
    dimensions: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    encoding_format: NoEffect[Literal["float"] | None] = None
    parameters: NoParameters = None
    options: NoOptions = None


class Sentences(Body):
    model_config = ConfigDict(json_schema_extra=ruled(all_readable("sentences")))

    source_sentence: Readable
    sentences: TextList


class HubSimilarityBody(Body):
    """One sentence, and others to compare it with."""

    model_config = example(
        inputs={"source_sentence": "a cat", "sentences": ["a kitten", "a bicycle"]}
    )

    inputs: Sentences
    parameters: NoParameters = None
    options: NoOptions = None


@hub_tasks.task("feature-extraction", EMBED)
async def feature_extraction(
    body: FeatureBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """One vector a text, in a list also when it is one text, as TEI answers."""
    texts = (body.inputs,) if isinstance(body.inputs, str) else tuple(body.inputs)
    embedded = await embed(
        services,
        card,
        texts,
        ("inputs",) if isinstance(body.inputs, str) else "inputs",
        normalize=body.normalize is not False,
        truncate=bool(body.truncate),
        dimensions=body.dimensions,
        fields={},
        prompt_name=body.prompt_name,
    )
    result = TaskResult(list(embedded.vectors), card.name)
    return await context.respond(result, services.turns)


@hub_tasks.task("sentence-similarity", EMBED, distinguishing={"source_sentence", "sentences"})
async def sentence_similarity(
    body: HubSimilarityBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """The cosine of each sentence with the source, in order."""
    source, others = body.inputs.source_sentence, body.inputs.sentences
    check_text(source, services, "inputs.source_sentence")
    if len(others) >= services.settings.max_texts:
        limit = services.settings.max_texts - 1
        message = f"{len(others)} sentences; the limit is {limit}."
        raise ValidationFailed(message, field="inputs.sentences")
    names = ("inputs.source_sentence", *(f"inputs.sentences.{i}" for i in range(len(others))))
    embedded = await embed(services, card, (source, *others), names, fields={})
    return context.bare_list(
        [float(score) for score in cosines(embedded.vectors[1:], embedded.vectors[0])], card.name
    )
