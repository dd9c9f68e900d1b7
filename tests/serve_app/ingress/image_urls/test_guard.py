"""Which URLs are refused by what they say, and which addresses of their hosts."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from configs.settings import Settings
from serve_app.ingress.image_urls.addresses import AddressRules, own_addresses
from serve_app.ingress.image_urls.guard import UrlGuard, UrlNotAllowed
from tests.serve_app.ingress.image_urls.refused_urls import ADDRESSES, DENIED, REFUSED

PUBLIC = ("8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111")


STRICT = UrlGuard(Settings(image_url_denied_hosts=DENIED))
DEFAULT = UrlGuard(Settings())


def guard(**settings: object) -> UrlGuard:
    return UrlGuard(Settings.model_validate(settings))


def admitted(url: str) -> bool:
    try:
        STRICT.checked(url)
    except UrlNotAllowed:
        return False
    return True


def test_urls_are_refused_before_their_host_is_resolved() -> None:
    assert len(set(REFUSED)) == len(REFUSED) >= 60
    assert not list(filter(admitted, REFUSED))
    assert admitted("http://example.org/a.png")


def test_a_name_that_resolves_to_such_an_address_is_refused() -> None:
    found = [ip_address(host.strip("[]")) for host in ADDRESSES]
    assert not list(filter(DEFAULT.allows, found))


@pytest.mark.parametrize("host", PUBLIC)
def test_public_addresses_are_admitted(host: str) -> None:
    address = ip_address(host)
    assert DEFAULT.allows(address)
    shown = f"[{host}]" if address.version == 6 else host
    assert DEFAULT.checked(f"https://{shown}/a.png").address == address


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.com", "example.com", 443, b"/"),
        ("HTTP://Example.COM.:80/a.png?b=c&d#e", "example.com", 80, b"/a.png?b=c&d"),
        ("http://example.com:443/", "example.com", 443, b"/"),
        ("https://bücher.example/ä b.png", "xn--bcher-kva.example", 443, b"/%C3%A4%20b.png"),
        ("https://my_bucket.s3.example.com/a", "my_bucket.s3.example.com", 443, b"/a"),
    ],
)
def test_a_url_leads_to_a_host_in_its_plainest_spelling(
    url: str, host: str, port: int, path: bytes
) -> None:
    target = DEFAULT.checked(url)
    assert (target.host, target.port, target.path, target.address) == (host, port, path, None)


def test_an_address_behind_nat64_is_judged_by_the_one_that_is_reached() -> None:
    assert DEFAULT.allows(ip_address("64:ff9b::808:808"))
    assert DEFAULT.allows(ip_address("::ffff:8.8.8.8"))


def test_only_hosts_of_the_list_are_asked_if_there_is_one() -> None:
    guarded = guard(image_url_hosts=["files.example.org", "*.cdn.example", "8.8.8.0/24"])
    for host in ("files.example.org", "a.cdn.example", "a.b.cdn.example", "8.8.8.8"):
        assert guarded.checked(f"https://{host}/a.png").host == host
    for host in ("example.org", "a.files.example.org", "cdn.example", "evilcdn.example", "8.8.4.4"):
        with pytest.raises(UrlNotAllowed):
            guarded.checked(f"https://{host}/a.png")


def test_a_denied_network_holds_for_addresses_of_names_and_before_an_open_one() -> None:
    guarded = guard(
        image_url_denied_hosts=["8.8.8.0/24", "10.1.0.0/16"], image_url_networks=["10.0.0.0/8"]
    )
    assert guarded.allows(ip_address("10.2.0.1"))
    for denied in ("8.8.8.8", "10.1.0.1", "::ffff:8.8.8.8"):
        assert not guarded.allows(ip_address(denied))


def test_an_open_private_network_is_admitted_but_for_where_clouds_keep_credentials() -> None:
    guarded = guard(image_url_networks=["127.0.0.1", "100.64.0.0/10", "fc00::/7"])
    for admitted in ("127.0.0.1", "100.64.0.1", "fd00::1", "::ffff:127.0.0.1"):
        assert guarded.allows(ip_address(admitted))
    for refused in ("127.0.0.2", "100.100.100.200", "fd00:ec2::254", "10.0.0.1", "::1"):
        assert not guarded.allows(ip_address(refused))


def test_other_ports_may_be_allowed() -> None:
    assert guard(image_url_ports=[9000]).checked("http://example.com:9000/a").port == 9000
    with pytest.raises(UrlNotAllowed, match="port"):
        guard(image_url_ports=[9000]).checked("http://example.com/a")


def test_this_machine_is_not_reached_by_its_public_address() -> None:
    own = ip_address("8.8.8.8")
    assert not AddressRules(own=lambda: [own]).allows(own)
    assert AddressRules([ip_network("127.0.0.0/8")]).allows(ip_address("127.0.0.1"))
    assert ip_address("127.0.0.1") in own_addresses()
