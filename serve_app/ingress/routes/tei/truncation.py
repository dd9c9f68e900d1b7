"""TEI's two fields about texts that are too long."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from serve_app.ingress.documentation.rules import TRUE, Schema, when
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.validation.effects import NoEffectMark
from serve_app.ingress.validation.fields import Body

Direction: TypeAlias = Literal["Left", "Right", "left", "right"]

CUT_RIGHT: Schema = when(
    {"truncate": TRUE}, allows={"truncation_direction": {"enum": ["Right", "right", None]}}
)


class TruncationBody(Body):
    """``truncate`` cuts the end of texts that are too long. Clients name a direction anyway."""

    truncate: bool | None = None
    truncation_direction: Annotated[
        Direction | None, NoEffectMark("texts are cut at their end; Left is refused with truncate")
    ] = None

    @property
    def truncates(self) -> bool:
        """Whether texts are cut. Raises ``ValidationFailed`` if that is at their beginning."""
        if self.truncate and self.truncation_direction in ("Left", "left"):
            raise ValidationFailed(
                "Texts are only cut at their end: truncation_direction must be Right.",
                field="truncation_direction",
            )
        return bool(self.truncate)
