"""Converts a profile to the configuration file of ``serve deploy``, and the file to a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from configs.errors import ConfigError, explain
from configs.profile import DeploymentOptions, Profile, load_settings
from configs.profile_file import Check, load_profile
from configs.rules import broken_rules
from configs.yaml_files import read_yaml

IMPORT_PATH = "serve_app.graph:build"
APPLICATION = "prsm"
INGRESS = "Ingress"
LEDGER = "Ledger"

NEEDS_NULL = (
    "expected autoscaling_config: null beside it, since Serve otherwise scales by the profile's "
    "autoscaling_config and ignores the number"
)


def serve_config(profile_ref: str | Path) -> dict[str, Any]:
    """The configuration of Serve (a ``ServeDeploySchema`` as a mapping) for a profile.

    ``request_timeout_s`` is not set, since the service has a deadline of its own, which it answers
    with a 504 in its error envelope instead of Serve's bare 408.
    """
    profile = load_profile(profile_ref)
    deployments = [_entry(INGRESS, profile.ingress), _entry(LEDGER, profile.ledger)]
    deployments += [_entry(family.deployment_name, family.options) for family in profile.families]
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "127.0.0.1", "port": 8000, "keep_alive_timeout_s": 90},
        "logging_config": {"encoding": "TEXT", "log_level": "INFO", "enable_access_log": False},
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": IMPORT_PATH,
                "args": {"profile": str(profile_ref)},
                "deployments": deployments,
            }
        ],
    }


def profile_of_config(path: str | Path, *checks: Check) -> Profile:
    """The profile that a Serve configuration file names, with the options of that file.

    Raises :class:`ConfigError` if the deployments of the two differ, or the file's options break a
    rule.
    """
    origin = str(path)
    arguments, entries = _application(Path(path))
    profile = load_profile(arguments.get("profile", "embedded"))
    expected = {INGRESS, LEDGER, *(family.deployment_name for family in profile.families)}
    problems = [
        f"deployments.{name}: expected a deployment of profile {profile.name}"
        for name in sorted(set(entries) - expected)
    ]
    problems += [f"deployments: expected an entry for {n}" for n in sorted(expected - set(entries))]
    if problems:
        raise ConfigError(origin, problems)
    merged = _merged(profile, entries, origin)
    problems = broken_rules(merged, load_settings(merged, origin))
    problems += [problem for check in checks for problem in check(merged)]
    if problems:
        raise ConfigError(origin, problems)
    return merged


def _entry(name: str, options: DeploymentOptions) -> dict[str, Any]:
    return {"name": name, **options.as_serve()}


def _application(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read ({error.strerror})"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"is not YAML: {' '.join(str(error).split())}"]) from None
    applications = content.get("applications") if isinstance(content, dict) else None
    if not isinstance(applications, list) or len(applications) != 1:
        raise ConfigError(str(path), ["applications: expected a list of one application"])
    application = applications[0]
    if not isinstance(application, dict):
        raise ConfigError(str(path), ["applications.0: expected a mapping"])
    if application.get("import_path") != IMPORT_PATH:
        raise ConfigError(str(path), [f"applications.0.import_path: expected {IMPORT_PATH}"])
    arguments, entries = application.get("args") or {}, application.get("deployments") or []
    if not isinstance(arguments, dict):
        raise ConfigError(str(path), ["applications.0.args: expected a mapping"])
    if not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        raise ConfigError(str(path), ["applications.0.deployments: expected a name for each"])
    return arguments, {entry["name"]: entry for entry in entries}


def _merged(profile: Profile, entries: dict[str, dict[str, Any]], origin: str) -> Profile:
    def options(name: str, profile_options: DeploymentOptions) -> DeploymentOptions:
        file_options = {key: value for key, value in entries[name].items() if key != "name"}
        where = f"deployments.{name}"
        if _ignores_num_replicas(file_options, profile_options):
            raise ConfigError(origin, [f"{where}.num_replicas: {NEEDS_NULL}"])
        try:
            return DeploymentOptions.model_validate(_overridden(file_options, profile_options))
        except ValidationError as error:
            raise ConfigError(origin, explain(error, where, DeploymentOptions)) from None

    families = tuple(
        family.model_copy(update={"options": options(family.deployment_name, family.options)})
        for family in profile.families
    )
    service_options = {
        "ingress": options(INGRESS, profile.ingress),
        "ledger": options(LEDGER, profile.ledger),
    }
    return profile.model_copy(update={**service_options, "families": families})


def _ignores_num_replicas(file_options: dict[str, Any], profile_options: DeploymentOptions) -> bool:
    """Whether Serve would scale by the profile's options in spite of the file's fixed number."""
    if "autoscaling_config" in file_options or profile_options.autoscaling_config is None:
        return False
    return profile_options.num_replicas is None and isinstance(
        file_options.get("num_replicas"), int
    )


def _overridden(file_options: dict[str, Any], profile_options: DeploymentOptions) -> dict[str, Any]:
    """The profile's options, overridden by the file's, as Serve merges them."""
    merged = profile_options.model_dump(exclude_unset=True)
    if file_options.get("autoscaling_config") and "num_replicas" not in file_options:
        merged.pop("num_replicas", None)
    return {**merged, **file_options}
