"""Nothing that can be asked, run, heard of or set is left out of the documents."""

import ast
import re
import sqlite3
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest
import typer
from fastapi.routing import APIRoute
from pydantic import BaseModel

from helios_agent import cli, errors
from helios_agent.agent import Agent
from helios_agent.config import Config
from helios_agent.errors import HeliosError
from helios_agent.journal.journal import KIND, PROJECTIONS
from helios_agent.metacognition.signals import SIGNALS
from helios_agent.notify import signing
from helios_agent.web import server
from tests.packaging.conftest import Life

KEY = bytes(range(32))
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def routes() -> Iterator[str]:
    """Every route of the application as «METHOD /path»."""
    config = Config.model_validate({"games": {"powerball": {}}})
    app = server.application(cast(Agent, SimpleNamespace(config=config)), None)
    found = [(item, "") for item in app.routes]
    while found:
        route, prefix = found.pop()
        below = getattr(route, "original_router", None)
        if isinstance(route, APIRoute):
            yield from (f"{method} {prefix}{route.path}" for method in route.methods)
        elif below is not None:
            found += [(item, prefix) for item in below.routes]
        else:
            yield f"GET {getattr(route, 'path')}"  # noqa: B009


def commands() -> Iterator[tuple[str, Any]]:
    """Every command, as one types it, with what it takes."""
    waiting = [("helios", cast(Any, typer.main.get_command(cli.app)))]
    while waiting:
        name, command = waiting.pop()
        below = getattr(command, "commands", None)
        if below is None:
            yield name, command
        else:
            waiting += [(f"{name} {child}", below[child]) for child in below]


def emitted_kinds() -> set[str]:
    """Every kind of event that the code appends: literals, variables called `kind`, and projections."""
    kinds = set(PROJECTIONS)
    for source in Path(str(resources.files("helios_agent"))).rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "append" and node.args:
                kinds |= _texts(node.args[0])
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "kind":
                kinds |= _texts(node.value)
    return {kind for kind in kinds if KIND.fullmatch(kind)}


def incident_kinds() -> set[str]:
    """Every kind of incident that the code opens."""
    found: set[str] = set()
    for source in Path(str(resources.files("helios_agent"))).rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "open_incident":
                named = _texts(node.args[2])
                assert named, f"{source.name}, line {node.lineno}: the kind is no literal"
                found |= named
    return found


def _texts(node: ast.AST) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def settings(model: type[BaseModel], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every setting of the configuration, as the names that lead to it."""
    for name, field in model.model_fields.items():
        yield (*place, name)
        for inner in _models(field.annotation):
            yield from settings(inner, (*place, name))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models(argument)


def _exit_codes(error: type[HeliosError]) -> set[int]:
    return {error.exit_code}.union(*(_exit_codes(child) for child in error.__subclasses__()))


def _documents(root: Path) -> list[Path]:
    return sorted((root / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def texts(root: Path) -> dict[str, str]:
    """Every document by its place under docs/."""
    return {str(p.relative_to(root / "docs")): p.read_text("utf-8") for p in _documents(root)}


def test_every_route_is_described(texts: dict[str, str]) -> None:
    named = set(re.findall(r"\b(?:GET|POST|PUT|DELETE|PATCH) /[^\s`]*", texts["reference/http.md"]))
    existing = set(routes())

    assert existing - named - {f"HEAD {r.removeprefix('GET ')}" for r in named} == set()
    assert {r for r in named if "?" not in r} - existing == set()


def test_every_command_and_option_is_described(texts: dict[str, str]) -> None:
    text = texts["reference/command-line.md"]
    sections = dict(re.findall(r"^## `(helios[a-z -]*)`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    taken = {name: {o for p in command.params for o in p.opts} for name, command in commands()}

    assert set(sections) == set(taken)
    common = set(re.findall(r"--[a-z-]+|-[a-z]\b", text.partition("\n## ")[0]))
    missing = {
        (name, option)
        for name, options in taken.items()
        for option in options - common
        if not re.search(rf"(?<![\w-]){option}\b", sections[name])
    }
    assert missing == set()


def test_every_exit_code_is_described(texts: dict[str, str]) -> None:
    listed = {
        int(code) for code in re.findall(r"^\| (\d+) \|", texts["reference/command-line.md"], re.MULTILINE)
    }

    assert _exit_codes(errors.HeliosError) | {0, 1, 2} == listed


def test_every_kind_of_event_is_described_and_no_other(texts: dict[str, str]) -> None:
    listed = set(re.findall(r"^### `([a-z.-]+)`$", texts["reference/events.md"], re.MULTILINE))

    assert listed == emitted_kinds()


def test_every_kind_of_event_that_a_life_leaves_has_the_documented_fields(
    texts: dict[str, str], life: Life
) -> None:
    blocks = dict(
        re.findall(
            r"^### `([a-z.-]+)`\n(.*?)(?=^##|\Z)", texts["reference/events.md"], re.MULTILINE | re.DOTALL
        )
    )
    sql = "SELECT DISTINCT kind, field.key FROM event, json_each(event.payload) AS field"
    with sqlite3.connect(f"file:{life.state / 'helios.db'}?mode=ro", uri=True) as database:
        left = database.execute(sql).fetchall()
    database.close()

    assert left
    assert {(kind, field) for kind, field in left if f"`{field}`" not in blocks[kind]} == set()


def test_every_kind_of_incident_is_described_and_no_other(texts: dict[str, str]) -> None:
    (block,) = re.findall(
        r"^### `incident\.opened`\n(.*?)(?=^###)", texts["reference/events.md"], re.MULTILINE | re.DOTALL
    )

    assert set(re.findall(r"^\* `([a-z-]+)`: ", block, re.MULTILINE)) == incident_kinds()


def test_every_signal_is_explained(texts: dict[str, str]) -> None:
    text = texts["explanation/metacognition.md"]
    rows = {tuple(row.split(" | ")) for row in re.findall(r"^\| (`.*) \|$", text, re.MULTILINE)}

    for signal in SIGNALS:
        bounds = zip(("≥", "≤"), signal.healthy, strict=True)
        healthy = ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None) or "any"
        assert (f"`{signal.name}`", signal.unit, healthy, signal.definition) in rows
        assert (f"`{signal.name}`", signal.source) in rows


def test_every_setting_stands_in_the_commented_configuration(root: Path) -> None:
    text = (root / "config/helios.yaml").read_text("utf-8")
    sections = dict(re.findall(r"^([a-z]+):(.*?)(?=^[a-z]+:|\Z)", text, re.MULTILINE | re.DOTALL))
    places = list(settings(Config))

    assert {place[0] for place in places} == set(sections)
    missing = [
        place
        for place in places
        if len(place) > 1 and not re.search(rf"\b{place[-1]}:?\b", sections[place[0]])
    ]
    assert missing == []


def _anchors(path: Path) -> set[str]:
    """Return what the headings of a page can be linked as; raise where a block of code does not end."""
    text = path.read_text("utf-8")
    parts = re.split(r"^ *```.*$", text, flags=re.MULTILINE)
    assert len(parts) % 2, f"{path.name} has a block of code that does not end"
    headings = re.findall(r"^#+ (.*)$", "\n".join(parts[::2]), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere(root: Path) -> None:
    broken = []
    for path in _documents(root):
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", path.read_text("utf-8")):
            page = path.parent / target if target else path
            if not target.startswith("http") and not (
                page.exists() and (not anchor or anchor in _anchors(page))
            ):
                broken.append((path.name, target, anchor))
    assert broken == []


def test_the_webhook_example_accepts_what_helios_signs_and_nothing_else(texts: dict[str, str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", texts["how-to/webhooks.md"], re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102
    body, now = b'{"type":"alert.raised"}', 1_795_244_573
    headers = signing.headers(KEY, "msg_1_my-receiver", now, body)

    assert names["genuine"](SECRET, headers, body, now)
    assert names["genuine"](SECRET, headers, body, now + 299)
    assert not names["genuine"](SECRET, headers, body + b" ", now)
    assert not names["genuine"](SECRET, headers, body, now + 301)
    assert not names["genuine"](SECRET, headers | {"webhook-id": "msg_2"}, body, now)


def test_the_script_that_verifies_the_journal_needs_no_helios(
    texts: dict[str, str], life: Life, tmp_path: Path
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", texts["reference/events.md"], re.DOTALL)
    script = tmp_path / "verify.py"
    script.write_text(program, "utf-8")
    copy = tmp_path / "helios.db"
    copy.write_bytes((life.state / "helios.db").read_bytes())
    command = [sys.executable, "-I", str(script), str(copy)]

    sound = subprocess.run(command, capture_output=True, text=True)
    with sqlite3.connect(copy) as database:
        database.execute("DROP TRIGGER event_never_edited")
        database.execute("UPDATE event SET payload = '{}' WHERE seq = 2")
    database.close()
    edited = subprocess.run(command, capture_output=True, text=True)

    assert (sound.returncode, sound.stderr) == (0, "")
    assert re.fullmatch(r"sound: \d+ events, head [0-9a-f]{64}\n", sound.stdout)
    assert edited.returncode == 1
    assert "event 2" in edited.stderr
