"""Which requests are for inference, and what for, before a model is found."""

from __future__ import annotations

import re
from typing import NamedTuple

from deployments.metrics.signals import UNKNOWN

NATIVE = "/api/v1/huggingface/"


class Purpose(NamedTuple):
    """``fixed`` is the task of the whole request, whatever models it uses."""

    task: str
    fixed: bool = False


PURPOSES = {
    f"{NATIVE}generate": Purpose("generate"),
    f"{NATIVE}generate/stream": Purpose("generate"),
    f"{NATIVE}query": Purpose("chat"),
    f"{NATIVE}embeddings": Purpose("embed"),
    f"{NATIVE}similarity": Purpose("embed"),
    f"{NATIVE}search": Purpose("embed"),
    f"{NATIVE}cluster": Purpose("embed"),
    f"{NATIVE}rerank": Purpose("rerank"),
    f"{NATIVE}classify": Purpose("sentiment"),
    f"{NATIVE}topics": Purpose("topics"),
    f"{NATIVE}entities": Purpose("entities"),
    f"{NATIVE}summarize": Purpose("summarize"),
    f"{NATIVE}vision/classify": Purpose("image_classify"),
    f"{NATIVE}vision/caption": Purpose("caption"),
    f"{NATIVE}vision/question": Purpose("visual_question"),
    f"{NATIVE}vision/detect": Purpose("detect"),
    f"{NATIVE}graph": Purpose("graph", fixed=True),
    "/v1/chat/completions": Purpose("chat"),
    "/v1/completions": Purpose("generate"),
    "/v1/embeddings": Purpose("embed"),
    "/v1/rerank": Purpose("rerank"),
}
"""The task of a request that fails before its model is found, by path."""

CONVERSATIONS = re.compile(rf"{NATIVE}conversations(/.*)?")
BELOW_A_MODEL = re.compile(r"/models/.+(/v1/.+)")
SURFACES = re.compile(rf"({NATIVE}(?!models/)|/v1/|/models/).+")
"""Where a POST is a request for inference; under the native ``models/`` it loads one."""

FALLBACKS = frozenset({"chat", UNKNOWN, *(purpose.task for purpose in PURPOSES.values())})


def purpose_of(method: str, path: str) -> Purpose | None:
    """What a request is for; ``None`` for all that is not inference."""
    if method != "POST" or not SURFACES.fullmatch(path):
        return None
    if CONVERSATIONS.fullmatch(path):
        return Purpose("chat")
    if below := BELOW_A_MODEL.fullmatch(path):
        path = below[1]
    return PURPOSES.get(path, Purpose(UNKNOWN))
