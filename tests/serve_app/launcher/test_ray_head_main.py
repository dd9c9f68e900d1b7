import pytest
from ray._private.parameter import RayParams

from serve_app.launcher.ray_head_main import set_up_node


def test_a_node_has_its_own_agents_port_and_no_process_that_reads_all_logs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RayParams, "__init__", RayParams.__init__)  # it is put back afterwards
    set_up_node(20_007)
    settings = vars(RayParams(num_cpus=2))
    assert settings["num_cpus"] == 2
    assert settings["dashboard_agent_listen_port"] == 20_007
    assert settings["include_log_monitor"] is False  # None would be Ray's default, which is True
