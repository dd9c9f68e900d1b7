"""The peer built as in Ray's documentation: `@serve.batch` around a transformers pipeline.

    python -m bench.peers.plain_app embeddings|chat FOLDER PORT

It follows "Dynamic Request Batching" and the text generation tutorial of Ray Serve's documentation,
with batches of 32. A replica takes 64 requests at a time; with Serve's default of 5 batches would
stay small. Answers have OpenAI's shapes, so that the same client measures it.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

BATCH = 32
Answer = dict[str, Any]


class Vectors:
    """Vectors of sentence-transformers, since transformers has no pipeline that pools."""

    def __init__(self, folder: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(folder, device="cpu")

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.01)
    async def embed(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.model.encode(texts, batch_size=BATCH).tolist()
        return vectors

    async def __call__(self, request: Request) -> Answer:
        texts = (await request.json())["input"]
        return {"data": [{"embedding": await self.embed(text)} for text in texts]}


class Chat:
    """A text-generation pipeline."""

    def __init__(self, folder: str) -> None:
        import torch
        from transformers import AutoTokenizer, pipeline

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model: Any = pipeline(
            "text-generation",
            folder,
            tokenizer=self.tokenizer,
            device="cpu",
            dtype=torch.float32,
        )

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.01)
    async def write(self, asked: list[Answer]) -> list[tuple[str, int, int]]:
        results = self.model(
            [each["messages"] for each in asked],
            batch_size=len(asked),
            max_new_tokens=max(each["max_tokens"] for each in asked),
            do_sample=False,
            return_full_text=False,
        )
        texts = [result[0]["generated_text"] for result in results]
        read = [self.tokenizer.apply_chat_template(each["messages"])["input_ids"] for each in asked]
        written = self.tokenizer(texts)["input_ids"]
        return [(text, len(a), len(b)) for text, a, b in zip(texts, read, written, strict=True)]

    async def __call__(self, request: Request) -> Answer:
        text, read, written = await self.write(await request.json())
        usage = {"prompt_tokens": read, "completion_tokens": written}
        return {"choices": [{"message": {"content": text}}], "usage": usage}


def main(what: str, folder: str, port: int) -> None:
    """Serve until SIGTERM."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployment: Any = serve.deployment(max_ongoing_requests=2 * BATCH)(
        Vectors if what == "embeddings" else Chat
    )
    serve.run(deployment.bind(folder), route_prefix="/v1")
    over.wait()
    serve.shutdown()  # type: ignore[no-untyped-call]
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
