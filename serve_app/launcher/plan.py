"""Reads `--profile` or `--config` into a plan: the Serve config to apply, and its profile."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from configs.errors import ConfigError
from serve_app.launcher.environment import Workload

if TYPE_CHECKING:
    from configs.profile import Profile

DEFAULT_PROFILE = "embedded"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
MAX_PORT = 65535


@dataclass(frozen=True)
class StartPlan:
    """The Serve config to apply. `profile` is None where the config is of another graph."""

    config: dict[str, Any]
    profile: "Profile | None"
    arguments: tuple[str, ...]
    """The same as command line arguments."""

    @property
    def host(self) -> str:
        """The address that the HTTP front listens on."""
        return str(self.config["http_options"]["host"])

    @property
    def port(self) -> int:
        """The HTTP front's port."""
        return int(self.config["http_options"]["port"])

    @property
    def workload(self) -> Workload:
        """How long its requests may take, and whether it may spread over several nodes."""
        if self.profile is None:
            return Workload()
        from configs.profile import load_settings

        settings = load_settings(self.profile)
        longest = (
            settings.conversation_wait_s + settings.request_timeout_s,
            settings.graph_timeout_s,
            settings.load_timeout_s,
        )
        return Workload(max(longest), self.profile.nodes == "many")

    @property
    def names(self) -> frozenset[str]:
        """The applications' names."""
        return frozenset(each.get("name", "default") for each in self.config["applications"])


def load_plan(
    profile: str | None, config: str | None, host: str | None = None, port: int | None = None
) -> StartPlan:
    """Read and check a profile or config; `host` and `port` win over the config's.

    Raises `ConfigError`, whose message names file, key and what was expected.
    """
    if config is not None:
        content, served = _from_file(Path(config))
        arguments = ("--config", config)
    else:
        reference = _absolute(profile or DEFAULT_PROFILE)
        content, served = _from_profile(reference)
        arguments = ("--profile", reference)
    return StartPlan(_with_front(content, host, port), served, arguments)


def _from_profile(reference: str) -> tuple[dict[str, Any], "Profile"]:
    from configs.profile_file import load_profile
    from configs.serve_schema import serve_config
    from serve_app.registry.checks import broken_code

    served = load_profile(reference, broken_code)
    return serve_config(reference), served


def _from_file(path: Path) -> tuple[dict[str, Any], "Profile | None"]:
    from configs.serve_schema import IMPORT_PATH, profile_of_config
    from serve_app.registry.checks import broken_code

    content = _read(path)
    package = IMPORT_PATH.partition(".")[0]
    paths = [str(each.get("import_path", "")) for each in content["applications"]]
    # Another graph has no profile; it is checked against Serve's schema only.
    ours = any(each.partition(".")[0] == package for each in paths)
    return content, profile_of_config(path, broken_code) if ours else None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read ({error.strerror})"]) from None
    except yaml.YAMLError as error:
        raise ConfigError(str(path), [f"is not YAML: {' '.join(str(error).split())}"]) from None
    applications = content.get("applications") if isinstance(content, dict) else None
    if not applications or not isinstance(applications, list):
        raise ConfigError(str(path), ["applications: expected a list of applications"])
    if not all(isinstance(each, dict) for each in applications):
        raise ConfigError(str(path), ["applications: expected a mapping for each application"])
    front = content.get("http_options") or {}
    if not isinstance(front, dict):
        raise ConfigError(str(path), ["http_options: expected a mapping"])
    port = front.get("port", DEFAULT_PORT)
    if not isinstance(port, int) or not 1 <= port <= MAX_PORT:
        problem = f"http_options.port: expected a number from 1 to {MAX_PORT} (got {port!r})"
        raise ConfigError(str(path), [problem])
    return dict(content)


def _with_front(content: dict[str, Any], host: str | None, port: int | None) -> dict[str, Any]:
    config = copy.deepcopy(content)
    given = config.get("http_options") or {}
    front = {"host": DEFAULT_HOST, "port": DEFAULT_PORT, **given}
    if host is not None:
        front["host"] = host
    if port is not None:
        front["port"] = port
    # The service has its own deadline and error for it; Serve's would cut long streams.
    front["request_timeout_s"] = None
    config["http_options"] = front
    return config


def _absolute(reference: str) -> str:
    """A profile's path made absolute, since replicas have other working directories."""
    is_path = Path(reference).suffix in {".yaml", ".yml"}
    return str(Path(reference).resolve()) if is_path else reference
