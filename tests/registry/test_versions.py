"""Versions in the life of an agent: they come, change their roles, leave; a crash or a bad file harms none.

Networks are tiny but real, and so are the jobs; they run in this process.
"""

import asyncio
import importlib
import io
import json
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from helios_agent import cli, files, oneshot
from helios_agent.actions import promote, runner
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.errors import HeliosError, Refused
from helios_agent.feeds import packaged
from helios_agent.journal import draws, events, intents, models, rebuild
from helios_agent.journal.intents import Intent
from helios_agent.lottery.games import POWERBALL
from helios_agent.registry import bundles, folders
from helios_agent.registry.card import CARD, WEIGHTS, version_of
from helios_agent.registry.names import Ref
from helios_agent.store import lock
from helios_agent.web import server
from helios_agent.work.engine import Progress, Spent, unmetered
from helios_agent.work.jobs import JOBS
from tests.registry import conftest

NOW = datetime(2026, 9, 18, 12, tzinfo=UTC)
TOKEN = "a-token-that-is-long-enough"
TINY = {"sequence": 8, "hidden": 8, "layers": 1, "heads": 2, "dropout": 0.0, "embedding": 4}


class InProcess:
    """Computes the real jobs in this process."""

    async def run(
        self,
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None = None,
        *,
        time_limit_s: float,
        stop: asyncio.Event | None = None,
        priority: int = 0,
        on_spent: Spent = unmetered,
    ) -> dict[str, Any]:
        module, _, function = JOBS[kind].partition(":")
        result: dict[str, Any] = getattr(importlib.import_module(module), function)(spec, lambda _: None)
        return result

    async def close(self) -> None:
        """Nothing is held."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The files of three networks, alike but for their seeds."""
    from helios_agent.learning import training

    random = np.random.default_rng(1)
    rows = [[*(random.permutation(69)[:5] + 1).tolist(), int(random.integers(26)) + 1] for _ in range(60)]
    home = tmp_path_factory.mktemp("trained")
    made = []
    for seed in (1, 2, 3):
        out = home / f"out-{seed}"
        done = training.run(
            {
                "game": "powerball", "era": "2015-10-07", "white": 69, "bonus": 26, "pick": 5, "draws": rows,
                "last_draw": "2026-09-16", "seed": seed, "out": str(out), "network": TINY,
                "training": {"epochs": 1},
            },
            lambda progress: None,
        )  # fmt: skip
        version = Ref("powerballnet", done["version"])
        folders.publish(out, folders.place(home, version))
        made.append(b"".join(bundles.pack(home, version).parts))
    return made


@dataclass
class Living:
    """An agent, and its HTTP API."""

    agent: Agent
    http: httpx.AsyncClient

    async def do(self, method: str, path: str, **request: Any) -> Intent:
        """Ask over HTTP, let the agent do it, and return what became of it."""
        answer = await self.http.request(method, path, **request)
        assert answer.status_code == 202, answer.text
        intent = await intents.find(self.agent.store, answer.json()["id"])
        assert answer.headers["location"] == f"/api/intents/{intent.id}"
        return await self.carry_out(intent.action)

    async def carry_out(self, action: str) -> Intent:
        claimed = await self.agent.journal.record(lambda tx: intents.claim(tx, (action,)))
        assert claimed is not None
        await runner.carry_out(self.agent.context(), claimed)
        return await intents.find(self.agent.store, claimed.id)

    async def bring(self, file: bytes) -> str:
        """Import a file; return the version."""
        done = await self.do("POST", "/api/models/import", content=file)
        assert done.state == "done", done.error
        return str(done.result["version"]) if done.result else ""

    async def roles(self) -> dict[str, str]:
        known = await models.of_era(self.agent.store, "powerball", "2015-10-07")
        return {model.version: model.role for model in known}

    async def know_draws(self) -> None:
        """Let the agent know a hundred draws of today's rules."""
        known = packaged.read(POWERBALL).draws[-100:]
        payloads = [draws.to_payload(draw, "test") for draw in known]
        record = self.agent.journal.record
        await record(lambda tx: [tx.append("draw.ingested", payload) for payload in payloads])

    async def unusable(self) -> list[str]:
        """Return the keys of what is wrong with models."""
        found = await draws.open_incidents(self.agent.store)
        return [incident.key for incident in found if incident.kind == "model-unusable"]

    async def kinds(self, *patterns: str) -> list[Mapping[str, Any]]:
        found = await events.tail(self.agent.store, limit=10_000, kinds=patterns)
        return [event.payload for event in reversed(found)]


Open = Callable[[], Any]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "state").mkdir()
    paths = {"state": tmp_path / "state", "models": tmp_path / "models"}
    learning = {"network": TINY, "training": {"epochs": 1}}
    return Config.model_validate(
        {"paths": paths, "games": {"powerball": {"feeds": []}}, "learning": learning}
    )


@pytest.fixture
def boot(config: Config) -> Open:
    """Begin a life of the agent; the next one on the same folders is another boot."""

    @asynccontextmanager
    async def living(token: str | None = None) -> AsyncIterator[Living]:
        async with open_agent(config, Ports(VirtualClock(NOW), lambda *_: InProcess())) as agent:
            await agent.recover()
            agent.phase = "ready"
            transport = httpx.ASGITransport(server.application(agent, token))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
                yield Living(agent, http)

    return living


@pytest.fixture
async def life(boot: Open) -> AsyncIterator[Living]:
    async with boot() as living:
        yield living


async def test_an_imported_version_becomes_the_challenger_and_leaves_as_the_same_file(
    life: Living, trained: list[bytes]
) -> None:
    version = await life.bring(trained[0])
    (model,) = await models.active(life.agent.store, "powerball", "2015-10-07")
    assert (model.version, model.role, model.job, model.ordinal) == (version, "challenger", None, 1)
    assert (model.last_draw, model.draws, model.prior) == ("2026-09-16", 60, 0.0025)
    asked = {i.action for i in await intents.open_ones(life.agent.store)}
    assert asked == {"forecast", "assess"}
    exported = await life.http.get(f"/api/models/powerballnet@{version}/export")
    assert exported.content == trained[0]
    assert exported.headers["content-length"] == str(len(trained[0]))
    assert exported.headers["content-disposition"] == f'attachment; filename="powerballnet@{version}.tar"'


async def test_importing_what_is_there_already_changes_nothing_but_mends_what_is_damaged(
    life: Living, trained: list[bytes]
) -> None:
    version = await life.bring(trained[0])
    folder = folders.place(life.agent.config.paths.models, Ref("powerballnet", version))
    (folder / WEIGHTS).write_bytes(b"damaged")
    again = await life.do("POST", "/api/models/import", content=trained[0])
    assert again.result is not None
    assert (again.result["version"], again.result["new"]) == (version, False)
    assert len(await life.kinds("model.*")) == 1
    assert folders.verify(folder, version).seed == 1
    assert folders.waiting(life.agent.config.paths.models) == []


async def damaged(life: Living, version: str) -> None:
    """Let the weights of a version be damaged and its forecast fail."""
    (folders.place(life.agent.config.paths.models, Ref("powerballnet", version)) / WEIGHTS).write_bytes(b"")
    assert (await life.carry_out("forecast")).state == "done"
    assert await life.unusable() == [f"model:powerball:powerballnet@{version}"]


async def test_one_whose_files_are_mended_by_an_import_forecasts_again_at_once(
    life: Living, trained: list[bytes]
) -> None:
    await life.know_draws()
    champion = await life.bring(trained[0])
    await life.do("POST", "/api/models/powerballnet/promote")
    await damaged(life, champion)
    await life.bring(trained[0])
    assert (await life.carry_out("forecast")).state == "done"
    assert await life.unusable() == []
    registered = (await life.kinds("forecast.registered"))[-1]["forecast"]
    assert registered["basis"]["models"] == [f"powerballnet@{champion}"]


async def test_one_whose_files_are_mended_by_the_same_training_forecasts_again_at_once(life: Living) -> None:
    await life.know_draws()
    await life.agent.request("train", "powerball", {}, by="test")
    first = (await life.carry_out("train")).result
    assert first is not None
    await damaged(life, first["version"])
    await life.agent.request("train", "powerball", {}, by="test")
    again = (await life.carry_out("train")).result
    assert again == {**first, "new": False}
    assert (await life.carry_out("forecast")).state == "done"
    assert await life.unusable() == []


async def test_one_that_is_retired_is_asked_for_no_forecast(life: Living, trained: list[bytes]) -> None:
    for file in (trained[0], trained[1]):
        await life.bring(file)
    await life.carry_out("forecast")
    await life.bring(trained[0])
    assert "forecast" not in {intent.action for intent in await intents.open_ones(life.agent.store)}


async def test_a_newcomer_leaves_what_is_wrong_with_the_champion_as_it_is(
    life: Living, trained: list[bytes]
) -> None:
    await life.know_draws()
    champion = await life.bring(trained[0])
    await life.do("POST", "/api/models/powerballnet/promote")
    await damaged(life, champion)
    challenger = await life.bring(trained[1])
    (folders.place(life.agent.config.paths.models, Ref("powerballnet", challenger)) / CARD).write_bytes(b"")
    await life.carry_out("forecast")
    keys = [f"model:powerball:powerballnet@{version}" for version in (champion, challenger)]
    assert await life.unusable() == keys
    await life.bring(trained[2])
    assert await life.unusable() == keys[:1]


async def test_a_person_may_promote_before_the_trial_has_shown_anything_and_roll_back_twice(
    life: Living, trained: list[bytes]
) -> None:
    first = await life.bring(trained[0])
    await life.do("POST", "/api/models/powerballnet/promote")
    second = await life.bring(trained[1])
    await life.do("POST", f"/api/models/powerballnet@{second}/promote", json={"game": "powerball"})
    third = await life.bring(trained[2])
    assert await life.kinds("model.promoted") == [
        {
            "game": "powerball", "era": "2015-10-07", "name": "powerballnet", "version": version,
            "in_place_of": before, "by": "http", "trial": None,
        }
        for version, before in ((first, None), (second, first))
    ]  # fmt: skip
    assert await life.roles() == {first: "retired", second: "champion", third: "challenger"}
    shown = (await life.http.get(f"/api/models/powerballnet@{second}")).json()
    assert shown["took_the_place_of"] == f"powerballnet@{first}"

    await life.do("POST", "/api/models/powerballnet/rollback")
    assert await life.roles() == {first: "champion", second: "retired", third: "challenger"}
    await life.do("POST", "/api/models/powerballnet/rollback")
    assert await life.roles() == {first: "retired", second: "retired", third: "challenger"}
    nobody = await life.http.post("/api/models/powerballnet/rollback")
    assert (nobody.status_code, nobody.json()["detail"]) == (
        404,
        "There is no champion of Powerball to roll back.",
    )
    rolled = await life.kinds("model.rolled-back")
    assert [(r["version"], r["back_to"], r["by"]) for r in rolled] == [
        (second, first, "http"),
        (first, None, "http"),
    ]
    found = (await life.http.get(f"/api/models/powerballnet@{first}/journal")).json()["events"]
    assert [e["kind"] for e in found if e["kind"].startswith("model.")] == [
        "model.rolled-back", "model.rolled-back", "model.promoted", "model.promoted", "model.imported",
    ]  # fmt: skip


async def two_champions(life: Living, trained: list[bytes]) -> tuple[str, str]:
    """Promote two, one after the other; return their versions."""
    versions = []
    for file in trained[:2]:
        versions.append(await life.bring(file))
        await life.do("POST", "/api/models/powerballnet/promote")
    return versions[0], versions[1]


async def test_there_is_no_way_back_to_what_is_deleted_or_damaged(life: Living, trained: list[bytes]) -> None:
    first, second = await two_champions(life, trained)
    folder = folders.place(life.agent.config.paths.models, Ref("powerballnet", first))
    (folder / CARD).write_bytes(b"{}")
    refused = await life.do("POST", "/api/models/powerballnet/rollback")
    assert refused.state == "failed"
    assert f"{first}/model.json: white: Field required" in str(refused.error)
    named = f"powerballnet@{first}"
    assert (await life.do("DELETE", f"/api/models/{named}", params={"confirm": named})).state == "done"
    refused = await life.do("POST", "/api/models/powerballnet/rollback")
    assert refused.error == (
        f"powerballnet@{second} took the place of {named}, which was deleted; retire the champion instead:"
        " then there is none"
    )
    assert await life.roles() == {first: "deleted", second: "champion"}
    assert await draws.open_incidents(life.agent.store) == [], "who asked was told"
    await life.do("POST", f"/api/models/powerballnet@{second}/retire")
    assert await life.roles() == {first: "deleted", second: "retired"}
    assert (await life.kinds("model.retired"))[0]["was"] == "champion"


async def test_who_cannot_forecast_is_not_promoted_and_the_champion_stays(
    life: Living, trained: list[bytes]
) -> None:
    champion = await life.bring(trained[0])
    await life.do("POST", "/api/models/powerballnet/promote")
    damaged = await life.bring(trained[1])
    folder = folders.place(life.agent.config.paths.models, Ref("powerballnet", damaged))
    (folder / WEIGHTS).write_bytes(b"damaged")
    refused = await life.do("POST", "/api/models/powerballnet/promote")
    assert refused.state == "failed"
    assert f"{damaged}/weights.safetensors: SHA-256 is" in str(refused.error)

    earlier = (await life.kinds("model.imported"))[0] | {"version": "0" * 12, "era": "2012-01-18"}
    await life.agent.journal.append("model.imported", {**earlier, "ordinal": 1})
    for target in ("powerball", f"powerball/powerballnet@{'0' * 12}"):
        asked = await life.agent.request("promote", target, {}, by="test")
        assert (await life.carry_out("promote")).id == asked.id
        refused = await intents.find(life.agent.store, asked.id)
        assert (refused.state, refused.error) == (
            "failed",
            "powerballnet@000000000000 is of the rules from 2012-01-18; the next draw of Powerball is under"
            " those from 2015-10-07",
        )
    assert await life.roles() == {champion: "champion", damaged: "retired"}
    assert len(await life.kinds("model.promoted")) == 1


async def test_a_challenger_that_another_has_replaced_meanwhile_is_not_promoted(
    life: Living, trained: list[bytes]
) -> None:
    first = await life.bring(trained[0])
    await life.agent.request("promote", "powerball", {}, by="test")
    intent = await life.agent.journal.record(lambda tx: intents.claim(tx, ("promote",)))
    assert intent is not None
    commit = await promote.run(life.agent.context(), intent)
    second = await life.bring(trained[1])
    with pytest.raises(Refused, match=f"powerballnet@{first} is retired; promote is for one that is chall"):
        await life.agent.journal.record(lambda tx: commit(tx, intent.seq))
    assert await life.roles() == {first: "retired", second: "challenger"}


async def test_only_what_is_retired_is_deleted_and_only_by_its_full_name_said_twice(
    life: Living, trained: list[bytes]
) -> None:
    first, second = await two_champions(life, trained)
    third = await life.bring(trained[2])
    for version, told in ((second, "champion"), (third, "challenger")):
        named = f"powerballnet@{version}"
        answer = await life.http.delete(f"/api/models/{named}", params={"confirm": named})
        assert answer.status_code == 422
        assert answer.json()["detail"] == f"{named} is {told}; delete is for one that is retired"
        late = await life.agent.request("delete", f"powerball/{named}", {}, by="test")
        assert (await life.carry_out("delete")).id == late.id
        assert (await intents.find(life.agent.store, late.id)).state == "failed"
    named = f"powerballnet@{first}"
    for confirm in ({}, {"confirm": "powerballnet"}, {"confirm": f"powerballnet@{second}"}):
        answer = await life.http.delete(f"/api/models/{named}", params=confirm)
        assert answer.status_code == 422
        assert f"expected '{named}': what is deleted does not come back" in answer.json()["detail"]
    await life.agent.request("validate", f"powerball/{named}", {}, by="test")
    busy = await life.do("DELETE", f"/api/models/{named}", params={"confirm": named})
    assert f"{named} is needed by validate, intent" in str(busy.error)
    assert (await life.carry_out("validate")).state == "done"
    home = life.agent.config.paths.models
    assert (await life.do("DELETE", f"/api/models/{named}", params={"confirm": named})).state == "done"
    assert await life.roles() == {first: "deleted", second: "champion", third: "challenger"}
    assert list(folders.found(home)) == [Ref("powerballnet", v) for v in sorted((second, third))]
    listed = (await life.http.get("/api/models")).json()
    assert [m["version"] for m in listed] == [second, third]
    listed = (await life.http.get("/api/models?role=deleted")).json()
    assert [m["version"] for m in listed] == [first]
    assert (await life.http.get(f"/api/models/{named}")).json()["files"] is None
    exported = await life.http.get(f"/api/models/{named}/export")
    assert (exported.status_code, exported.json()["detail"]) == (
        404,
        f"{named} was deleted: its files are gone.",
    )


async def test_what_is_loaded_is_not_deleted_before_it_is_unloaded(
    life: Living, trained: list[bytes]
) -> None:
    named = f"powerballnet@{await life.bring(trained[0])}"
    await life.bring(trained[1])
    assert (await life.http.post(f"/api/models/{named}/load")).is_success
    refused = await life.http.delete(f"/api/models/{named}", params={"confirm": named})
    assert refused.json()["detail"] == f"{named} is loaded; unload it, then delete it"
    assert (await life.http.post(f"/api/models/{named}/unload")).is_success
    assert (await life.do("DELETE", f"/api/models/{named}", params={"confirm": named})).state == "done"


async def test_what_a_training_may_begin_from_is_not_deleted_before_that_has_ended(
    life: Living, trained: list[bytes]
) -> None:
    named = f"powerballnet@{await life.bring(trained[0])}"
    await life.bring(trained[1])
    for action in ("train", "tune"):
        asked = await life.agent.request(action, "powerball", {"start": "newest"}, by="test")
        busy = await life.do("DELETE", f"/api/models/{named}", params={"confirm": named})
        assert busy.error == f"{named} is needed by {action}, intent {asked.id}; delete it later"
        await life.agent.journal.record(lambda tx, job=asked.id: intents.stop(tx, job, 1))
    await life.agent.request("train", "powerball", {"start": "scratch"}, by="test")
    assert (await life.do("DELETE", f"/api/models/{named}", params={"confirm": named})).state == "done"


async def test_one_that_was_deleted_can_come_back_and_keeps_its_place(
    life: Living, trained: list[bytes]
) -> None:
    first = await life.bring(trained[0])
    second = await life.bring(trained[1])
    named = f"powerballnet@{first}"
    await life.do("DELETE", f"/api/models/{named}", params={"confirm": named})
    assert await life.bring(trained[0]) == first
    assert await life.roles() == {first: "challenger", second: "retired"}
    imported = await life.kinds("model.imported")
    assert [(e["version"], e["ordinal"]) for e in imported] == [(first, 1), (second, 2), (first, 1)]
    folder = life.agent.config.database.parent / "archives"
    assert rebuild.check(life.agent.config.database, folder) == await events.head(life.agent.store)


class Killed(BaseException):
    """The process ends here."""


async def test_a_deletion_cut_short_by_a_crash_is_ended_by_the_next_start(
    boot: Open, trained: list[bytes]
) -> None:
    async with boot() as life:
        first, _ = await life.bring(trained[0]), await life.bring(trained[1])
        named = f"powerballnet@{first}"
        folder = folders.place(life.agent.config.paths.models, Ref("powerballnet", first))

        def kill(moment: str, path: Path) -> None:
            if moment == "before remove" and path == folder:
                raise Killed

        files.observer.set(kill)
        with pytest.raises(Killed):
            await life.do("DELETE", f"/api/models/{named}", params={"confirm": named})
        files.observer.set(None)
        assert folder.exists()
    async with boot() as life:
        assert not folder.exists()
        assert (await life.carry_out("delete")).state == "done"
        assert len(await life.kinds("model.deleted")) == 1
        assert (await life.roles())[first] == "deleted"


async def test_what_came_in_waits_for_its_intent_over_a_crash_and_without_one_is_removed(
    boot: Open, trained: list[bytes]
) -> None:
    async with boot() as life:
        home = life.agent.config.paths.models
        bundles.unpack(io.BytesIO(trained[1])).keep(home)
        assert (await life.http.post("/api/models/import", content=trained[0])).status_code == 202
        assert len(folders.waiting(home)) == 2
    async with boot() as life:
        assert len(folders.waiting(home)) == 1
        assert (await life.carry_out("import")).state == "done"
        assert len(await life.roles()) == 1
        assert folders.waiting(home) == []


async def test_a_folder_that_nobody_knows_is_left_alone_and_is_an_incident_while_it_is_there(
    boot: Open, config: Config, trained: list[bytes]
) -> None:
    stray = bundles.unpack(io.BytesIO(trained[0]))
    stray.keep(config.paths.models)
    folder = folders.place(config.paths.models, stray.version)
    folders.publish(folders.waiting_room(config.paths.models, stray.version), folder)
    for _ in range(2):
        async with boot() as life:
            (incident,) = await draws.open_incidents(life.agent.store)
            assert incident.kind == "model-orphan"
            assert str(stray.version) in incident.message
            assert folder.exists()
    files.remove(folder)
    async with boot() as life:
        assert await draws.open_incidents(life.agent.store) == []


async def test_an_upload_needs_room_on_the_disk_of_the_models_alone_and_says_where_there_is_none(
    life: Living, trained: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    monkeypatch.setattr(bundles, "IN_MEMORY_BYTES", 1024)
    await life.bring(trained[0])
    room = life.agent.config.paths.models / folders.INCOMING
    room.rmdir()
    room.write_bytes(b"")
    answer = await life.http.post("/api/models/import", content=trained[1])
    assert answer.status_code == 500
    assert "paths.models: " in answer.json()["detail"]
    assert "cannot take the file in: File exists" in answer.json()["detail"]


async def test_the_loop_waits_for_no_file_while_an_upload_comes_in(
    life: Living, trained: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    writing: set[threading.Thread] = set()

    class Watched(tempfile.SpooledTemporaryFile[bytes]):
        def write(self, content: Any) -> int:
            writing.add(threading.current_thread())
            return super().write(content)

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Watched)
    await life.bring(trained[0])
    assert writing
    assert threading.current_thread() not in writing


def other(**changes: Any) -> bytes:
    """Return a file whose digests are right, with another card."""
    content = conftest.card(**changes)
    home = f"powerballnet@{version_of(content, [conftest.WEIGHTS])}"
    from tests.registry.test_bundles import tar

    return tar((f"{home}/{CARD}", content), (f"{home}/{WEIGHTS}", conftest.WEIGHTS))


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (b"", "The file holds nothing"),
        (lambda file: file[: len(file) // 2], "the file is cut off"),
        (lambda file: file[:9000] + b"\x55" + file[9001:], "SHA-256 is"),
        (lambda file: file.replace(b"powerballnet@", b"../otherball@"), "no whole uncompressed tar"),
        (other(era="2012-01-18"), "era is '2012-01-18'; expected '2015-10-07', by the rules of Powerball"),
        (other(white=59), "model.json: white is 59; expected 69"),
        (other(game="megamillions"), "game is 'megamillions'; expected one that is watched: powerball"),
        (other(game="lotto"), "game is 'lotto'; expected one that is watched: powerball"),
        (other(shrinkage=2.0), "shrinkage: Input should be less than or equal to 1 (got 2.0)"),
    ],
)  # fmt: skip
async def test_a_bad_file_is_refused_at_the_door_and_nothing_at_all_changes(
    life: Living, trained: list[bytes], file: bytes | Callable[[bytes], bytes], told: str
) -> None:
    champion = await life.bring(trained[0])
    await life.do("POST", "/api/models/powerballnet/promote")
    before = await events.head(life.agent.store), sorted(life.agent.config.paths.models.rglob("*"))
    content = file if isinstance(file, bytes) else file(trained[1])
    answer = await life.http.post("/api/models/import", content=content)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    after = await events.head(life.agent.store), sorted(life.agent.config.paths.models.rglob("*"))
    assert after == before
    assert await life.roles() == {champion: "champion"}


async def test_weights_that_are_no_network_are_found_out_by_the_worker_and_leave_nothing(
    life: Living, trained: list[bytes]
) -> None:
    champion = await life.bring(trained[0])
    await life.do("POST", "/api/models/powerballnet/promote")
    for changes, told in (
        ({"architecture": TINY}, "not a safetensors file"),
        ({"architecture": TINY | {"colour": "red"}}, "model.json: NetworkSpec: colour: Extra inputs"),
        (
            {"training": {"epochs": 0}, "architecture": TINY},
            "model.json: TrainingSpec: epochs: Input should",
        ),
    ):
        failed = await life.do("POST", "/api/models/import", content=other(**changes))
        assert failed.state == "failed"
        assert told in str(failed.error)
    home = life.agent.config.paths.models
    assert folders.waiting(home) == []
    assert list(folders.found(home)) == [Ref("powerballnet", champion)]
    assert await life.roles() == {champion: "champion"}
    assert await draws.open_incidents(life.agent.store) == []


async def test_a_version_is_validated_in_full(life: Living, trained: list[bytes]) -> None:
    version = await life.bring(trained[0])
    sound = await life.do("POST", f"/api/models/powerballnet@{version}/validate")
    assert sound.result is not None
    assert (sound.result["sound"], sound.result["version"]) == (True, version)
    shown = (await life.http.get(f"/api/models/powerballnet@{version}/info")).json()
    assert shown["files"]["card"]["metrics"]["parameters"] == sound.result["parameters"]
    folder = folders.place(life.agent.config.paths.models, Ref("powerballnet", version))
    (folder / WEIGHTS).unlink()
    damaged = await life.do("POST", f"/api/models/powerballnet@{version}/validate")
    assert "weights.safetensors: cannot be read: No such file" in str(damaged.error)
    shown = (await life.http.get(f"/api/models/powerballnet@{version}")).json()
    assert (shown["role"], shown["files"]["sound"]) == ("challenger", False)
    exported = await life.http.get(f"/api/models/powerballnet@{version}/export")
    assert (exported.status_code, await life.roles()) == (422, {version: "challenger"})


@pytest.mark.parametrize("name", ["Champion", "a.b", "..%2f..%2fetc", "powerballnet@..", "%2Fetc", "ä"])
async def test_a_name_that_could_be_a_path_is_refused_wherever_one_is_taken(life: Living, name: str) -> None:
    for method, way in (
        ("GET", ""), ("GET", "/info"), ("GET", "/journal"), ("GET", "/export"), ("DELETE", ""),
        ("POST", "/promote"), ("POST", "/rollback"), ("POST", "/retire"), ("POST", "/validate"),
    ):  # fmt: skip
        answer = await life.http.request(method, f"/api/models/{name}{way}")
        assert answer.status_code in (404, 422), (method, way)
        assert answer.status_code == 404 or "model is " in answer.json()["detail"]


async def test_what_is_not_there_is_not_found(life: Living) -> None:
    for path in ("powerballnet", "powerballnet@17e1c993042e", "powerballnet@17e1c993042e/export"):
        assert (await life.http.get(f"/api/models/{path}")).status_code == 404
    answer = await life.http.post("/api/models/powerballnet/promote")
    assert answer.json()["detail"] == "There is no challenger of Powerball to promote."
    for way in ("promote", "rollback"):
        answer = await life.http.post(f"/api/models/powerballnet/{way}?game=powerball")
        assert answer.status_code == 422
        assert answer.json()["detail"] == "the query has game; expected in the body, as JSON"
    answer = await life.http.get("/api/models?role=king")
    assert "role is 'king'; expected one of: challenger, champion" in answer.json()["detail"]
    answer = await life.http.get("/api/models?game=pwerball")
    assert answer.status_code == 404
    assert "game is 'pwerball'; expected one of: megamillions, powerball" in answer.json()["detail"]


async def test_whoever_changes_anything_needs_the_token(boot: Open, trained: list[bytes]) -> None:
    async with boot(TOKEN) as life:
        version = "powerballnet@17e1c993042e"
        asked = [("POST", f"{version}/{way}") for way in ("promote", "rollback", "retire", "validate")]
        for method, path in [*asked, ("POST", "import"), ("DELETE", version)]:
            answer = await life.http.request(method, f"/api/models/{path}", content=b"")
            assert answer.status_code == 401, path
        life.http.headers["authorization"] = f"Bearer {TOKEN}"
        assert await life.bring(trained[0])


class Slow(BaseHTTPRequestHandler):
    """A daemon that takes a while to bring a file to its disk."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        threading.Event().wait(0.5)
        done = {"state": "done", "error": None, "result": {"new": True}}
        self.send_response(202)
        self.send_header("location", "/api/intents/1")
        self.end_headers()
        self.wfile.write(json.dumps(done).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test's output readable."""


def test_an_import_waits_for_the_daemon_for_as_long_as_a_large_file_takes(
    tmp_path: Path, trained: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOS_PATHS__STATE", str(tmp_path))
    monkeypatch.setattr("helios_agent.logs.to_stderr", lambda settings: None)
    monkeypatch.setattr(oneshot, "ANSWER_S", 0.1)
    file = tmp_path / "net.tar"
    file.write_bytes(trained[0])
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as daemon:
        threading.Thread(target=daemon.serve_forever, daemon=True).start()
        with lock.hold(tmp_path, f"helios run, http://127.0.0.1:{daemon.server_port}/"):
            imported = CliRunner().invoke(cli.app, ["models", "import", str(file)])
        daemon.shutdown()
    assert json.loads(imported.output) == {"new": True}


def test_the_commands_do_the_same_without_a_daemon(
    tmp_path: Path, trained: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("STATE", "state"), ("MODELS", "models")):
        monkeypatch.setenv(f"HELIOS_PATHS__{name}", str(tmp_path / value))
    monkeypatch.setattr("helios_agent.logs.to_stderr", lambda settings: None)
    files_in = [tmp_path / f"{number}.tar" for number in (1, 2)]
    for path, content in zip(files_in, trained, strict=False):
        path.write_bytes(content)

    def helios(*words: str | Path, told: str) -> str:
        done = CliRunner().invoke(cli.app, ["models", *map(str, words)])
        said = done.output + (str(done.exception) if isinstance(done.exception, HeliosError) else "")
        assert told in said
        return said

    helios("import", files_in[0], told='"new": true')
    version = str(bundles.unpack(io.BytesIO(trained[0])).version)
    helios("list", told=f"{version}  challenger  powerball")
    helios("info", version, told="sound; by Helios")
    helios("promote", told='"by": "cli"')
    helios("delete", version, "--confirm", version, told=f"{version} is champion; delete is for one")
    helios("rollback", told='"back_to": null')
    helios("delete", version, told="what is deleted does not come back")
    helios("export", version, "-o", tmp_path / "again.tar", told=f"{version}: {len(trained[0]):,} bytes")
    assert (tmp_path / "again.tar").read_bytes() == trained[0]
    helios("delete", version, "--confirm", version, told='"game": "powerball"')
    helios("info", version, told="its files were deleted")
    helios("export", version, "-o", tmp_path / "none.tar", told=f"{version} was deleted: its files are gone.")
    helios("import", tmp_path / "none.tar", told="cannot be read: No such file")
    helios("info", "../state", told="model is '../state'; expected a name")
