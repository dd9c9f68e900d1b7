"""Checks a Serve config against Serve's own schema, unknown keys included."""

from typing import Any

from pydantic import ValidationError


def config_problem(config: dict[str, Any]) -> str | None:
    """The errors of `config`, one line each, or None. Imports Ray Serve.

    Keys that the schema does not have are errors too, although Serve ignores them silently.
    """
    from ray.serve.schema import ServeDeploySchema

    from configs.serve_options import unknown_keys

    problems = [f"{key}: {message}" for key, message in unknown_keys(ServeDeploySchema, config)]
    try:
        ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        problems += [
            f"{'.'.join(str(part) for part in each['loc']) or 'config'}: "
            f"{' '.join(each['msg'].removeprefix('Value error, ').split())}"
            for each in error.errors()
        ]
    return "\n".join(problems) or None
