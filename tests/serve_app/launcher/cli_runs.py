"""Runs of the commands in this process, and the configuration of a graph that is not ours."""

import pytest
from click.testing import CliRunner, Result

from serve_app.cli import main

FOREIGN = {"applications": [{"name": "stub", "import_path": "stub:build", "route_prefix": "/"}]}

# Ray Serve's own modules warn when they are imported with this pydantic.
ray_import = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, list(arguments))
