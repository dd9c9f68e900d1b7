"""What the code says of a profile: each mistake is one line that names the key and the right word.

Each of these used to be valid, and to end a start of the graph after most of a minute, or to leave
it up without an answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import configs
from configs.errors import ConfigError
from configs.profile import Profile
from configs.profile_file import load_profile
from serve_app.graph import GraphArgs, build
from serve_app.registry import checks
from serve_app.registry.checks import broken_code
from tests.serve_app.registry.made_up_families import HERE

ROOT = Path(configs.__file__).parents[1]
SHIPPED = sorted(file.stem for file in Path(configs.__file__).parent.glob("*.yaml"))

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def profile() -> dict[str, Any]:
    """Every family of the embedded profile, new for each test."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "embedded.yaml").read_text())
    return content


def family(content: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in content["families"] if each["name"] == name)
    return found


def broken(content: dict[str, Any]) -> list[str]:
    return broken_code(Profile.model_validate(content))


def tasks(name: str, *given: str) -> Change:
    return lambda content: family(content, name)["models"][0].update(tasks=list(given))


def deployed(name: str, path: str) -> Change:
    return lambda content: family(content, name).update(deployment=path)


def routed(name: str, *paths: str) -> Change:
    return lambda content: family(content, name).update(routers=list(paths))


def options(name: str, **given: Any) -> Change:
    return lambda content: family(content, name)["options"].update(given)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_profiles_do_what_their_code_does(name: str) -> None:
    assert broken_code(load_profile(name)) == []


@pytest.mark.parametrize(
    ("change", "key", "told"),
    [
        (
            tasks("classification", "text-classification"),
            "classification.models.prsm-serve/sentiment-bge-small-en.tasks",
            "text-classification is Hugging Face's word; in a profile it is sentiment or topic",
        ),
        (
            tasks("classification", "sentiment-analysis"),
            "classification.models.prsm-serve/sentiment-bge-small-en.tasks",
            "in a profile it is sentiment",
        ),
        (
            tasks("classification", "classify"),
            "classification.models.prsm-serve/sentiment-bge-small-en.tasks",
            "classify is a graph step's word; in a profile it is sentiment or zero_shot",
        ),
        (
            tasks("classification", "sentimnt"),
            "classification.models.prsm-serve/sentiment-bge-small-en.tasks",
            "unknown task sentimnt; did you mean sentiment?",
        ),
        (
            tasks("entities", "token-classification"),
            "entities.models.nationaldesignstudio/rampart.tasks",
            "in a profile it is entities",
        ),
        (
            tasks("embeddings", "feature-extraction"),
            "embeddings.models.sentence-transformers/all-MiniLM-L6-v2.tasks",
            "in a profile it is embed",
        ),
        (
            tasks("generation", "text-generation"),
            "generation.models.HuggingFaceTB/SmolLM2-135M-Instruct.tasks",
            "in a profile it is generate",
        ),
        (
            tasks("captioning", "image-to-text"),
            "captioning.models.prsm-serve/shapes-captions.tasks",
            "in a profile it is caption",
        ),
        (
            tasks("reranking", "rerank", "zero-shot-classification"),
            "reranking.models.cross-encoder/ms-marco-MiniLM-L12-v2.tasks",
            "in a profile it is zero_shot",
        ),
        (
            tasks("embeddings", "sentiment"),
            "embeddings.models.sentence-transformers/all-MiniLM-L6-v2.tasks",
            "deployments.embeddings:Embeddings does embed; sentiment is done by "
            "deployments.classification:Classification",
        ),
        (
            tasks("embeddings", "embed", "object-detection"),
            "embeddings.models.sentence-transformers/all-MiniLM-L6-v2.tasks",
            "object-detection is Hugging Face's word for detect",
        ),
        (
            tasks("embeddings", "depth-estimation"),
            "embeddings.models.sentence-transformers/all-MiniLM-L6-v2.tasks",
            "unknown task depth-estimation; deployments.embeddings:Embeddings does embed",
        ),
        (
            tasks("vision", "image_classify", "detect"),
            "vision.models.google/efficientnet-lite0.tasks",
            "expected one of image_classify, detect, since a model here does one task",
        ),
        (
            deployed("entities", "deployments.entitys:Entities"),
            "entities.deployment",
            "there is no module deployments.entitys; did you mean deployments.entities?",
        ),
        (
            deployed("entities", "deployments.entities:Entitis"),
            "entities.deployment",
            "deployments.entities has no Entitis; did you mean Entities?",
        ),
        (
            deployed("entities", "deployments.entities:Window"),
            "entities.deployment",
            "it is not made of a FamilyConfig; did you mean deployments.entities:Entities?",
        ),
        (
            deployed("entities", "deployments.models.pretrained:logger"),
            "entities.deployment",
            "it is a Logger",
        ),
        (
            deployed("entities", "deployments.batching.model_loader:BatchedModelLoader"),
            "entities.deployment",
            "it is abstract and leaves out load",
        ),
        (deployed("entities", f"{HERE}:OfTwo"), "entities.deployment", "not made of a FamilyConf"),
        (deployed("entities", f"{HERE}:Deployed"), "entities.deployment", "without @serve.deploy"),
        (
            routed("entities", "serve_app.ingress.routes.entitys:router"),
            "entities.routers",
            "did you mean serve_app.ingress.routes.entities?",
        ),
        (
            routed("entities", "serve_app.ingress.routes.entities:routr"),
            "entities.routers",
            "serve_app.ingress.routes.entities has no routr; did you mean router?",
        ),
        (
            routed("entities", "serve_app.ingress.routes.entities:ENTITIES"),
            "entities.routers",
            "expected fastapi's APIRouter at serve_app.ingress.routes.entities:ENTITIES, but it is "
            "a str",
        ),
        (routed("entities", f"{HERE}:application"), "entities.routers", "but it is a FastAPI"),
        (
            options("entities", max_replicas_per_node=0),
            "entities.options",
            "Serve does not take them: Invalid max_replicas_per_node 0.",
        ),
    ],
)
def test_each_mistake_is_one_line_with_its_key_and_the_right_word(
    profile: dict[str, Any], change: Change, key: str, told: str
) -> None:
    change(profile)
    (problem,) = broken(profile)
    assert problem.startswith(f"families.{key}: ")
    assert told in problem
    assert "\n" not in problem


def test_live_limits_of_a_class_that_takes_none_are_told(profile: dict[str, Any]) -> None:
    """Serve would stop each of its replicas."""
    deployed("entities", f"{HERE}:Plain")(profile)
    (problem,) = broken(profile)
    assert problem.startswith("families.entities.options.user_config: expected none")


def test_a_class_that_does_not_say_has_the_tasks_of_its_routers(profile: dict[str, Any]) -> None:
    deployed("entities", f"{HERE}:Plain")(profile)
    del family(profile, "entities")["options"]["user_config"]
    assert broken(profile) == []
    tasks("entities", "token-classification")(profile)
    (problem,) = broken(profile)
    assert problem.endswith("is Hugging Face's word; in a profile it is entities")
    routed("entities", f"{HERE}:router")(profile)
    assert broken(profile) == []  # nothing says what it does


def test_a_family_whose_package_is_not_installed_is_told_with_what_to_install(
    profile: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other families are served without it."""
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    (problem,) = broken(profile)
    assert problem == (
        "families.image_generation.deployment: diffusers is not installed: "
        "pip install 'prsm-serve[images]'"
    )
    profile["families"].remove(family(profile, "image_generation"))
    assert broken(profile) == []


def test_all_that_is_wrong_is_told_at_once(profile: dict[str, Any]) -> None:
    tasks("entities", "ner")(profile)
    routed("vision", "serve_app.ingress.routes.visoin:router")(profile)
    deployed("captioning", "deployments.nosuch:Captioning")(profile)
    assert len(broken(profile)) == 3


def test_two_routers_of_one_task_are_told(profile: dict[str, Any]) -> None:
    routed("captioning", "serve_app.ingress.routes.vision:router", f"{HERE}:copied")(profile)
    (problem,) = broken(profile)
    assert problem == "families: two routers bring a task 'entities'"


def test_the_graph_is_not_built_from_a_profile_with_a_mistake(
    profile: dict[str, Any], tmp_path: Path
) -> None:
    tasks("entities", "ner")(profile)
    path = tmp_path / "profile.yaml"
    path.write_text(yaml.safe_dump(profile))
    with pytest.raises(ConfigError, match="in a profile it is entities"):
        build(GraphArgs(profile=str(path)))


def test_a_check_imports_no_torch() -> None:
    program = (
        "import sys; from serve_app.launcher.plan import load_plan; "
        "load_plan('embedded', None); sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == 0
