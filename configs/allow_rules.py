"""The rules of a profile's allow-list."""

from __future__ import annotations

from collections.abc import Iterator

from configs.allow import HubRule
from configs.profile import Profile
from configs.settings import Settings
from configs.suggestions import hint


def allow_problems(profile: Profile, settings: Settings) -> Iterator[str]:
    """A message for each mistake in ``allow`` or of the folder in the settings, as ``key: what was
    expected``. Folders are looked for if all is on one node."""
    folder = settings.models_folder
    if folder is not None and profile.nodes == "one" and not folder.is_dir():
        yield f"settings.models_folder: expected a folder that is there (got {folder})"
    families = [family.name for family in profile.families]
    for index, rule in enumerate(profile.allow):
        where = f"allow.{index}"
        if rule.family is not None and rule.family not in families:
            message = f"{where}.family: expected a family, got {rule.family}"
            yield f"{message}; {hint(rule.family, families)}".removesuffix("; ")
        if rule.trust_remote_code and not rule.is_exact:
            yield f"{where}.trust_remote_code: expected a rule that names one model, without *"
        if rule.engine == "openvino" and rule.quantization != "none":
            yield f"{where}.quantization: expected none (the openvino engine takes weights as is)"
        if isinstance(rule, HubRule):
            continue
        if profile.nodes == "one" and not rule.base.is_dir():
            yield f"{where}.folder: expected below a folder that is there (got {rule.base})"
