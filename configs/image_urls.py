"""What may be named in the settings of images by URL: patterns of hosts, and private networks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

Network: TypeAlias = IPv4Network | IPv6Network

NAME = re.compile(r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
PRIVATE: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "::1/128",
            "fc00::/7",
        ),
    )
)
"""Networks that an operator may open. Link-local addresses, where clouds keep the credentials of
their machines, are not among them."""


def parsed_network(text: str) -> Network | None:
    """The network or single address that ``text`` names, ``None`` if it names none."""
    try:
        return ip_network(text)
    except ValueError:
        return None


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks among ``texts``."""
    found = map(parsed_network, texts)
    return tuple(each for each in found if each is not None)


def _host_pattern(text: str) -> str:
    pattern = text.strip().lower().removesuffix(".")
    if parsed_network(pattern) is None and NAME.fullmatch(pattern) is None:
        raise ValueError(
            f"{text!r} is no host: a name as files.example.org, *.example.org for all names below "
            "it, an address, or a network as 203.0.113.0/24"
        )
    return pattern


def _private_network(text: str) -> str:
    network = parsed_network(text.strip())
    if network is None:
        raise ValueError(f"{text!r} is no network, as 10.1.0.0/16")
    if not any(_within(network, private) for private in PRIVATE):
        known = ", ".join(map(str, PRIVATE))
        raise ValueError(f"{text!r} is not within a private network ({known})")
    return str(network)


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
HostPattern: TypeAlias = Annotated[str, AfterValidator(_host_pattern)]
PrivateNetwork: TypeAlias = Annotated[str, AfterValidator(_private_network)]
