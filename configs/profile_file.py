"""Reads a profile from its YAML file and checks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import yaml
from pydantic import ValidationError

from configs.errors import ConfigError, explain
from configs.profile import Profile, load_settings
from configs.rules import broken_rules
from configs.weights import PROFILE_FOLDER
from configs.yaml_files import read_yaml

Check: TypeAlias = Callable[[Profile], list[str]]
"""A further check of a profile, which returns problems as ``key: what was expected``."""


def profile_path(ref: str | Path) -> Path:
    """The file of a profile: ``ref`` is a path to YAML, or the name of one in this package."""
    path = Path(ref)
    if path.suffix in {".yaml", ".yml"}:
        return path
    return Path(__file__).with_name(f"{ref}.yaml")


def load_profile(ref: str | Path, *checks: Check) -> Profile:
    """Read a profile by name (``embedded``) or path, and check it by the rules and by ``checks``.

    Raises :class:`ConfigError` that names the file, the key and what was expected.
    """
    path = profile_path(ref)
    profile = _parse(path)
    problems = broken_rules(profile, load_settings(profile, str(path)))
    problems += [problem for check in checks for problem in check(profile)]
    if problems:
        raise ConfigError(str(path), problems)
    return profile


def _parse(path: Path) -> Profile:
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = sorted(file.stem for file in Path(__file__).parent.glob("*.yaml"))
        reason = f"cannot be read ({error.strerror}); profiles by name: {', '.join(known)}"
        raise ConfigError(str(path), [reason]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"is not YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(content, dict):
        raise ConfigError(str(path), ["(whole file): expected a mapping"])
    try:
        return Profile.model_validate(content, context={PROFILE_FOLDER: path.resolve().parent})
    except ValidationError as error:
        raise ConfigError(str(path), explain(error, model=Profile, content=content)) from None
