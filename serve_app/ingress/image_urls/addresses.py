"""Which addresses images may be fetched from: public ones, and private ones that are admitted.

The ranges are those of IANA's registries of special-purpose addresses (RFC 6890), written out:
:mod:`ipaddress` calls some of them global that must not be reached from here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import psutil

from configs.image_urls import Network

Address: TypeAlias = IPv4Address | IPv6Address

GLOBAL_UNICAST = IPv6Network("2000::/3")
EMBEDDED_V4 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""IPv6 addresses whose last 32 bits are the IPv4 address that is reached: mapped ones, and those of
NAT64 (RFC 6052), which the resolvers of networks without IPv4 answer for every public host."""
ISATAP = (0x0000_5EFE, 0x0200_5EFE)
"""RFC 5214: the upper half of an interface identifier whose lower half is an IPv4 address."""

REFUSED: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",  # multicast, reserved, broadcast
            "2001::/23",  # Teredo, benchmarking, ORCHID
            "2001:db8::/32",
            "2002::/16",  # 6to4
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
METADATA = frozenset(
    map(
        ip_address,
        ("100.100.100.200", "168.63.129.16", "169.254.169.254", "192.0.0.192", "fd00:ec2::254"),
    )
)
"""Where clouds answer a machine about itself, some of them at addresses of other kinds."""


class AddressRules:
    """Decides about addresses.

    ``admitted`` are private networks that an operator opens; ``denied`` are networks that are
    refused all the same, and ``own`` tells the addresses of this machine, public ones too.
    """

    def __init__(
        self,
        admitted: Iterable[Network] = (),
        denied: Iterable[Network] = (),
        own: Callable[[], Collection[Address]] = frozenset,
    ) -> None:
        self._admitted = tuple(admitted)
        self._denied = tuple(denied)
        self._own = own

    def allows(self, address: Address) -> bool:
        """Whether an image may be fetched from ``address``."""
        reached = _reached(address)
        if reached is None or reached in METADATA:
            return False
        if any(each in network for network in self._denied for each in (address, reached)):
            return False
        if any(reached in network for network in self._admitted):
            return True
        if isinstance(reached, IPv6Address) and reached not in GLOBAL_UNICAST:
            return False
        if not reached.is_global or any(reached in network for network in REFUSED):
            return False
        return reached not in self._own()


def _reached(address: Address) -> Address | None:
    """The address that packets to ``address`` reach; ``None`` if that cannot be told."""
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        return None
    if any(address in network for network in EMBEDDED_V4):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if (int(address) >> 32) & 0xFFFF_FFFF in ISATAP:
        return None
    return address


def own_addresses() -> frozenset[Address]:
    """The addresses of this machine's network interfaces."""
    found = (each for places in psutil.net_if_addrs().values() for each in places)
    return frozenset(
        ip_address(each.address.partition("%")[0])
        for each in found
        if each.family in (socket.AF_INET, socket.AF_INET6)
    )
