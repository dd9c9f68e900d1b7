"""Loads the engines of text generation, as the profile of each model says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from weakref import WeakKeyDictionary

from configs.profile import ModelSpec
from configs.weights import DtypeChoice
from deployments.engine.factory import open_engine
from deployments.engine.interface import Engine, EngineHangs, EngineNotLoaded, EngineStopped
from deployments.engine.prefix_counts import PrefixCounts
from deployments.engine.settings import EngineSettings
from deployments.metrics import signals
from deployments.metrics.binding_limit import BindingLimit, of_slots
from deployments.metrics.report import MetricSample
from deployments.models.config import FamilyConfig
from deployments.models.device import claim_device, computes_in_half, pick_device
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory import GIB, import_libraries
from deployments.models.pretrained import load_options
from deployments.seam.scaling import ModelLoad


class EngineLoader:
    """How the models of text generation are loaded, checked and measured: each is an engine."""

    def __init__(self, config: FamilyConfig) -> None:
        self._config = config
        self._dtype_choices: dict[str, DtypeChoice] = {}
        self._counted: WeakKeyDictionary[Engine, PrefixCounts] = WeakKeyDictionary()

    def fetch(self, spec: ModelSpec) -> Path:
        """Also measures in which dtype to compute, if that is not on record."""
        if spec.engines == ("openvino",):
            self._dtype_choices[spec.name] = self._config.dtype_choice(spec)
        return self._config.folder(spec)

    def prepare(self, spec: ModelSpec) -> None:
        if "torch" in spec.engines:
            import_libraries("torch")
            if pick_device(self._config) != "cpu":
                import_libraries("transformers.modeling_utils", "deployments.engine.torch_engine")
        if spec.reads_images:
            import_libraries("transformers.models.auto.processing_auto")

    def load(self, spec: ModelSpec) -> Engine:
        """Raises ``EngineNotLoaded`` also for a model that cannot do what the profile says."""
        settings = EngineSettings(
            slots=spec.slots or self._config.settings.max_concurrent_requests,
            threads=self._config.threads,
            kv_cache_gb=spec.kv_cache_gb,
            window=spec.window,
            max_batched_tokens=spec.prefill_tokens,
            hang_after_s=self._config.settings.stall_timeout_s,
            load_timeout_s=self._config.settings.load_timeout_s,
            chat_template=spec.template(),
            reads_images=spec.reads_images,
        )
        (kind,) = spec.engines
        if choice := self.dtype_choice(spec):
            settings = replace(settings, dtype=choice.dtype)
        else:
            device = claim_device(self._config)
            options = load_options(self._config, spec, device)
            # A GPU has a context and a share of its memory for each process, so one has to do.
            settings = replace(
                settings, device=device, options=options, own_process=device == "cpu"
            )
        engine = open_engine(kind, self._config.folder(spec), settings)
        if spec.tool_calls and not engine.codec.shows_tools:
            engine.close()
            raise EngineNotLoaded(f"the chat template of {spec.name} shows no tools to the model")
        return engine

    def unload(self, model: Engine) -> None:
        model.close()

    def check(self, model: Engine) -> None:
        """Raises ``EngineHangs`` when a step does not return and cannot be ended."""
        model.check()

    def is_dead(self, model: Engine) -> bool:
        """Whether the engine ended. One that hangs is not dead: it cannot be loaded again."""
        try:
            model.check()
        except EngineHangs:
            return False
        except EngineStopped:
            return True
        return False

    def process_id(self, model: Engine) -> int | None:
        return model.process_id

    def kv_cache_bytes(self, spec: ModelSpec, model: Engine) -> int:
        """What the profile allows, unless the engine knows better; 0 where no state grows."""
        load = model.load()
        if load.kv_usage is None:
            return 0
        least = int(spec.kv_cache_min_gb * GIB)
        return least if load.kv_cache_bytes is None else load.kv_cache_bytes

    def engine_name(self, spec: ModelSpec, model: Engine) -> str:
        return spec.engines[0]

    def dtype_choice(self, spec: ModelSpec) -> DtypeChoice | None:
        return self._dtype_choices.get(spec.name)

    def slots(self, model: Engine) -> int:
        """1 for a model that the torch engine cannot decode with others, whatever the profile."""
        return model.load().slots

    def computes_in_half(self, spec: ModelSpec) -> bool:
        return spec.engines == ("torch",) and computes_in_half(self._config, spec)

    def load_of(self, model: Engine) -> ModelLoad:
        """What its running and waiting sequences take of its slots and of its KV cache."""
        load = model.load()
        kv_cache = load.held_tokens / load.kv_tokens if load.kv_tokens else 0.0
        return ModelLoad((load.running + load.waiting) / load.slots, kv_cache)

    def limit_of(self, model: Engine) -> BindingLimit | None:
        """Slots, KV cache, or the time of a step; ``None`` where it decodes nothing."""
        load = model.load()
        return of_slots(load.running, load.waiting, load.slots, load.starved_by)

    @property
    def target_queue_s(self) -> float:
        """0: sequences wait for a slot, not for a forward."""
        return 0.0

    def gauges(self, loaded: LoadedModel[Engine]) -> Iterator[MetricSample]:
        """Its memory, its slots, the sequences that wait, how full its KV cache is, and what was
        found there since this was read last."""
        name, load = loaded.spec.name, loaded.model.load()
        yield signals.MEMORY.of(name, amount=load.memory_bytes or loaded.measured_bytes())
        yield signals.SLOTS.of(name, amount=load.slots)
        yield signals.SLOTS_IN_USE.of(name, amount=load.running)
        yield signals.WAITING.of(name, amount=load.waiting)
        if load.kv_usage is not None:
            yield signals.KV_USAGE.of(name, amount=load.kv_usage)
        if load.prefixes is not None:
            new = load.prefixes.since(self._counted.get(loaded.model, PrefixCounts()))
            self._counted[loaded.model] = load.prefixes
            yield signals.PREFIX_QUERIES.of(name, amount=new.queries)
            yield signals.PREFIX_HITS.of(name, amount=new.hits)
