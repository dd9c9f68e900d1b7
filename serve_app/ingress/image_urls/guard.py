"""Checks a URL before anything is done with it: its scheme, host and port."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from configs.image_urls import networks_of, parsed_network
from configs.settings import Settings
from serve_app.ingress.image_urls.addresses import Address, AddressRules, own_addresses

MAX_URL_LENGTH = 8192
PORTS = {"http": 80, "https": 443}
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
NAME = re.compile(rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})*")
NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that makes resolvers read the whole name as an IPv4 address, also one in octal or
hexadecimal digits or with fewer than four parts."""


class UrlNotAllowed(Exception):
    """The URL is refused by what it says. The message may be shown to the client that wrote it."""


@dataclass(frozen=True, slots=True)
class UrlTarget:
    """Where a URL leads. ``host`` is in lower case and ASCII, without a trailing dot.

    ``address`` is set where the host is an address itself; ``path`` has the query, as it is sent.
    """

    url: httpx.URL
    scheme: str
    host: str
    port: int
    path: bytes
    address: Address | None = None


class UrlGuard:
    """The rules of the settings for URLs and for the addresses that their hosts resolve to."""

    def __init__(self, settings: Settings) -> None:
        self._ports = frozenset(settings.image_url_ports)
        self._hosts = _HostList(settings.image_url_hosts)
        self._denied = _HostList(settings.image_url_denied_hosts)
        admitted = networks_of(settings.image_url_networks)
        denied = networks_of(settings.image_url_denied_hosts)
        self._addresses = AddressRules(admitted, denied, own_addresses)

    def checked(self, text: str) -> UrlTarget:
        """Where the URL ``text`` leads. Raises :class:`UrlNotAllowed`."""
        if len(text) > MAX_URL_LENGTH:
            raise UrlNotAllowed(f"is a URL of more than {MAX_URL_LENGTH} characters.")
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, UnicodeError):
            raise UrlNotAllowed("is not a well-formed URL.") from None
        return self.followed(url)

    def followed(self, url: httpx.URL) -> UrlTarget:
        """The same for a URL that is parsed already, as that of a redirect."""
        if url.scheme not in PORTS:
            raise UrlNotAllowed("is a URL with another scheme than http and https.")
        if url.userinfo:
            raise UrlNotAllowed("is a URL with a user name or password, which is not sent.")
        port = PORTS[url.scheme] if url.port is None else url.port
        if port not in self._ports:
            raise UrlNotAllowed("is a URL with a port from which this server fetches no images.")
        host = url.raw_host.decode("ascii").lower().removesuffix(".")
        address = _address(host)
        if not self._names(host, address):
            raise UrlNotAllowed("is a URL of a host from which this server fetches no images.")
        if address is not None and not self.allows(address):
            raise UrlNotAllowed("is a URL of an address that is not public.")
        return UrlTarget(url, url.scheme, host, port, url.raw_path, address)

    def allows(self, address: Address) -> bool:
        """Whether an image may be fetched from ``address``."""
        return self._addresses.allows(address)

    def _names(self, host: str, address: Address | None) -> bool:
        if self._denied.has(host, address):
            return False
        return self._hosts.empty or self._hosts.has(host, address)


class _HostList:
    """Names, ``*.name`` for all names below one, and networks."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.empty = not patterns
        self._networks = networks_of(patterns)
        names = [each for each in patterns if parsed_network(each) is None]
        self._below = tuple(each[1:] for each in names if each.startswith("*."))
        self._names = frozenset(names)

    def has(self, host: str, address: Address | None) -> bool:
        if address is not None:
            return any(address in network for network in self._networks)
        return host in self._names or host.endswith(self._below)


def _address(host: str) -> Address | None:
    """The address that ``host`` is, ``None`` for a name.

    Raises :class:`UrlNotAllowed` for neither, and for an address in an unusual spelling.
    """
    try:
        address = ip_address(host)
    except ValueError:
        last = host.rpartition(".")[2]
        if NAME.fullmatch(host) is None or NUMERIC.fullmatch(last):
            raise UrlNotAllowed("is a URL without a well-formed host.") from None
        return None
    if "%" in host:  # a zone (RFC 6874) is an interface of this machine
        raise UrlNotAllowed("is a URL without a well-formed host.")
    return address
