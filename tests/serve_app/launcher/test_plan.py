from pathlib import Path

import yaml

from serve_app.launcher.plan import load_plan


def _file(directory: Path, **options: object) -> str:
    path = directory / "serve.yaml"
    application = {"name": "stub", "import_path": "stub:build", "route_prefix": "/"}
    path.write_text(yaml.safe_dump({"applications": [application], "http_options": options}))
    return str(path)


def test_flags_win_over_the_config_and_the_config_over_the_defaults(tmp_path: Path) -> None:
    config = _file(tmp_path, port=9000)
    plan = load_plan(None, config)
    assert (plan.host, plan.port) == ("127.0.0.1", 9000)
    flagged = load_plan(None, config, "0.0.0.0", 9001)
    assert (flagged.host, flagged.port) == ("0.0.0.0", 9001)


def test_serves_own_request_timeout_is_off(tmp_path: Path) -> None:
    plan = load_plan(None, _file(tmp_path, request_timeout_s=5))
    assert plan.config["http_options"]["request_timeout_s"] is None


def test_another_graph_has_no_profile_and_keeps_its_name(tmp_path: Path) -> None:
    plan = load_plan(None, _file(tmp_path))
    assert plan.profile is None
    assert plan.names == {"stub"}
