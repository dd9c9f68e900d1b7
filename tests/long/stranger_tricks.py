"""The tricks of strangers: forms, slow clients, bombs, odd texts, paths, framing, and much."""

from __future__ import annotations

import gzip
import zlib
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from tests.long.strangers import (
    CHAT,
    FORM,
    HI,
    HOLD_S,
    JSON,
    MIB,
    NATIVE,
    Trick,
    gif,
    image,
    png,
    posted,
    request,
    wav,
)


def tricks() -> Iterator[Trick]:
    yield from forms()
    yield from slow()
    yield from packed()
    yield from texts()
    yield from schemas()
    yield from paths()
    yield from framing()
    yield from much()


def forms() -> Iterator[Trick]:
    route = f"{NATIVE}/vision/question"
    part = b'--x\r\nContent-Disposition: form-data; name="p%d"\r\n\r\n\r\n'
    bodies = {
        "many parts": (b"".join(part % i for i in range(99_000)) + b"--x--", "x"),
        "nested parts": (b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" * 50_000, "x"),
        "headers in a part": (b"--x\r\n" + b"a: b\r\n" * MIB + b"\r\n--x--", "x"),
        "a long header in a part": (b"--x\r\na: " + b"b" * 9 * MIB + b"\r\n\r\n--x--", "x"),
        "a long boundary": (b"--" + b"y" * 6000 + b"\r\n\r\n", "y" * 6000),
        "near boundaries": (b"--x\r\n\r\n" + b"\r\n--y" * MIB + b"\r\n--x--", "x"),
    }
    for name, (body, boundary) in bodies.items():
        yield Trick(f"forms: {name}", request(route, body, FORM + boundary))


def slow() -> Iterator[Trick]:
    chat = posted(CHAT, messages=HI, max_tokens=1)
    many = posted("/v1/embeddings", input=["a b c"] * 2000)
    yield Trick("slow headers", chat[:60], 20, pause_s=0.2, hold_s=HOLD_S)
    yield Trick("slow bodies", chat[:-1], 20, pause_s=0.02, hold_s=HOLD_S)
    yield Trick("slow readers", many, 20, reads=False, hold_s=2 * HOLD_S)


def packed() -> Iterator[Trick]:
    zeros = gzip.compress(b'{"input": "' + b"a" * 50 * MIB + b'"}')
    text = b"k\0\0" + zlib.compress(b"\0" * MIB, 9)
    encoded = request("/v1/embeddings", zeros, JSON, "POST", "Content-Encoding: gzip")
    yield Trick("packed: a gzip body of 50 MiB", encoded)
    yield Trick("packed: PNG of 1 x 50,000,000", image(png(1, 50_000_000)))
    yield Trick("packed: PNG of 7,000 x 7,000", image(png(7000, 7000)), 4)
    yield Trick("packed: PNG with 62 MiB of text", image(png(1, 1, *[text] * 62)), 20)
    yield Trick("packed: GIF of 100,000 frames", image(gif(100_000)))
    route = f"{NATIVE}/audio/transcribe"
    lies = b64encode(wav(2**32 - 1, b"\0" * 100)).decode()
    long = b64encode(wav(7 * MIB, b"\0" * 7 * MIB)).decode()
    yield Trick("packed: WAV that claims 4 GiB", posted(route, audio=lies))
    yield Trick("packed: 7 MiB of WAV", posted(route, audio=long), hold_s=20)


def texts() -> Iterator[Trick]:
    embed = f"{NATIVE}/embeddings"
    for name, text in {
        "marks": "a" + "\u0301" * 50_000,
        "one word": "a" * 100_000,
        "right to left": "\u202e" * 30_000,
        "joined emoji": "\U0001f469\u200d" * 12_000,
        "nothing visible": "\u200b" * 30_000,
        "NUL": "\0" * 100_000,
    }.items():
        yield Trick(f"text: {name}", posted(embed, texts=[text], truncate=True))
    raw = b'{"messages": [{"role": "user", "content": "%s"}], "max_tokens": 1}'
    yield Trick("text: invalid UTF-8", request(CHAT, raw % (b"\xff\xc3" * 1000)))
    yield Trick("text: half a surrogate", request(CHAT, raw % (rb"\ud800" * 1000)))
    yield Trick("JSON: 100,000 levels", request(CHAT, b'{"a":' * 100_000))
    yield Trick("JSON: 9 MiB of lists", request(CHAT, b"[" + b"[]," * 3 * MIB + b"[]]"))
    yield Trick("JSON: a number of 9 MiB", request(CHAT, b'{"seed": ' + b"9" * 9 * MIB + b"}"))
    yield Trick("JSON: 1e400", request(CHAT, raw[:-1] % b"Hi" + b', "temperature": 1e400}'))


def schemas() -> Iterator[Trick]:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        deep = {"type": "object", "properties": {"a": deep, "b": deep}, "required": ["a"]}
    twice: dict[str, Any] = {
        f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(30)
    }
    found = {
        "repeats": {"type": "string", "pattern": "^(((a{1,99}){1,99}){1,99}){1,99}$"},
        "backtracking": {"type": "string", "pattern": "^(a+)+(b*)*(a|aa)+$"},
        "50,000 choices": {"enum": [f"{i:06}" for i in range(50_000)]},
        "itself": {"$ref": "#"},
        "4,096 objects": deep,
        "doublings": {"$ref": "#/$defs/d0", "$defs": {**twice, "d30": {"type": "string"}}},
        "a long bound": {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
    }
    for name, schema in found.items():
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        body = posted(CHAT, messages=HI, max_tokens=1, response_format=form)
        yield Trick(f"grammar: {name}", body, 2)


def paths() -> Iterator[Trick]:
    for path in (
        b"/%2e%2e/%2e%2e/etc/passwd",
        b"/../../etc/passwd",
        b"/docs/assets/%2e%2e%2f%2e%2e%2fpages.py",
        b"/docs/assets/..%252f..%252fpages.py",
        b"//etc/passwd",
        b"/models/..%2f..%2fetc%2fpasswd/health",
        b"/v1/models/%00",
        b"/v1/models/%ff%fe",
        b"/v1/models/\xff\xfe",
        b"/v1/models/" + b"a" * 12_000,
        b"/v1/models/" + b"a" * 40_000,
        b"/v1/models/" + b"/" * 8000,
        NATIVE.encode() + b"/conversations/%2e%2e",
        NATIVE.encode() + b"/conversations/a%0d%0aX-Evil:%201",
        b"/v1/models?" + b"a=1&" * 3000,
    ):
        yield Trick(f"path: {path[-30:]!r}", request(path, method="GET"))


def framing() -> Iterator[Trick]:
    """What one parser reads otherwise than another."""
    post = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\n"
    chunked = "Transfer-Encoding: chunked\r\n"
    smuggled = "GET /v1/models/smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    size = len(smuggled)
    for name, rest in {
        "length and chunks": f"Content-Length: 4\r\n{chunked}\r\n0\r\n\r\n{smuggled}",
        "two lengths": f"Content-Length: 0\r\nContent-Length: {size}\r\n\r\n{smuggled}",
        "a length with a sign": "Content-Length: +2\r\n\r\n{}",
        "a negative length": "Content-Length: -1\r\n\r\n{}",
        "a huge length": "Content-Length: 99999999999999999999\r\n\r\n{}",
        "a space before the colon": f"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}",
        "two codings": f"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}",
        "a tab before chunked": f"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n{smuggled}",
        "a chunk of 2^64": f"{chunked}\r\nFFFFFFFFFFFFFFFF\r\n{{}}",
        "a folded header": "A: b\r\n c: d\r\nContent-Length: 2\r\n\r\n{}",
        "NUL in a header": "A: b\0c\r\nContent-Length: 2\r\n\r\n{}",
        "a header of 60 KB": "A: " + "b" * 60_000 + "\r\nContent-Length: 2\r\n\r\n{}",
        "500 headers": "A: b\r\n" * 500 + "Content-Length: 2\r\n\r\n{}",
        "an upgrade": "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
        "an expectation": "Expect: a-cake\r\nContent-Length: 2\r\n\r\n{}",
    }.items():
        yield Trick(f"framing: {name}", (post + rest).encode("latin-1"), hold_s=20)
    ask = b"GET /health/liveness HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    yield Trick("framing: 200 requests at once", ask * 200)


def much() -> Iterator[Trick]:
    """As much as is taken, by twenty clients, who leave after a while."""
    prose = "Well, he said, no: yes. " * 20
    few = ["a b c"] * 2000
    many = [f"a {i}" for i in range(2000)]
    bodies = {
        "2,000 texts": posted("/v1/embeddings", input=few),
        "2,000 texts as base64": posted("/v1/embeddings", input=few, encoding_format="base64"),
        "2,000 long texts": posted(f"{NATIVE}/rerank", query="a", documents=[prose] * 2000),
        "9 MB of texts": posted(f"{NATIVE}/rerank", query="a", documents=[prose * 9] * 2000),
        "2,000 clusters": posted(f"{NATIVE}/cluster", texts=many, n_clusters=2000),
        "n x max_tokens": posted(CHAT, messages=HI, n=16, max_tokens=8000, seed=1),
        "summaries": posted(f"{NATIVE}/summarize", texts=[prose] * 200, max_length=400),
        "summaries too long": posted(f"{NATIVE}/summarize", texts=["Rome is big. " * 6000] * 100),
        "health": request("/health", method="GET"),
        "loaded models": request(f"{NATIVE}/models/loaded", method="GET"),
        "metrics": request("/metrics", method="GET"),
    }
    for name, sent in bodies.items():
        yield Trick(f"much: {name}", sent, hold_s=15)
        yield Trick(f"much: {name}, 20 clients", sent, 20, hold_s=15)
