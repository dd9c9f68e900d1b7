"""Which hosts and networks the settings of images by URL may name."""

from __future__ import annotations

import pytest

from configs.errors import ConfigError
from configs.settings import resolve


def test_hosts_are_names_names_below_one_addresses_and_networks() -> None:
    given = ["Files.Example.ORG.", "*.example.org", "203.0.113.7", "2001:db8::/32"]
    settings = resolve({"image_url_hosts": given}, "a.yaml")
    assert settings.image_url_hosts == (
        "files.example.org",
        "*.example.org",
        "203.0.113.7",
        "2001:db8::/32",
    )


@pytest.mark.parametrize(
    "host", ["", "https://example.org", "example.org:80", "*", "a*.example.org", "10.0.0.1/8"]
)
def test_what_is_no_host_is_refused_at_the_start(host: str) -> None:
    with pytest.raises(ConfigError, match="image_url_denied_hosts"):
        resolve({"image_url_denied_hosts": [host]}, "a.yaml")


@pytest.mark.parametrize("network", ["10.1.0.0/16", "192.168.1.7", "fd00:1::/32", "127.0.0.0/8"])
def test_private_networks_may_be_opened(network: str) -> None:
    assert resolve({"image_url_networks": [network]}, "a.yaml").image_url_networks


@pytest.mark.parametrize(
    "network", ["0.0.0.0/0", "::/0", "169.254.0.0/16", "8.8.8.0/24", "10.0.0.0/7", "fe80::/10", "x"]
)
def test_other_networks_may_not(network: str) -> None:
    with pytest.raises(ConfigError, match="image_url_networks"):
        resolve({"image_url_networks": [network]}, "a.yaml")
