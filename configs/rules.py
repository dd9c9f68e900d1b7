"""The rules of a profile that concern more than one field."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import Environment, TemplateSyntaxError

from configs.allow_rules import allow_problems
from configs.databases import is_sqlite
from configs.gpu_count import too_many
from configs.gpu_memory import too_large
from configs.model_rules import broken_model
from configs.options import Autoscaling, DeploymentOptions
from configs.profile import FamilySpec, ModelSpec, Profile
from configs.routers import router_problems
from configs.scaling import policy_problems
from configs.settings import Settings
from configs.suggestions import closest, hint
from configs.weights import FolderSource, HubSource, WeightsError, find_cached

RESERVED = ("Ingress", "Ledger")
"""The names of the deployments that every graph has."""

MUTABLE_REVISIONS = frozenset({"main", "master", "head", "latest"})
"""Names of revisions that do not always mean the same commit."""

GENERATION_TAG = re.compile(r"{%[-+]?\s*(end)?generation\s*[-+]?%}")
"""The ``generation`` tag of transformers' chat templates, which Jinja itself does not have."""

DEFAULT_MODELS = {
    "default_text_model": "generate",
    "default_generation_model": "generate",
    "default_embedding_model": "embed",
    "default_classification_model": "sentiment",
}
"""The task that the model of each setting must have."""

CONVERSATIONS = "serve_app.ingress.routes.conversations:router"
"""The router of conversations, which needs a database."""

WITHOUT_LIMITS = frozenset({"deployments.generation:Generation"})
"""The deployments of families that form no batches, and so have no ``user_config``."""


def broken_rules(profile: Profile, settings: Settings) -> list[str]:
    """A message for each rule that ``profile`` breaks, as ``key: what was expected``."""
    problems = [*_names(profile), *_defaults(profile, settings)]
    if "hf_token" in profile.settings:
        problems.append("settings.hf_token: expected in the environment, not in a file")
    problems += _databases(profile, settings)
    problems += _consistent("ingress", profile.ingress)
    problems += [*_consistent("ledger", profile.ledger), *_single(profile.ledger)]
    problems += allow_problems(profile, settings)
    problems += [*_without_limits(profile), *_on_no_gpu(profile), *_trusted(profile)]
    problems += too_many(profile)
    for family in profile.families:
        key = f"families.{family.name}"
        problems += _consistent(f"{key}.options", family.options)
        problems += router_problems(f"{key}.options", family.options)
        problems += policy_problems(f"{key}.options", family.options)
        problems += _models(key, family, profile)
        problems += _sources(key, family, profile, settings)
        problems += too_large(key, family, profile, settings)
    return list(dict.fromkeys(problems))


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
    taken = dict.fromkeys(RESERVED, "the graph's own")
    for family in {family.name: family for family in profile.families}.values():
        name = family.deployment_name
        if name in taken:
            yield (
                f"families.{family.name}.name: expected another one, since its deployment would be "
                f"called {name} as {taken[name]}"
            )
        taken[name] = f"that of {family.name}"


def _defaults(profile: Profile, settings: Settings) -> Iterator[str]:
    for key, task in DEFAULT_MODELS.items():
        wanted = getattr(settings, key)
        able = [model for model in profile.models if task in model.tasks]
        names = {name for model in able for name in (model.name, *model.aliases)}
        if wanted is not None and wanted not in names:
            known = ", ".join(sorted(names)) or "none"
            meant = closest(wanted, names)
            yield (
                f"settings.{key}: expected a model with the task {task} ({known}), got {wanted!r}"
                + (f"; did you mean {meant}?" if meant else "")
            )


def _databases(profile: Profile, settings: Settings) -> Iterator[str]:
    served = any(CONVERSATIONS in family.routers for family in profile.families)
    used = {"conversations_url": settings.conversations_database if served else None}
    used["keys_url"] = settings.keys_database
    for key, url in used.items():
        if profile.nodes == "many" and url is not None and is_sqlite(url):
            yield (
                f"settings.{key}: expected a PostgreSQL database, since replicas of the "
                "ingress on several nodes (nodes: many) share no SQLite file"
            )
        in_file = str(profile.settings.get(key, ""))
        user, _, password = in_file.partition("://")[2].rpartition("@")[0].partition(":")
        if user and password:
            yield f"settings.{key}: expected its password in the environment, not in a file"


def _consistent(key: str, options: DeploymentOptions) -> Iterator[str]:
    if (scaling := options.scaling) is not None:
        yield from _scales(f"{key}.autoscaling_config", scaling, options.max_ongoing_requests)
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


def _scales(key: str, scaling: Autoscaling, max_ongoing_requests: int) -> Iterator[str]:
    if scaling.min_replicas > scaling.max_replicas:
        yield f"{key}.min_replicas: expected at most max_replicas"
    first = scaling.initial_replicas
    if first is not None and not scaling.min_replicas <= first <= scaling.max_replicas:
        yield f"{key}.initial_replicas: expected between min and max_replicas"
    if scaling.target_ongoing_requests >= max_ongoing_requests:
        yield (
            f"{key}.target_ongoing_requests: expected less than "
            f"max_ongoing_requests ({max_ongoing_requests}), or it never scales"
        )


def _single(ledger: DeploymentOptions) -> Iterator[str]:
    """There must be exactly one ledger, since several would each have a part of the metrics."""
    if ledger.num_replicas not in (None, 1):
        yield "ledger.num_replicas: expected 1"
        return
    if (scaling := ledger.scaling) is None:
        return
    for key, count in (
        ("min_replicas", scaling.min_replicas),
        ("max_replicas", scaling.max_replicas),
    ):
        if count != 1:
            yield f"ledger.autoscaling_config.{key}: expected 1"


def _without_limits(profile: Profile) -> Iterator[str]:
    """Deployments that form no batches must not have a ``user_config``.

    Serve does not start a deployment that has no method for it; Generation would only log it.
    """
    fixed = {"ingress": profile.ingress, "ledger": profile.ledger}
    fixed |= {
        f"families.{family.name}.options": family.options
        for family in profile.families
        if family.deployment in WITHOUT_LIMITS
    }
    for key, options in fixed.items():
        if options.user_config is not None:
            yield f"{key}.user_config: expected none, since no batches are formed here"


def _on_no_gpu(profile: Profile) -> Iterator[str]:
    """Ingress and ledger must not reserve a GPU."""
    for key, options in (("ingress", profile.ingress), ("ledger", profile.ledger)):
        if options.ray_actor_options.num_gpus:
            yield f"{key}.ray_actor_options.num_gpus: expected 0, since it has no models"


def _trusted(profile: Profile) -> Iterator[str]:
    names = {model.name for model in profile.models}
    for name in profile.trusted_models:
        if name not in names:
            message = f"trusted_models: expected names of models, got {name}; {hint(name, names)}"
            yield message.removesuffix("; ")


def _models(key: str, family: FamilySpec, profile: Profile) -> Iterator[str]:
    for model in family.models:
        where = f"{key}.models.{model.name}"
        if model.trust_remote_code and model.name not in profile.trusted_models:
            yield f"{where}.trust_remote_code: expected the name in trusted_models as well"
        yield from (f"{where}.{problem}" for problem in broken_model(model, profile.nodes))
        if problem := _template(model, elsewhere=profile.nodes == "many"):
            yield f"{where}.chat_template: {problem}"
    if not (profile.allow or _may_sleep(family) or any(model.pinned for model in family.models)):
        yield f"{key}.models: expected at least one pinned model"


def _may_sleep(family: FamilySpec) -> bool:
    """Whether a family has no models of its own, and no replica unless it is called."""
    scaling = family.options.scaling
    return not family.models and scaling is not None and scaling.min_replicas == 0


def _template(model: ModelSpec, *, elsewhere: bool) -> str | None:
    """The problem of a chat template, if any. Its file may be missing if it is ``elsewhere``."""
    file = model.template_file
    if file is not None and not file.is_file():
        expected = "expected a file that is there, relative to the profile's folder"
        return None if elsewhere else f"{expected} (got {file})"
    try:
        text = GENERATION_TAG.sub("", model.template() or "")
        # It is parsed only, and makes no HTML.
        Environment(extensions=["jinja2.ext.loopcontrols"]).parse(text)  # noqa: S701
    except (OSError, UnicodeDecodeError) as error:
        return f"expected a text file that can be read ({error})"
    except TemplateSyntaxError as error:
        return f"expected a Jinja template, but line {error.lineno}: {error.message}"
    return None


def _sources(key: str, family: FamilySpec, profile: Profile, settings: Settings) -> Iterator[str]:
    """Problems of the sources of weights, as far as this machine can tell.

    With several nodes a folder is not checked, since it need not be on this machine.
    """
    for model in family.models:
        where, source = f"{key}.models.{model.name}.source", model.source
        if isinstance(source, HubSource) and profile.nodes == "many":
            yield from _pinned(where, source)
        if isinstance(source, FolderSource) and profile.nodes == "many":
            continue
        try:
            find_cached(source, settings.hf_cache_dir)
        except WeightsError as error:
            yield f"{where}: {error}"


def _pinned(where: str, source: HubSource) -> Iterator[str]:
    """With several nodes a revision must be a commit, or nodes might fetch different weights."""
    if source.revision is None:
        yield (
            f"{where}.revision: expected a commit, since each node would pin the one that it "
            "finds first (nodes: many)"
        )
    elif source.revision.lower() in MUTABLE_REVISIONS or source.revision.startswith("refs/"):
        yield (
            f"{where}.revision: expected a commit, since {source.revision} may be another one "
            "for each node (nodes: many)"
        )
