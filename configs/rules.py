"""Rules that a profile must keep and that no single field can state."""

from __future__ import annotations

from collections.abc import Iterator

from configs.databases import is_sqlite
from configs.engines import WRITING
from configs.profile import Family, ModelSpec, Options, Profile
from configs.settings import Settings

CUDA_CONTEXT_GB = 0.5
"""What one process takes on a GPU before its first tensor (kernels and the context itself)."""

DEFAULTS = {
    "default_text_model": "generate",
    "default_generation_model": "generate",
    "default_embedding_model": "embed",
    "default_classification_model": "sentiment",
}
"""The task that each setting's model has to do."""

CONVERSATIONS = "serve_app.routes.conversations:router"
"""The router whose routes keep something: the history of conversations."""

GENERATORS_ONLY = ("slots", "kv_cache_gb", "window", "prefill_tokens")
"""Bounds of models with a task of writing; the others would take no notice of them."""

WITHOUT_LIMITS = frozenset({"deployments.generation:Generation"})
"""The deployments of families that form no batches: there is nothing to change while they run."""


def broken_rules(profile: Profile, settings: Settings) -> list[str]:
    """Every rule that ``profile`` breaks, each as ``key: what was expected``."""
    problems = [*_names(profile), *_defaults(profile, settings)]
    if "hf_token" in profile.settings:
        problems.append("settings.hf_token: expected in the environment, not in a file")
    problems += _conversations(profile, settings)
    problems += _consistent("ingress", profile.ingress)
    problems += [*_consistent("ledger", profile.ledger), *_single(profile.ledger)]
    problems += _without_limits(profile)
    for family in profile.families:
        key = f"families.{family.name}"
        problems += _consistent(f"{key}.options", family.options)
        problems += _models(key, family, profile)
        problems += _fits(key, family, profile)
    return problems


def _names(profile: Profile) -> Iterator[str]:
    seen: set[str] = set()
    for model in profile.models:
        for name in (model.name, *model.aliases):
            if name in seen:
                yield f"models.{name}: expected every name and alias once"
            seen.add(name)
    families = [family.name for family in profile.families]
    for name in sorted({name for name in families if families.count(name) > 1}):
        yield f"families.{name}: expected every family once"


def _defaults(profile: Profile, settings: Settings) -> Iterator[str]:
    for key, task in DEFAULTS.items():
        wanted = getattr(settings, key)
        able = [model for model in profile.models if task in model.tasks]
        names = {name for model in able for name in (model.name, *model.aliases)}
        if wanted is not None and wanted not in names:
            known = ", ".join(sorted(names)) or "none"
            yield f"settings.{key}: expected a model that can {task} ({known})"


def _conversations(profile: Profile, settings: Settings) -> Iterator[str]:
    served = any(CONVERSATIONS in family.routers for family in profile.families)
    if served and profile.nodes == "many" and is_sqlite(settings.conversations_database):
        yield (
            "settings.conversations_url: expected a PostgreSQL database, since replicas of the "
            "ingress on several nodes (nodes: many) share no SQLite file"
        )
    in_file = str(profile.settings.get("conversations_url", ""))
    user, _, password = in_file.partition("://")[2].rpartition("@")[0].partition(":")
    if user and password:
        yield "settings.conversations_url: expected its password in the environment, not in a file"


def _consistent(key: str, options: Options) -> Iterator[str]:
    scaling = options.autoscaling_config
    if scaling.min_replicas > scaling.max_replicas:
        yield f"{key}.autoscaling_config.min_replicas: expected at most max_replicas"
    first = scaling.initial_replicas
    if first is not None and not scaling.min_replicas <= first <= scaling.max_replicas:
        yield f"{key}.autoscaling_config.initial_replicas: expected between min and max_replicas"
    if scaling.target_ongoing_requests >= options.max_ongoing_requests:
        yield (
            f"{key}.autoscaling_config.target_ongoing_requests: expected less than "
            f"max_ongoing_requests ({options.max_ongoing_requests}), or it never scales"
        )
    live = options.user_config
    if live and options.max_ongoing_requests < live.max_batch_size:
        yield (
            f"{key}.max_ongoing_requests: expected at least user_config.max_batch_size "
            f"({live.max_batch_size}), or a batch never fills"
        )
    if options.health_check_timeout_s < options.health_check_period_s:
        yield f"{key}.health_check_timeout_s: expected at least health_check_period_s"
    gpus = options.ray_actor_options.num_gpus
    if gpus > 1 and gpus != int(gpus):
        yield f"{key}.ray_actor_options.num_gpus: expected a fraction up to 1 or a whole number"


def _single(ledger: Options) -> Iterator[str]:
    """Two ledgers would each know a part."""
    scaling = ledger.autoscaling_config
    for key, count in (
        ("min_replicas", scaling.min_replicas),
        ("max_replicas", scaling.max_replicas),
    ):
        if count != 1:
            yield f"ledger.autoscaling_config.{key}: expected 1"


def _without_limits(profile: Profile) -> Iterator[str]:
    """Serve would not start what has no method for it, and Generation would only log it."""
    fixed = {"ingress": profile.ingress, "ledger": profile.ledger}
    fixed |= {
        f"families.{family.name}.options": family.options
        for family in profile.families
        if family.deployment in WITHOUT_LIMITS
    }
    for key, options in fixed.items():
        if options.user_config is not None:
            yield f"{key}.user_config: expected none, since no batches are formed here"


def _models(key: str, family: Family, profile: Profile) -> Iterator[str]:
    for model in family.models:
        where = f"{key}.models.{model.name}"
        if model.trust_remote_code and model.name not in profile.trusted_models:
            yield f"{where}.trust_remote_code: expected the name in trusted_models as well"
        if model.engine == "openvino" and model.quantization != "none":
            yield f"{where}.quantization: expected none (the openvino engine takes weights as is)"
        yield from (f"{where}.{problem}" for problem in _exported(model))
        if model.forwards > 1 and (model.head is None or "openvino" not in model.engines):
            yield f"{where}.forwards: expected 1 (only encoders on openvino run several at a time)"
        yield from (f"{where}.{problem}" for problem in _of_generators(model))
        if model.template_file is not None and not model.template_file.is_file():
            yield f"{where}.chat_template: expected a file that is there"
        if model.tool_calls and "chat" not in model.tasks:
            yield f"{where}.tool_calls: expected the task chat as well"
    if not any(model.pinned for model in family.models):
        yield f"{key}.models: expected at least one pinned model"


def _of_generators(model: ModelSpec) -> Iterator[str]:
    """What only text generators have."""
    if WRITING.isdisjoint(model.tasks):
        given = (name for name in GENERATORS_ONLY if name in model.model_fields_set)
        yield from (f"{name}: expected none (only text generators have it)" for name in given)


def _exported(model: ModelSpec) -> Iterator[str]:
    """What does not go with a profile that insists on OpenVINO."""
    if model.engine != "openvino" or not WRITING.isdisjoint(model.tasks):
        return
    if model.head is None:
        yield f"engine: expected auto or torch (no openvino engine does {', '.join(model.tasks)})"
    if model.trust_remote_code:
        yield "engine: expected auto or torch (openvino converts no model with code of its own)"
    if model.dtype not in ("auto", "float32"):
        yield "dtype: expected auto or float32 (the openvino engine takes what the processor has)"


def _fits(key: str, family: Family, profile: Profile) -> Iterator[str]:
    """Whatever shares a GPU fits its memory, because each replica fits its own fraction of it."""
    gpus = family.options.ray_actor_options.num_gpus
    if gpus == 0:
        return
    if profile.gpu_memory_gb is None:
        yield "gpu_memory_gb: expected the memory of one GPU, since families ask for GPUs"
        return
    yield from (
        f"{key}.models.{model.name}.memory_gb: expected, since the family asks for GPUs"
        for model in family.models
        if model.pinned and model.memory_gb is None
    )
    needed = CUDA_CONTEXT_GB + sum(_memory(model) for model in family.models if model.pinned)
    share = gpus * profile.gpu_memory_gb
    if needed > share:
        yield (
            f"{key}.options.ray_actor_options.num_gpus: expected room for {needed:.1f} GB of "
            f"pinned models, but {gpus:g} of {profile.gpu_memory_gb:g} GB is {share:.1f} GB"
        )


def _memory(model: ModelSpec) -> float:
    return model.memory_gb or 0.0
