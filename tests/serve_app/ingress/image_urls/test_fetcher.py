"""One download: where it connects to, which answers it takes, and which redirects it follows."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from configs.settings import Settings
from serve_app.ingress.errors import TooManyRequests
from serve_app.ingress.image_urls.fetcher import FetchFailed, ImageFetcher
from serve_app.ingress.image_urls.guard import UrlGuard
from tests.serve_app.ingress.image_urls.refused_urls import REFUSED
from tests.serve_app.ingress.image_urls.web import (
    OTHER,
    PNG,
    PUBLIC,
    V6,
    answer,
    redirect,
    web,
)

GUARD = UrlGuard(Settings())


async def fetched(fetcher: ImageFetcher, url: str, held: list[int] | None = None) -> bytes:
    hold = (held if held is not None else []).append
    return await fetcher.fetched(GUARD.checked(url), hold)


async def test_an_image_comes_from_the_address_that_was_checked() -> None:
    async with web({"/a.png?b=c": answer()}) as net:
        held: list[int] = []
        assert await fetched(net.fetcher(), "http://a.example/a.png?b=c#d", held) == PNG
        assert (net.resolved, net.connected) == (["a.example"], [PUBLIC])
        assert sum(held) == len(PNG)
    lines = net.requests[0].lower().split("\r\n")
    assert lines[0] == "get /a.png?b=c http/1.1"
    assert {"host: a.example", "accept-encoding: identity"} <= set(lines)
    assert not [each for each in lines if each.startswith(("cookie", "authorization", "referer"))]


async def test_the_environments_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with web({"/a.png": answer()}) as net:
        assert await fetched(net.fetcher(), "http://a.example/a.png") == PNG
        assert net.connected == [PUBLIC]


async def test_another_address_is_tried_if_the_first_does_not_answer() -> None:
    async with web({"/a.png": answer()}) as net:
        net.unreachable = {V6}
        assert await fetched(net.fetcher(), "http://both.example/a.png") == PNG
        assert net.connected == [V6, PUBLIC]


@pytest.mark.parametrize("host", ["inside.example", "mixed.example", "none.example"])
async def test_nothing_connects_to_a_name_with_a_refused_address(host: str) -> None:
    async with web({"/a.png": answer()}) as net:
        with pytest.raises(FetchFailed):
            await fetched(net.fetcher(), f"http://{host}/a.png")
        assert net.resolved == [host]
        assert net.connected == []


async def test_a_private_network_may_be_opened() -> None:
    async with web({"/a.png": answer()}) as net:
        fetcher = net.fetcher(image_url_networks=["10.9.0.0/16"])
        assert await fetched(fetcher, "http://store.internal/a.png") == PNG
        assert net.connected == ["10.9.0.1"]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 T", "308 P"])
async def test_redirects_are_followed_and_each_host_is_resolved_and_checked(status: str) -> None:
    pages = {
        "/1": redirect("/2", status),
        "/2": redirect("//b.example/3", status),
        "/3": redirect("http://a.example/a.png", status),
        "/a.png": answer(),
    }
    async with web(pages) as net:
        assert await fetched(net.fetcher(), "http://a.example/1") == PNG
        assert net.connected == [PUBLIC, PUBLIC, OTHER, PUBLIC]


async def test_no_redirect_leads_to_what_would_be_refused_at_first() -> None:
    places = [*REFUSED, "http://inside.example/", "http://mixed.example/", "http://none.example/"]
    relative = ("http:///", "http:/example.com", "http:example.com")  # to the same host
    left_out = ("denied", *relative)
    locations = [
        each for each in places if each.isascii() and not any(part in each for part in left_out)
    ]
    assert len(locations) >= 60
    pages = {f"/{index}": redirect(each) for index, each in enumerate(locations)}
    async with web(pages) as net:
        fetcher = net.fetcher()
        for path, location in zip(pages, locations, strict=True):
            net.connected.clear()
            with pytest.raises(FetchFailed, match=r"redirect to|no address|address that is not"):
                await fetched(fetcher, f"http://a.example{path}")
            assert net.connected == [PUBLIC], location


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (redirect("/again"), "more than 3 redirects"),
        (answer(b"", "302 Found"), "redirect to nowhere"),
        (redirect("http://[::1"), "malformed"),
        (answer(status="404 Not Found"), "status 404"),
        (answer(status="206 Partial"), "status 206"),
        (answer(Content_Type="text/html; charset=utf-8"), "Content-Type"),
        (answer(Content_Type="application/json"), "Content-Type"),
        (answer(gzip.compress(PNG), Content_Encoding="gzip"), "encoded"),
        (answer(b"a" * 3000), "larger than 2000"),
        (answer(b"a" * 3000, length=None), "larger than 2000"),
        (answer(PNG, length=10**15), "larger than 2000"),
        (answer(PNG, length=10**30), "RemoteProtocolError"),
        (answer(PNG, length=len(PNG) + 1), "RemoteProtocolError"),
        (answer(PNG, length=None, Content_Length="1, 2"), "RemoteProtocolError"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 200_000, "RemoteProtocolError"),
    ],
)
async def test_an_answer_that_is_no_image_fails_and_holds_no_memory(
    page: bytes, reason: str
) -> None:
    async with web({"/again": page}) as net:
        held: list[int] = []
        with pytest.raises(FetchFailed, match=reason):
            await fetched(net.fetcher(max_image_url_bytes=2000), "http://a.example/again", held)
        assert sum(held) == 0


@pytest.mark.parametrize(
    "kind", ["image/png", "IMAGE/WEBP; q=1", "application/octet-stream", "binary/octet-stream"]
)
async def test_the_types_that_object_stores_give_pass(kind: str) -> None:
    chunked = f"{len(PNG):x}\r\n".encode() + PNG + b"\r\n0\r\n\r\n"
    page = answer(chunked, length=None, Content_Type=kind, Transfer_Encoding="chunked")
    async with web({"/a": page}) as net:
        assert await fetched(net.fetcher(), "http://a.example/a") == PNG


async def test_all_hops_together_have_one_time_limit() -> None:
    async with web({"/1": redirect("/silent")}) as net:
        with pytest.raises(FetchFailed, match="longer than"):
            await fetched(net.fetcher(image_url_timeout_s=0.3), "http://a.example/1")
        assert len(net.requests) == 2


async def test_a_download_ends_when_memory_does_and_frees_what_it_had() -> None:
    balance = 0

    def hold(size: int) -> None:
        nonlocal balance
        if balance + size > 100_000:
            raise TooManyRequests("full")
        balance += size

    async with web({"/a": answer(b"a" * 500_000)}) as net:
        target = GUARD.checked("http://a.example/a")
        with pytest.raises(TooManyRequests):
            await net.fetcher().fetched(target, hold)
    assert balance == 0


async def test_a_client_that_leaves_ends_its_download() -> None:
    async with web({}) as net:
        task = asyncio.create_task(fetched(net.fetcher(), "http://a.example/silent"))
        await net.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task  # and the server waits until its client has left


async def test_tls_is_checked_against_the_name_and_not_the_address(tmp_path: Path) -> None:
    server, client = certified(tmp_path, ["a.example"])
    seen: list[str | None] = []
    server.sni_callback = lambda stream, name, context: seen.append(name)
    async with web(
        {"/a.png": answer(), "/down": redirect("http://a.example/a.png")}, server
    ) as net:
        fetcher = net.fetcher(client)
        assert await fetched(fetcher, "https://a.example/a.png") == PNG
        assert seen == ["a.example"]
        with pytest.raises(FetchFailed, match="ConnectError"):
            await fetched(fetcher, "https://b.example/a.png")  # the certificate is another's
        with pytest.raises(FetchFailed, match="ConnectError"):
            await fetched(net.fetcher(), "https://a.example/a.png")  # nobody vouches for it
        with pytest.raises(FetchFailed, match="from https to http"):
            await fetched(fetcher, "https://a.example/down")


async def test_a_server_that_wants_a_certificate_gives_no_image(tmp_path: Path) -> None:
    """With TLS 1.3 it says so behind the handshake, and the client learns it where it reads."""
    server, client = certified(tmp_path, ["a.example"])
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    server.verify_mode = ssl.CERT_REQUIRED

    def refuse(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, connection.dup() as other:
            with suppress(ssl.SSLError):
                server.wrap_socket(connection, server_side=True)
            while other.recv(4096):  # unread bytes would make a reset of its close
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        refusing = asyncio.create_task(asyncio.to_thread(refuse, listening))
        async with web({}) as net:
            net.port = listening.getsockname()[1]
            with pytest.raises(FetchFailed, match="SSLError"):
                await fetched(net.fetcher(client), "https://a.example/a.png")
        await refusing


def certified(folder: Path, names: Iterable[str]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server with a certificate for ``names``, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, names)), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "both.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))
