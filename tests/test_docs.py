"""README and docs: their tables are complete, and every link, path and command in them exists."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Route

from configs.profile_file import load_profile
from configs.settings import unknown_variables
from deployments.metrics import signals
from deployments.metrics.other_names import GEN_AI, VLLM
from serve_app.cli import main
from serve_app.ingress.app import create_app, routers_of
from serve_app.registry.task_names import all_tasks, table
from tests.serve_app import house

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted((ROOT / "bench").glob("*.md"))]
ROW = re.compile(
    r"^\| (?P<methods>[A-Z, ]+) \| `(?P<path>/[^`]*)` \| (?P<what>.+) \|$", re.MULTILINE
)
OWN = {"/docs", "/docs/assets/{name}", "/playground/{name}", "/redoc", "/openapi.json"}
"""Files of pages, and the routes that document the others."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(
    r"(?<![\w/.-])((?:serve_app|deployments|configs|tests|bench|docs|deploy)/[\w./-]+)"
)
MODULE = re.compile(r"(?<![\w/.])((?:serve_app|deployments|configs|tests|bench)(?:\.\w+)+)(:\w+)?")


EVERY_OTHER_NAME = (*VLLM, *GEN_AI)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_the_readme_can_be_read_in_ten_minutes() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 1500


def documented() -> list[tuple[str, str]]:
    section = (DOCS / "api.md").read_text().partition("## Routes")[2].partition("\n## ")[0]
    return [
        (method.strip(), row["path"])
        for row in ROW.finditer(section)
        for method in row["methods"].split(",")
    ]


@cache
def served(profile: str | Path = "embedded") -> set[tuple[str, str]]:
    """Every method and path of a profile's application."""
    app = create_app(house.services({}), routers_of(load_profile(profile)))
    return {found for route in app.routes for found in _found(route)}


def _found(route: BaseRoute) -> set[tuple[str, str]]:
    if included := getattr(route, "original_router", None):  # FastAPI resolves these lazily
        return {found for each in included.routes for found in _found(each)}
    if not isinstance(route, Route) or route.path in OWN:
        return set()
    path = re.sub(r":\w+}", "}", route.path)  # {model_id:path} is written {model_id}
    return {(method, path) for method in (route.methods or set()) - {"HEAD"}}


def test_the_table_of_routes_has_every_route_and_no_other() -> None:
    assert set(documented()) == served()


def test_the_table_of_routes_has_no_row_twice() -> None:
    rows = documented()
    assert len(rows) == len(set(rows))
    assert len(rows) > 20


def test_the_table_of_tasks_is_the_one_that_the_command_makes() -> None:
    """`prsm-serve tasks --markdown` prints it."""
    begin, end = "<!-- tasks: made by `prsm-serve tasks --markdown` -->\n", "<!-- end of tasks -->"
    there = (DOCS / "tasks.md").read_text().partition(begin)[2].partition(end)[0]
    assert there.strip() == table(all_tasks())


def metric_rows(heading: str) -> list[tuple[str, list[str]]]:
    """Each metric of the tables below a heading, with the words of the second column."""
    section = (
        (DOCS / "metrics.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]*)\|", section, re.MULTILINE)
    return [
        (name.removesuffix("_total"), re.findall(r"\w+", second))
        for first, second in rows
        for name in re.findall(r"`(\w+)`", first)
    ]


def test_the_table_of_metrics_has_every_metric_with_its_labels() -> None:
    names = {(name, tuple(labels)) for name, labels in metric_rows("Our own names")}
    known = [each for each in vars(signals).values() if isinstance(each, signals.Signal)]
    assert names == {(each.name, each.labels) for each in known}


def test_the_tables_of_other_metric_names_say_which_of_our_own_each_is() -> None:
    documented = [
        (name.removeprefix("gen_ai_"), tuple(each.removesuffix("_total") for each in ours))
        for name, ours in metric_rows("Names that other servers' tools know")
    ]
    known = {each.name.removeprefix("vllm:").removeprefix("gen_ai_") for each in EVERY_OTHER_NAME}
    assert {name for name, _ in documented} == known
    sources = {
        (other.name.removeprefix("vllm:").removeprefix("gen_ai_"), other.source.name)
        for other in EVERY_OTHER_NAME
    }
    assert {(name, each) for name, ours in documented for each in ours} >= sources


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", LINK.sub("", heading).lower()).replace(" ", "-")
        for heading in headings
    }


@each_page
def test_no_marks_of_a_merge_are_left(page: Path) -> None:
    assert not re.findall(r"^(?:<{7}|={7}|>{7})(?:$| .*)", page.read_text(), re.MULTILINE)


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    assert not dead


@each_page
def test_every_file_and_module_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    files = [found.rstrip("./") for found in FILE.findall(text)]
    missing = [path for path in files if "*" not in path and not (ROOT / path).exists()]
    missing += [
        module + name
        for module, name in MODULE.findall(text)
        if not (ROOT / module).exists() and not names_something(module, name[1:])
    ]
    assert not missing


def names_something(module: str, name: str) -> bool:
    base = ROOT / module.replace(".", "/")
    if not name:
        return base.is_dir() or base.with_suffix(".py").is_file()
    source = base.with_suffix(".py")
    return source.is_file() and bool(
        re.search(rf"^(class |def )?{name}\b", source.read_text(), re.MULTILINE)
    )


@each_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"\bPRSM_HF_[A-Z_]*[A-Z]\b", page.read_text()))
    assert not unknown_variables(named)


def code(page: Path, language: str) -> list[str]:
    """The code blocks of that language."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [str(block) for block in blocks]


@each_page
def test_python_and_json_can_be_read(page: Path) -> None:
    for block in code(page, "python"):
        compile(block, str(page), "exec")
    for block in code(page, "json"):
        rest = block
        while rest := rest.lstrip():
            _, end = json.JSONDecoder().raw_decode(rest)
            rest = rest[end:]


EXCERPT = re.compile(r"^<!-- from (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@each_page
def test_an_excerpt_is_what_its_file_says(page: Path) -> None:
    for path, block in EXCERPT.findall(page.read_text()):
        assert block in (ROOT / path).read_text(), f"not in {path}:\n{block}"


def requests(page: Path) -> Iterator[tuple[str, str, str | None]]:
    """Method, path and body of every curl."""
    for block in code(page, "sh"):
        for command in re.split(r"^(?=curl )", block.replace("\\\n", " "), flags=re.MULTILINE):
            if command.startswith("curl "):
                words = shlex.split(command, comments=True)
                (url,) = [word for word in words if word.startswith("http://")]
                options = {flag: value for flag, value in pairwise(words) if flag[0] == "-"}
                body = options.get("-d")
                sends = body or "-F" in options or "--data-binary" in options
                method = options.get("-X", "POST" if sends else "GET")
                yield method, url.removeprefix("http://127.0.0.1:8000"), body


@each_page
def test_every_request_goes_to_a_route_with_a_body_of_json(page: Path) -> None:
    known = served() | served(ROOT / "tests" / "toy" / "perplexity.yaml")
    routes = [(method, re.compile(re.sub(r"{\w+}", "[^/]+", path))) for method, path in known]
    for method, path, body in requests(page):
        assert any(method == takes and route.fullmatch(path) for takes, route in routes), path
        assert body is None or json.loads(body)


def commands(page: Path) -> list[list[str]]:
    """The arguments of every `prsm-serve` in a code block or between backticks.

    Those after ``--`` are of another command, which `prsm-serve node` runs.
    """
    lines = re.findall(r"(?:^|[ /`])prsm-serve ([^`\n#>]*)", page.read_text(), re.MULTILINE)
    return [shlex.split(line.partition(" -- ")[0]) for line in lines]


@each_page
def test_every_command_of_the_service_takes_the_options_that_are_named(page: Path) -> None:
    wrong = []
    for name, *arguments in filter(None, commands(page)):
        command = main.commands.get(name)
        known = [option for each in command.params for option in each.opts] if command else []
        if command is None or any(a.startswith("-") and a not in known for a in arguments):
            wrong.append([name, *arguments])
    assert not wrong
