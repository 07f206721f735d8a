"""`helios audit` as one types it, and the page that it writes."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from helios_agent import cli
from helios_agent.clock import VirtualClock
from helios_agent.fairness import page
from helios_agent.journal import draws
from helios_agent.journal.journal import Journal
from helios_agent.lottery.draws import Draw
from helios_agent.store import Store
from helios_agent.web import chart
from tests.fairness.conftest import Reports

CONFIG = str(Path(__file__).parents[2] / "config/helios.yaml")
FEW = ("--from", "2026-08-01")
VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("HELIOS_PATHS__STATE", str(folder))
    return folder


@pytest.fixture
def helios(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run `helios audit` as one types it; return its exit code and what it printed."""

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["helios", "audit", *args, "--config", CONFIG])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    mask = os.umask(0o077)
    yield run
    os.umask(mask)


async def store_draws(state: Path, days: list[str]) -> None:
    store = await Store.open(state / "helios.db")
    journal = Journal(store, VirtualClock(datetime(2026, 9, 18, 12, tzinfo=UTC)), "boot-1")
    for t, day in enumerate(days):
        balls = (t + 5, t + 1, t + 9, t + 33, t + 20)
        draw = Draw("powerball", date.fromisoformat(day), balls, t + 1, None, ordered=True)
        await journal.append("draw.ingested", draws.to_payload(draw, "texas" if t else "new-york"))
    await store.close()


# The command


def test_a_fresh_clone_audits_the_packaged_draws(helios: Command) -> None:
    code, out, err = helios(*FEW)

    assert (code, err) == (0, "")
    assert out.startswith(
        "Fairness audit of Powerball\n21 draws, 2026-08-01 to 2026-09-16, packaged with Helios"
    )
    assert out.count("Rules since ") == 1


def test_any_game_with_draws_may_be_audited_not_only_the_watched_ones(helios: Command) -> None:
    code, out, _ = helios("megamillions", "--from", "2025-03-28", "--to", "2025-04-12", "--json")
    seen = json.loads(out)

    assert code == 0
    assert (seen["game"], seen["draws"], seen["source"]["origin"]) == ("megamillions", 5, "packaged")
    assert [(era["name"], era["draws"]) for era in seen["eras"]] == [("2025-04-08", 2), ("2017-10-31", 3)]
    assert (seen["from"], seen["to"]) == ("2025-03-28", "2025-04-11")


def test_stored_draws_are_preferred_and_their_sources_named(helios: Command, state: Path) -> None:
    asyncio.run(store_draws(state, ["2026-09-14", "2026-09-16", "2026-09-19"]))
    code, out, _ = helios("powerball", "--json")
    seen = json.loads(out)

    assert code == 0
    assert (seen["draws"], seen["from"], seen["to"]) == (3, "2026-09-14", "2026-09-19")
    assert seen["source"] == {
        "origin": "database", "file": str(state / "helios.db"), "told_by": {"new-york": 1, "texas": 2}
    }  # fmt: skip
    assert "1 told by new-york, 2 told by texas" in re.sub(r"\s+", " ", helios("powerball")[1])
    assert json.loads(helios("megamillions", *FEW, "--json")[1])["source"]["origin"] == "packaged"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("keno",), 66, "game is 'keno'; expected one of: megamillions, powerball, simulated"),
        (("simulated",), 66, "game is 'simulated', of which"),
        (("--from", "yesterday"), 64, "--from is 'yesterday'; expected a day such as 2026-09-16"),
        (("--to", "2026-02-30"), 64, "--to is '2026-02-30'; expected a day"),
        (("--from", "2026-02-03", "--to", "2026-02-01"), 64, "expected --from not to be after --to"),
        (("--to", "2001-01-01"), 66, "expected days of 2010-02-03 to 2026-09-16"),
        (
            (*FEW, "--html", "no/such/folder.html"),
            64,
            "--html is 'no/such/folder.html', which cannot be written",
        ),
        ((*FEW, "--html", "/dev/null"), 64, "--html is '/dev/null', which is no file"),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(
    args: tuple[str, ...], code: int, message: str, helios: Command
) -> None:
    ended, out, err = helios(*args)

    assert (ended, out) == (code, "")
    assert err.startswith("helios: ")
    assert message in err
    assert err.count("\n") == 1


def test_the_page_is_written_whole_over_an_earlier_one(helios: Command, tmp_path: Path) -> None:
    file = tmp_path / "audit.html"
    file.write_text("an earlier one")
    code, out, err = helios(*FEW, "--html", str(file))

    assert (code, err) == (0, "")
    assert out.startswith("Fairness audit of Powerball")
    assert file.read_text("utf-8").endswith("</html>")
    assert [path.name for path in tmp_path.iterdir() if path.name != "state"] == ["audit.html"]
    assert helios(*FEW, "--html", "-")[1].strip() == file.read_text("utf-8").strip()


# The page


class Reader(HTMLParser):
    """Reads a page: its elements, and whether each is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


@pytest.fixture(scope="module")
def powerball(real: Reports) -> str:
    return page.render(real["powerball"])


def test_the_page_needs_nothing_else(powerball: str) -> None:
    read = Reader(powerball)

    assert read.open == []
    assert not {tag for tag, _ in read.found} & {"script", "link", "img", "iframe", "object", "base"}
    assert not re.search(r"https?:|url\(|@import|\bsrc=|\bon\w+=", powerball)
    assert "prefers-color-scheme: dark" in powerball
    assert "@media print" in powerball


def test_the_page_can_be_read_by_those_who_do_not_see_it(powerball: str) -> None:
    read = Reader(powerball)
    ids = [attrs["id"] for _, attrs in read.found if "id" in attrs]
    named = {name for _, attrs in read.found for name in (attrs.get("aria-labelledby") or "").split()}
    drawings = [attrs for attrs in read.all("svg") if "role" in attrs]

    assert len(read.all("h1")) == 1
    assert len(read.all("caption")) == len(read.all("table")) == 2 * 3
    assert all(attrs.get("scope") in ("row", "col") for attrs in read.all("th"))
    assert len(drawings) == len(read.all("desc")) == 3 * 3
    assert all(attrs["role"] == "img" for attrs in drawings)
    assert len(read.all("title")) == 1 + len(drawings)
    assert len(ids) == len(set(ids))
    assert named <= set(ids)


def test_the_page_has_a_table_of_tests_and_the_same_findings_for_every_era(
    powerball: str, real: Reports
) -> None:
    shown = re.sub(r"\s+", " ", powerball)

    assert powerball.count('<table class="tests">') == len(real["powerball"]["eras"]) == 3
    for era in real["powerball"]["eras"]:
        assert f"Rules since {era['name']}" in shown
        for test in era["tests"]:
            assert f"{test['in_words'][1:]}." in shown
            assert f'<td class="n">{test["p"]:.3f}</td>' in shown


def test_what_is_unusual_is_marked_on_the_page(unfair: dict[str, Any]) -> None:
    made = page.render(unfair)

    assert '<article class="era unusual"' in made
    assert made.count('<circle class="outside"') == 1
    assert made.count('<span class="note">unusual</span>') == 1


def test_whatever_is_in_the_record_stays_text_on_the_page(unfair: dict[str, Any]) -> None:
    told = {"origin": "database", "file": "<script>alert(1)</script>", "told_by": {'"><img src=x>': 400}}
    made = page.render(unfair | {"source": told, "title": "<b>Lotto</b>"})

    assert Reader(made).open == []
    assert not {"script", "img", "b"} & {tag for tag, _ in Reader(made).found}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made


# The drawing of counts


def test_a_count_as_expected_is_on_the_line_and_more_is_higher() -> None:
    made = chart.counts([10, 12, 8, 10], 1)
    heights = [y for _, y, _, _ in made.dots]
    expected = next(line.y for line in made.lines if line.kind == "chance")

    assert heights[0] == heights[3] == expected
    assert heights[1] < expected < heights[2]
    assert [x for x, _, _, _ in made.dots] == [12.5, 37.5, 62.5, 87.5]
    assert made.farthest[2] == 2


def test_the_inner_band_holds_a_fair_count_and_the_outer_one_all_of_them() -> None:
    made = chart.counts([100] * 68 + [140], 5)  # expected 100.6, standard deviation 9.66
    half = 3.38 * 9.66  # a chance of 1 in 20, shared by 69 balls
    scale = chart._Scale(100.58 - half, 140)
    (outer_y, outer_tall), (inner_y, inner_tall) = made.bands

    assert outer_y == pytest.approx(scale.y(100.58 + half), abs=0.5)
    assert inner_y + inner_tall / 2 == pytest.approx(outer_y + outer_tall / 2, abs=0.2)
    assert inner_tall / outer_tall == pytest.approx(1.96 / 3.38, abs=0.005)
    assert [ball for _, _, ball, outside in made.dots if outside] == [69]
    assert made.description.endswith("outside: 69.")
