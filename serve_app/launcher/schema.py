"""Checks a Serve config against Serve's own schema."""

from typing import Any

from pydantic import ValidationError


def config_problem(config: dict[str, Any]) -> str | None:
    """What is wrong with `config`, a line for each error, or None. Imports Ray Serve."""
    from ray.serve.schema import ServeDeploySchema

    try:
        ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        return "\n".join(
            f"{'.'.join(str(part) for part in each['loc']) or 'config'}: {each['msg']}"
            for each in error.errors()
        )
    return None
