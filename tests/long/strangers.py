"""What a stranger with a command line could send to harm others: each kind with its bytes."""

from __future__ import annotations

import json
import socket
import struct
import time
import zlib
from base64 import b64encode
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

NATIVE = "/api/v1/huggingface"
CHAT = "/v1/chat/completions"
MIB = 1024 * 1024
READ_S = 60.0
HOLD_S = 6.0
HI = [{"role": "user", "content": "Hi"}]
JSON = "application/json"
FORM = "multipart/form-data; boundary="


@dataclass(frozen=True)
class Trick:
    """Bytes of a whole request, or several; ``slow`` is how long they dribble, or are not read."""

    name: str
    sent: bytes
    clients: int = 1
    pause_s: float = 0.0
    reads: bool = True
    hold_s: float = READ_S


def request(
    path: str | bytes, body: bytes = b"", media_type: str = JSON, method: str = "POST", *more: str
) -> bytes:
    target = path.encode() if isinstance(path, str) else path
    lines = [f"Host: 127.0.0.1\r\nConnection: close\r\nContent-Length: {len(body)}", *more]
    if body or method == "POST":
        lines.append(f"Content-Type: {media_type}")
    head = method.encode() + b" " + target + b" HTTP/1.1\r\n" + "\r\n".join(lines).encode()
    return head + b"\r\n\r\n" + body


def posted(path: str, **body: Any) -> bytes:
    return request(path, json.dumps(body).encode())


def send(url: str, trick: Trick) -> str:
    """The status of the first answer, ``cut`` for a connection that was closed without one, or
    ``held`` where the client gave up."""
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 80
    until = time.monotonic() + trick.hold_s
    with socket.create_connection((host, port), timeout=READ_S) as wire:
        if not trick.reads:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            if trick.pause_s:
                for byte in trick.sent:
                    if time.monotonic() > until:
                        return "held"
                    wire.sendall(bytes([byte]))
                    time.sleep(trick.pause_s)
            else:
                wire.sendall(trick.sent)
            if not trick.reads:
                time.sleep(trick.hold_s)
                return "held"
            return _status(wire, until)
        except (ConnectionError, TimeoutError):
            return _late_status(wire)


def _status(wire: socket.socket, until: float) -> str:
    told = b""
    while b"\r\n" not in told:
        wire.settimeout(max(0.1, until - time.monotonic()))
        try:
            more = wire.recv(65536)
        except TimeoutError:
            return "held"
        if not more:
            return "cut"
        told += more
    return told.split(b" ", 2)[1].decode("ascii", "replace")


def _late_status(wire: socket.socket) -> str:
    """Of an answer that came before the request was sent whole."""
    try:
        return _status(wire, time.monotonic() + 2)
    except OSError:
        return "cut"


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A grey image whose pixels are all black."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(b"\0" * (width + 1)) for _ in range(height)) + rows.flush()
    text = b"".join(chunk(b"zTXt", each) for each in chunks)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + text + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def gif(frames: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + frame * frames + b"\x3b"


def wav(claimed: int, data: bytes) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    size = struct.pack("<I", claimed)
    return b"RIFF" + size + b"WAVEfmt " + form + b"data" + size + data


def image(data: bytes, route: str = "vision/classify") -> bytes:
    return posted(f"{NATIVE}/{route}", image=b64encode(data).decode())
