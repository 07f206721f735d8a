"""The memory over HTTP and on the command line: how much there is, found, taken out, compacted."""

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from helios_agent.agent import Agent
from helios_agent.journal import archives, snapshot, tables, takeout
from helios_agent.web import memory
from helios_agent.web.memory import Memory
from tests.journal.story import purge
from tests.web.test_jobs import post
from tests.web.test_page import living, shown

ROOT = Path(__file__).parents[2]


async def happen(agent: Agent, count: int) -> None:
    for number in range(count):
        await agent.journal.append("test.happened", {"game": "powerball", "number": number, "text": "=1"})


async def test_stats_tell_rows_bytes_and_what_is_allowed(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await happen(agent, 50)
        (tmp_path / "models" / "one").mkdir(parents=True)
        (tmp_path / "models" / "one" / "weights").write_bytes(bytes(1000))
        await seal(agent, 30)
        seen = (await shown(agent, "/api/memory/stats")).json()
        database = agent.config.database
        sizes = {table["table"]: table for table in seen["tables"]}
        assert sizes["event"]["rows"] == (await agent.store.rows("SELECT count(*) FROM event"))[0][0]
        pages = seen["database"]["pages"] - seen["database"]["free_pages"]
        assert seen["database"]["used_bytes"] == pages * seen["database"]["page_bytes"]
        # What no table has are the schema, and pages by which free and moved pages are found.
        assert 0.8 * seen["database"]["used_bytes"] < sum(t["bytes"] for t in seen["tables"])
        assert seen["database"]["file_bytes"] == database.stat().st_size
        assert seen["database"]["log_bytes"] == agent.store.wal_bytes()
    assert (seen["archives"]["archives"], seen["archives"]["events"]) == (1, 30)
    assert seen["archives"]["removed_events"] == 30
    assert seen["archives"]["bytes"] > 100
    assert seen["models"] == {"versions": {}, "bytes": 1000}
    assert seen["oldest_event"] == {"seq": 31, "at": "2026-09-18T12:00:00Z"}
    assert seen["retention"] == {
        "age_seconds": 1825 * 86400,
        "epochs_seconds": 90 * 86400,
        "size_bytes": 2**31,
    }


async def seal(agent: Agent, upto: int) -> None:
    with snapshot.opened(agent.config.database) as database:
        sealed = archives.make(database, agent.config.archives, upto, None)
    await agent.journal.append("journal.sealed", sealed)
    await purge(agent.journal, upto)


async def test_a_search_reaches_into_archives_when_asked_to(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await happen(agent, 50)
        await seal(agent, 30)
        path = "/api/memory/search?kind=test.*&limit=5&text=number"
        here = (await shown(agent, f"{path}&before=33")).json()
        there = (await shown(agent, f"{path}&before=33&archives=true")).json()
        last = (await shown(agent, f"{path}&before=4&archives=true")).json()
        none = await shown(agent, "/api/memory/search?model=nobody")
        bad = await shown(agent, "/api/memory/search?since=yesterday")
        (damaged,) = (p for p in agent.config.archives.iterdir() if p.name.endswith(".gz"))
        damaged.write_bytes(b"no archive")
        broken = await shown(agent, f"{path}&before=4&archives=true")
    assert ([event["seq"] for event in here["events"]], here["before"]) == ([32, 31], None)
    assert ([event["seq"] for event in there["events"]], there["before"]) == ([32, 31, 30, 29, 28], 28)
    assert there["events"][2]["payload"] == {"game": "powerball", "number": 29, "text": "=1"}
    assert ([event["seq"] for event in last["events"]], last["before"]) == ([3, 2, 1], None)
    assert (none.status_code, bad.status_code, broken.status_code) == (404, 422, 500)
    assert "model is 'nobody'" in none.json()["detail"]
    assert "cannot be read at its beginning" in broken.json()["detail"]


async def test_a_table_is_sent_as_one_file(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await happen(agent, 3)
        path = "/api/memory/export?table=events&kind=test.*"
        as_csv, as_lines, as_parquet = [
            await shown(agent, f"{path}&format={form}") for form in ("csv", "jsonl", "parquet")
        ]
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert as_csv.headers["content-disposition"] == 'attachment; filename="events.csv"'
    assert int(as_csv.headers["content-length"]) == len(as_csv.content)
    numbers = [json.loads(row["payload"])["number"] for row in csv.DictReader(io.StringIO(as_csv.text))]
    assert (
        numbers == [json.loads(line)["payload"]["number"] for line in as_lines.text.splitlines()] == [0, 1, 2]
    )
    assert parquet.read_table(io.BytesIO(as_parquet.content)).num_rows == 3
    assert os.listdir(tmp_path / "state").count("helios.db") == 1


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("table=secrets", 404, "table is 'secrets'; expected one of: events, draws,"),
        ("table=epochs&since=2026-01-01", 422, "table epochs cannot be filtered by since"),
        ("table=ledger&model=nobody", 404, "model is 'nobody'"),
        ("table=draws&format=xml", 422, "query.format"),
        ("table=draws&until=tomorrow", 422, "until is 'tomorrow'"),
    ],
)
async def test_what_cannot_be_taken_out_is_refused_by_name(
    tmp_path: Path, query: str, status: int, says: str
) -> None:
    async with living(tmp_path) as agent:
        answer = await shown(agent, f"/api/memory/export?{query}")
    assert answer.status_code == status
    assert says in json.dumps(answer.json()["detail"])


async def test_a_compaction_is_asked_for_with_the_token_alone(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        stranger = await post(agent, "/api/memory/compact", token="x" * 20)
        asked = await post(agent, "/api/memory/compact")
    assert (stranger.status_code, asked.status_code) == (401, 202)
    assert (asked.json()["action"], asked.json()["target"]) == ("compact", "journal")
    assert asked.headers["location"] == f"/api/intents/{asked.json()['id']}"


async def test_the_daemon_loads_no_parquet(tmp_path: Path) -> None:
    program = (
        "import sys, helios_agent.cli;"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'pyarrow']"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0  # noqa: ASYNC221


async def test_whoever_goes_away_leaves_no_process_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[asyncio.subprocess.Process] = []
    has_started = asyncio.Event()
    start = asyncio.create_subprocess_exec

    async def watched(*words: Any, **settings: Any) -> asyncio.subprocess.Process:
        started.append(await start(*words, **settings))
        has_started.set()
        return started[-1]

    monkeypatch.setattr(memory.asyncio, "create_subprocess_exec", watched)
    async with living(tmp_path) as agent:
        await happen(agent, 3)
        ask = takeout.Export(agent.config.database, "events", "csv", tables.Filters())
        asking = asyncio.create_task(Memory(tmp_path).take_out(ask))
        await has_started.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert started[0].returncode is not None


def helios(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "HELIOS_PATHS__STATE": str(state), "HELIOS_PATHS__MODELS": str(state / "models"),
        "HELIOS_GAMES": '{"powerball": {"feeds": []}}',
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "helios_agent", "memory", *words], cwd=ROOT, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


async def test_the_commands_do_the_same_without_a_daemon(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with living(tmp_path) as agent:
        await happen(agent, 40)
        await seal(agent, 30)
    run = asyncio.to_thread
    stats = json.loads((await run(helios, state, "stats", "--json")).stdout)
    as_text = (await run(helios, state, "stats")).stdout
    assert stats["archives"]["events"] == 30
    assert "archives   1 of 30 events" in as_text
    found = json.loads((await run(helios, state, "search", "=1", "-n", "2", "--archives", "--json")).stdout)
    assert ([event["seq"] for event in found["events"]], found["before"]) == ([40, 39], 39)
    more = (await run(helios, state, "search", "=1", "-n", "2", "--before", "3", "--archives")).stdout
    assert [line.split()[0] for line in more.splitlines()] == ["2", "1"]
    out = tmp_path / "events.parquet"
    done = await run(
        helios,
        state,
        "export",
        "--table",
        "events",
        "--format",
        "parquet",
        "-o",
        str(out),
        "--kind",
        "test.*",
    )
    assert done.stderr == "events: 10 rows\n"
    assert parquet.read_table(out).num_rows == 10
    lines = await run(
        helios, state, "export", "-t", "events", "-f", "jsonl", "-o", "-", "--kind", "journal.*"
    )
    assert [json.loads(line)["kind"] for line in lines.stdout.splitlines()] == [
        "journal.sealed",
        "journal.purged",
    ]
    refused = await run(helios, state, "export", "-t", "nothing", "-o", str(tmp_path / "x"))
    assert (refused.returncode, (tmp_path / "x").exists()) == (66, False)
    compacted = await run(helios, state, "compact")
    assert json.loads(compacted.stdout)["events"] == 0


async def test_whoever_reads_only_the_beginning_of_an_export_ends_it_quietly(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await happen(agent, 500)
    words = f"exec {sys.executable} -m helios_agent memory export -t events -f jsonl -o -"
    environment = os.environ | {
        "HELIOS_PATHS__STATE": str(tmp_path / "state"), "HELIOS_GAMES": '{"powerball": {"feeds": []}}'
    }  # fmt: skip
    read = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", f"({words}) | true"], cwd=ROOT, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert read.stderr == ""
