"""Texts of benchmark requests, reproducible by seed; texts of a file may repeat."""

import math
from collections.abc import Callable
from pathlib import Path
from random import Random

SHORT_WORDS = 8
MIXED_WORDS = (4, 160)
MAX_FILE_BYTES = 16 * 2**20

TextSource = Callable[[], str]
"""Returns the next text."""


class BadTextsError(Exception):
    """The file of texts cannot be used; the message says why."""


def texts_of(name: str, seed: int) -> TextSource:
    """A source of texts: ``short``, ``mixed`` or those of a file, by its path.

    Short texts have 8 words. Mixed ones have 4 to 160, uniform on a logarithmic scale (mean 42):
    many short and some long ones, as queries and passages are. Raises ``BadTextsError`` for a file
    that cannot be read, is larger than 16 MiB, or has no text.
    """
    random = Random(seed)
    if name == "short":
        return lambda: _words(random, SHORT_WORDS)
    if name == "mixed":
        return lambda: _words(random, _mixed_length(random))
    return _from_file(Path(name), random)


def _mixed_length(random: Random) -> int:
    low, high = (math.log(words) for words in MIXED_WORDS)
    return round(math.exp(random.uniform(low, high)))


def _words(random: Random, count: int) -> str:
    return " ".join(random.choices(WORDS, k=count))


def _from_file(path: Path, random: Random) -> TextSource:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadTextsError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadTextsError(f"{path}: {error}") from None
    texts = [line for line in lines if line]
    if not texts:
        raise BadTextsError(f"{path}: no text in it")
    return lambda: random.choice(texts)


# Common words, nearly all of them one token to the tokenizers of the models in use.
_COMMON = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line "
    "end member law car city community name president team minute idea kid body information back "
    "parent face others level office door health person art war history party result change "
    "morning reason research girl guy moment air teacher force education foot boy age policy "
    "music market sense nation plan college interest death experience effect use class control "
    "field development role effort rate heart drug show leader light voice wife police mind price "
    "report decision son view relationship town road arm difference value building action season "
    "society tax director position player record paper space ground form event official matter "
    "center couple site project activity star table need court oil situation cost industry figure "
    "street image phone data picture practice piece land product doctor wall patient worker news "
    "test movie north love step support letter option trip garden river mountain bridge train "
    "ship bread coffee winter summer spring island forest window kitchen market village engine"
)
WORDS = tuple(_COMMON.split())
