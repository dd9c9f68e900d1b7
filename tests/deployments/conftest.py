"""What tests of the families share: a clean environment, tiny models, and a tokenizer of bytes."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from deployments.engine.codec import TextCodec
from deployments.engine.model_folder import ModelFolder
from tests.deployments import tiny

if TYPE_CHECKING:
    from deployments.models.config import FamilyConfig

# The text generators' tests run where there are only torch and transformers: fixtures import what
# they need beyond that.
Configured: TypeAlias = "Callable[..., FamilyConfig]"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PRSM_HF_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module", autouse=True)
def _garbage_of_one_module() -> Iterator[None]:
    """Cycles are looked for among what a module's tests make, not in all that was ever imported.

    Giving memory back collects garbage for good, frozen or not. In this process, which has imported
    everything, that takes a third of a second each time.
    """
    gc.collect()
    gc.freeze()
    own = SimpleNamespace(collect=gc.collect, get_freeze_count=lambda: 0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("deployments.models.memory.gc", own)
        yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what is made of weights stays: each tiny model is exported once, not once a test."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def configured(cache_dir: Path) -> Configured:
    """A family of one model on the CPU: ``configured(folder, {settings}, model=fields)``."""
    from configs.profile import ModelSpec
    from configs.settings import Settings
    from configs.weights import FolderSource
    from deployments.models.config import FamilyConfig

    def configure(
        folder: Path, settings: dict[str, Any] | None = None, **fields: Any
    ) -> FamilyConfig:
        given: dict[str, Any] = {"device": "cpu", "threads": 1, "hf_cache_dir": cache_dir}
        source = FolderSource(folder=folder)
        usual = {"tasks": ("any",), "pinned": True, "dtype": "float32"}
        spec = ModelSpec(name="tiny", source=source, **(usual | fields))
        return FamilyConfig("family", (spec,), Settings(**(given | (settings or {}))))

    return configure


@pytest.fixture
def in_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """``@serve.batch`` asks the replica around it how many requests it lets in."""
    options = SimpleNamespace(max_ongoing_requests=2**20)
    context = SimpleNamespace(_deployment_config=options)
    monkeypatch.setattr("ray.serve.get_replica_context", lambda: context)


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.encoder(tmp_path_factory.mktemp("tiny") / "encoder")


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.classifier(tmp_path_factory.mktemp("tiny") / "classifier")


@pytest.fixture(params=["int8", "nf4"])
def quantization(request: pytest.FixtureRequest) -> str:
    """Each quantisation in turn, where bitsandbytes can be imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, which it uses
        pytest.importorskip("bitsandbytes", exc_type=ImportError)
    return str(request.param)


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    """One token a byte, so that every character beyond ASCII is split; 256 ends a sequence."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(characters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    return tokenizer


@pytest.fixture(scope="session")
def byte_codec(byte_tokenizer: Tokenizer) -> TextCodec:
    folder = ModelFolder(
        Path("nowhere"), {"vocab_size": 257}, {"eos_token_id": 256}, {"eos_token": "<end>"}
    )
    return TextCodec(byte_tokenizer, folder)
