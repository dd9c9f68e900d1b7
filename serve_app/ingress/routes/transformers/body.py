"""The body of ``POST /v1/systemone``: a state, and typed questions about it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import orjson
from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag

from configs.settings import Settings
from deployments.seam.decisions import DecisionQuestion
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import LIST, OBJECT, TEXT, Body, ModelName, example
from serve_app.ingress.validation.limits import check_prompt_size

MAX_QUESTIONS = 64
MAX_OPTIONS = 256
"""The model's labels bound them further: letters, unless it was published with others."""


def _form(given: Any) -> str:
    match given:
        case dict():
            return OBJECT.tag
        case list():
            return LIST.tag
    return TEXT.tag


Content: TypeAlias = Annotated[
    Annotated[str, TEXT] | Annotated[dict[str, Any], OBJECT] | Annotated[list[Any], LIST],
    Discriminator(_form),
]
"""A text, or JSON that is shown as such."""

OptionName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class ChoiceQuestion(Body):
    """Which of the options fits best. ``criteria`` has the description of each, or null."""

    type: Literal["choice"]
    instructions: Content | None = None
    criteria: Annotated[
        dict[OptionName, Content | None], Field(min_length=1, max_length=MAX_OPTIONS)
    ]

    @property
    def options(self) -> dict[str, Any]:
        return self.criteria


class ScoreQuestion(Body):
    """Which of the levels fits best. ``criteria`` describes each, the lowest first."""

    type: Literal["score"]
    instructions: Content | None = None
    criteria: Annotated[list[Content], Field(min_length=1, max_length=MAX_OPTIONS)]

    @property
    def options(self) -> dict[str, Any]:
        return {str(level): each for level, each in enumerate(self.criteria)}


class NoulCriteria(Body):
    """What the two answers mean."""

    yes: Content | None = Field(None, alias="true")
    no: Content | None = Field(None, alias="false")


class NoulQuestion(Body):
    """Whether something is so."""

    type: Literal["noul"]
    instructions: Content | None = None
    criteria: NoulCriteria | None = None

    @property
    def options(self) -> dict[str, Any]:
        given = self.criteria or NoulCriteria()
        return {"true": given.yes, "false": given.no}


def _kind(given: Any) -> str:
    """The branch for a ``type``, also where there is none: then the error lists the types."""
    kind = given.get("type", "noul") if isinstance(given, dict) else getattr(given, "type", "noul")
    return f"{kind}[]" if isinstance(kind, str) else "[]"


Question: TypeAlias = Annotated[
    Annotated[ChoiceQuestion, Tag("choice[]")]
    | Annotated[ScoreQuestion, Tag("score[]")]
    | Annotated[NoulQuestion, Tag("noul[]")],
    Discriminator(_kind),
]
QuestionName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _no_images(given: Any) -> Any:
    if given:
        raise ValueError("the models that answer here read no images")
    return given


class SystemOneBody(Body):
    """Questions about a state, by name."""

    model_config = example(
        state="I was charged twice for my order and want a refund.",
        questions={
            "refund": {"type": "noul", "instructions": "Is a refund requested?"},
            "tone": {
                "type": "choice",
                "instructions": "What is the tone?",
                "criteria": {"calm": "A polite message", "angry": None},
            },
        },
    )

    state: Content
    questions: Annotated[
        dict[QuestionName, Question], Field(min_length=1, max_length=MAX_QUESTIONS)
    ]
    model: ModelName | None = None
    assets: NoEffect[
        Annotated[dict[str, Any], Field(max_length=0), BeforeValidator(_no_images)] | None
    ] = None

    def to_questions(self, settings: Settings) -> tuple[DecisionQuestion, ...]:
        """The questions, in order. Raises ``ValidationFailed`` where one is too long for a prompt
        together with the state."""
        state = _size(self.state, "state")
        check_prompt_size(state, settings, "state")
        found = []
        for name, each in self.questions.items():
            field = f"questions.{name}"
            question = DecisionQuestion(name, each.type, each.instructions, each.options)
            own = _size([question.instructions, question.options], field)
            check_prompt_size(state + own, settings, field)
            found.append(question)
        return tuple(found)


def _size(value: Any, field: str) -> int:
    """The bytes of a value as JSON. Raises ``ValidationFailed`` if no answer could repeat it."""
    try:
        return len(orjson.dumps(value))
    except TypeError:
        message = f"{field} has a whole number of more than 64 bits."
        raise ValidationFailed(message, field=field) from None
