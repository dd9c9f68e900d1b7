"""Import paths of profiles: what they lead to, or one line that says why they lead nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.import_paths import ImportPathError, imported
from serve_app.ingress.app import create_app

BROKEN = {
    "raises": ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
    "needs": ("import no_such_package", "needs no_such_package, which is not installed"),
    "says_much": (
        "raise RuntimeError('one\\ntwo' * 1000)",
        "cannot be imported: RuntimeError: one two",
    ),
    "is_none": ("def (", "cannot be imported: SyntaxError:"),
}


def test_a_path_leads_to_the_object_it_names() -> None:
    assert imported("serve_app.ingress.app:create_app") is create_app


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "deployment.generation:Generation",
            "there is no module deployment; did you mean deployments?",
        ),
        (
            "deployments.generatoin:Generation",
            "there is no module deployments.generatoin; did you mean deployments.generation?",
        ),
        ("deployments.xyzzy:Generation", "there is no module deployments.xyzzy"),
        (
            "deployments.generation.nosuch:A",
            "there is no module deployments.generation.nosuch, since deployments.generation is "
            "no package",
        ),
        (
            "deployments.generation:Generatoin",
            "deployments.generation has no Generatoin; did you mean Generation?",
        ),
        (
            "serve_app.ingress.routes.entities:routr",
            "routes.entities has no routr; did you mean router?",
        ),
        ("serve_app.ingress.routes.entities:zzz", "serve_app.ingress.routes.entities has no zzz"),
        (".:a", "cannot be imported"),
    ],
)
def test_a_wrong_path_is_told_where_it_ends_with_a_suggestion(path: str, told: str) -> None:
    message = refusal(path)
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize("name", BROKEN)
def test_a_module_that_breaks_is_one_short_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    content, told = BROKEN[name]
    (tmp_path / f"broken_{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    message = refusal(f"broken_{name}:Family")
    assert message.startswith(f"broken_{name} {told}")
    assert "\n" not in message
    assert len(message) < 400


def refusal(path: str) -> str:
    with pytest.raises(ImportPathError) as caught:
        imported(path)
    return str(caught.value)
