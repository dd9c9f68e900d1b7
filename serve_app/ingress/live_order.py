"""What an order to load a model asks for, beside the model's name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from configs.allow import AllowedSource, AllowList, FolderRule, HubRule
from configs.live_models import LiveOptions
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard


@dataclass(frozen=True, slots=True)
class LiveOrder:
    """What an order to load a model asks for. ``hub`` or ``folder`` names the model's source."""

    options: LiveOptions = field(default_factory=LiveOptions)
    revision: str | None = None
    hub: str | None = None
    folder: str | None = None

    def sources(self, name: str, allowed: AllowList) -> list[AllowedSource]:
        """Where the model ``name`` may be, by the rules of ``allowed``."""
        if self.hub is not None:
            found = allowed.sources(self.hub, (HubRule,))
        elif self.folder is not None:
            found = allowed.sources(self.folder, (FolderRule,))
        else:
            found = allowed.sources(name)
        if self.revision is None:
            return found
        update = {"revision": self.revision}
        at = (replace(each, source=each.source.model_copy(update=update)) for each in found)
        return [each for each in at if each.rule.allows(each.source)]

    def check(self, card: ModelCard) -> None:
        """Raise :class:`ValidationFailed` if a model of the profile is wanted otherwise."""
        wanted = {
            "task": self.options.task,
            "quantization": self.options.quantization,
            "dtype": self.options.dtype,
            "revision": self.revision,
            "source": self.hub or self.folder,
        }
        for key, value in wanted.items():
            known = card.tasks if key == "task" else (getattr(card, key, None),)
            if value is not None and value not in known:
                message = f"{key} of {card.name} is in the profile, and an order cannot change it."
                raise ValidationFailed(message, field=key)
