"""The daemon as its user meets it: a process, a port, a state folder."""

import hashlib
import json
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from helios_agent.forecasting.experts import PRIORS
from tests.acceptance.conftest import (
    PACKAGED,
    SECRET,
    WHILE_NONE_ARE,
    WHILE_TICKETS_ARE_SOLD,
    Daemon,
    World,
)

NewDaemon = Callable[..., Daemon]
TRAINS: dict[str, Any] = {"DECISIONS__AUTONOMY": {}}


def facts(daemon: Daemon) -> dict[str, Any]:
    """Return what must never change between two boots: draws, scores, decisions, messages."""
    with sqlite3.connect(f"file:{daemon.state / 'helios.db'}?mode=ro", uri=True) as database:
        tables = {
            name: database.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall()  # noqa: S608
            for name in ("draw", "score", "ledger", "model", "epoch")
        }
    database.close()
    return tables


def test_the_first_start_lives_through_the_whole_path(new_daemon: NewDaemon) -> None:
    daemon = new_daemon(**TRAINS).start_at(WHILE_TICKETS_ARE_SOLD)
    daemon.wait_until_idle()
    status = daemon.get("/api/status").json()
    game = status["games"][0]
    assert game["draws"] == len(PACKAGED) == 2000
    assert game["newest_draw"]["day"] == "2026-09-16"
    assert game["assessment"]["verdict"].startswith("No sign that Powerball can be predicted, after 1,408")
    assert {s["forecaster"] for s in game["standings"]} == PRIORS.keys()
    assert game["decision"]["candidates"]
    model = game["models"][0]
    assert model["role"] == "challenger"
    assert f"powerballnet@{model['version']}" in game["next_forecast"]["forecasters"]
    kinds = Counter(event["kind"] for event in daemon.events())
    assert kinds["history.imported"] == 2000
    assert kinds["history.scored"] == 1408
    assert kinds["training.epoch"] == 2
    assert kinds["model.trained"] == 1
    assert daemon.stop() == 0


def test_a_forecast_is_in_the_journal_before_its_draw_and_its_digest_can_be_recomputed(
    new_daemon: NewDaemon,
) -> None:
    daemon = new_daemon().start_at(WHILE_TICKETS_ARE_SOLD)
    daemon.wait_until_idle()
    found = daemon.get("/api/forecasts").json()[0]
    assert found["registered_at"] < found["forecast"]["draw_at"]
    text = json.dumps(found["forecast"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == found["digest"]
    assert sum(found["forecast"]["weights"].values()) == pytest.approx(1, abs=1e-8)
    assert sum(found["white_probabilities"]) == pytest.approx(5, abs=1e-4)


def test_what_is_first_started_when_sales_are_closed_registers_no_forecast_of_that_draw(
    new_daemon: NewDaemon,
) -> None:
    daemon = new_daemon().start_at(WHILE_NONE_ARE)
    daemon.wait_until_idle()
    assert daemon.get("/api/forecasts").json() == []
    status = daemon.get("/api/status").json()["games"][0]
    assert status["next_forecast"] is None
    assert status["assessment"]["verdict"].startswith("No sign that Powerball can be predicted, after 1,408")
    assert {late["payload"]["day"] for late in daemon.events("forecast.refused")} == {"2026-11-25"}
    assert daemon.stop() == 0


def test_a_second_start_copies_nothing(new_daemon: NewDaemon) -> None:
    daemon = new_daemon(**TRAINS).start()
    daemon.wait_until_idle()
    assert daemon.stop() == 0
    before, decided = facts(daemon), len(daemon.events("decision.made"))
    daemon.start()
    daemon.wait_until_idle()
    assert daemon.stop() == 0
    assert facts(daemon) == before
    assert len(daemon.events("decision.made")) == decided
    assert "The journal is sound" in daemon.cli("journal", "verify").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_training_cut_short_is_taken_up_again_and_ends_once(new_daemon: NewDaemon, number: int) -> None:
    long = TRAINS | {"LEARNING__TRAINING__EPOCHS": 400, "LEARNING__TRAINING__PATIENCE": 400}
    daemon = new_daemon(**long).start()
    daemon.wait_for(lambda: daemon.happened("training.epoch"), "a first epoch")
    code = daemon.stop(number)
    assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    again = new_daemon(**TRAINS).start()
    again.wait_for(lambda: again.happened("model.trained"), "the training to end")
    again.wait_until_idle()
    assert again.stop() == 0
    trained = again.events("model.trained")
    assert len(trained) == 1
    job = trained[0]["payload"]["job"]
    done = [e for e in again.events("intent.done") if e["payload"]["id"] == job]
    assert len(done) == 1
    put_back = again.events("intent.released" if number == signal.SIGTERM else "intent.retried")
    assert job in [event["payload"]["id"] for event in put_back]
    assert "The journal is sound" in again.cli("journal", "verify").stdout


def test_a_second_daemon_is_refused_and_told_who_holds_the_state(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()
    assert daemon.process is not None
    refused = daemon.cli("run", check=False)
    assert refused.returncode == 75
    assert f"is held by process {daemon.process.pid}" in refused.stderr


def test_a_taken_port_is_named_and_nothing_is_left_behind(new_daemon: NewDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = new_daemon(HTTP__PORT=port)
        refused = daemon.cli("run", check=False)
    assert refused.returncode == 69
    assert f"127.0.0.1:{port} cannot be bound: Address already in use" in refused.stderr
    assert not (daemon.state / "helios.db").exists()


def test_every_mistake_in_the_configuration_is_told_at_once(new_daemon: NewDaemon, tmp_path: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text("games: {powerball: {}}\nbackup:\n  daily: none\nshutdown:\n  deadline: 5 weeks\n")
    refused = new_daemon(config).cli("run", check=False)
    assert refused.returncode == 78
    assert f"{config}:3: backup.daily: 'none': expected a valid integer" in refused.stderr
    assert f"{config}:5: shutdown.deadline: '5 weeks': a duration is written like" in refused.stderr


def damage(database: Path) -> bytes:
    content = bytearray(database.read_bytes())
    content[8192:12288] = bytes(4096)
    database.write_bytes(content)
    return bytes(content)


def test_a_damaged_database_is_set_aside_and_the_backup_restored(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()
    daemon.wait_until_idle()
    daemon.cli("backup")
    daemon.stop()
    damaged = damage(daemon.state / "helios.db")
    daemon.start()
    daemon.wait_until_idle()
    daemon.stop()
    aside = [p for p in daemon.state.glob("helios.db.corrupt-*") if p.suffix not in ("-wal", "-shm")]
    assert damaged in [path.read_bytes() for path in aside]
    assert "set aside as helios.db.corrupt-" in daemon.events("store.restored")[0]["payload"]["message"]
    assert len(facts(daemon)["draw"]) == 2000


def test_a_damaged_database_without_a_backup_is_left_alone_and_the_start_refused(
    new_daemon: NewDaemon,
) -> None:
    daemon = new_daemon().start()
    daemon.wait_until_idle()
    daemon.stop()
    damaged = damage(daemon.state / "helios.db")
    refused = daemon.cli("run", check=False)
    assert refused.returncode == 65
    assert "There is no sound backup" in refused.stderr
    assert (daemon.state / "helios.db").read_bytes() == damaged


def test_requests_and_commands_act_through_the_running_daemon(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()
    daemon.wait_until_idle()
    answer = httpx.post(f"{daemon.url}/api/train", trust_env=False)
    assert answer.status_code == 202
    job = answer.json()["job_id"]
    daemon.wait_for(lambda: daemon.get(f"/api/train/{job}").json()["state"] == "done", "the training to end")
    shown = daemon.get(answer.headers["location"]).json()
    assert [epoch["epoch"] for epoch in shown["epochs"]] == [1, 2]
    assert shown["result"]["new"] is True
    assert daemon.get("/api/models").json()[0]["version"] == shown["result"]["version"]
    written = json.loads(daemon.cli("backup").stdout)
    assert (daemon.state / "backups" / written["file"]).stat().st_size == written["bytes"]
    asked = daemon.events("action.requested")
    assert [(e["payload"]["action"], e["payload"]["by"]) for e in asked] == [
        ("train", "http"),
        ("backup", "http"),
    ]


def test_without_a_daemon_a_command_does_the_same_by_itself(new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    done = json.loads(daemon.cli("ingest").stdout)
    assert done["new"] == 2000
    trained = json.loads(daemon.cli("train").stdout)
    assert trained["model"] == "powerballnet"
    assert (daemon.state.parent / "models" / "powerballnet" / trained["version"] / "model.json").exists()
    assert "2026-09-16" in daemon.cli("draws").stdout
    assert "draws      2,000" in daemon.cli("status").stdout


def test_bad_requests_are_refused_with_problem_details(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()
    for path, status, word in [
        ("/api/draws?limit=0", 422, "query.limit"),
        ("/api/draws?game=keno", 404, "keno"),
        ("/api/draws?before=yesterday", 422, "yesterday"),
        ("/api/train/nothing", 404, "nothing"),
        ("/api/nothing", 404, "Not Found"),
    ]:
        answer = daemon.get(path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert word in json.dumps(answer.json()["detail"])
    assert daemon.post("/api/train", {"epochs": 3}).status_code == 422
    assert daemon.post("/api/intents", {"action": "fly"}).status_code == 422
    assert daemon.post("/api/train", {}, origin="http://elsewhere.example").status_code == 403
    assert daemon.post("/api/train", {}, host="elsewhere.example").status_code == 421


def test_acting_needs_the_token_where_one_is_configured(new_daemon: NewDaemon, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-the-test\n")
    daemon = new_daemon(HTTP__TOKEN_FILE=str(token)).start()
    daemon.wait_until_idle()
    assert daemon.post("/api/intents", {"action": "backup"}).status_code == 401
    wrong = daemon.post("/api/intents", {"action": "backup"}, authorization="Bearer wrong")
    assert wrong.status_code == 401
    assert daemon.get("/api/status").status_code == 200
    assert json.loads(daemon.cli("backup").stdout)["bytes"] > 0


def test_metrics_carry_what_the_assessment_measured(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()
    daemon.wait_until_idle()
    text = daemon.get("/metrics").text
    evidence = daemon.get("/api/status").json()["games"][0]["assessment"]["signals"]["evidence"]
    assert "helios_ready 1.0" in text
    assert 'helios_draws{game="powerball"} 2000.0' in text
    assert f'helios_signal_evidence{{game="powerball"}} {evidence}' in text


def test_torch_is_never_loaded_into_the_daemon(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()
    daemon.wait_until_idle()
    assert daemon.process is not None
    loaded = Path(f"/proc/{daemon.process.pid}/maps").read_text()
    assert "libtorch" not in loaded
    assert "sqlite" in loaded


def test_webhooks_tell_of_the_events_asked_for_once_and_signed(
    new_daemon: NewDaemon, world: World, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    endpoint = {
        "name": "receiver",
        "url": f"{world.url}/hook",
        "events": ["forecast.registered", "score.*", "decision.made"],
        "secret_file": str(secret),
    }
    daemon = new_daemon(WEBHOOKS__ENDPOINTS=[endpoint]).start()
    daemon.wait_until_idle()
    daemon.wait_for(lambda: daemon.get("/api/status").json()["webhooks"]["pending"] == 0, "every message")
    daemon.stop()
    daemon.start()
    daemon.wait_until_idle()
    daemon.wait_for(lambda: daemon.get("/api/status").json()["webhooks"]["pending"] == 0, "every message")
    daemon.stop()
    expected = [e["seq"] for e in daemon.events("forecast.registered", "score.*", "decision.made")]
    bodies = [Webhook(SECRET).verify(body, headers) for headers, body in world.messages]
    assert sorted(body["seq"] for body in bodies) == expected
    by_seq = {event["seq"]: event for event in daemon.events()}
    assert all(by_seq[body["seq"]]["hash"] == body["hash"] for body in bodies)
    assert len({headers["webhook-id"] for headers, _ in world.messages}) == len(expected)


def test_a_full_disk_is_told_by_health_and_survived(new_daemon: NewDaemon) -> None:
    daemon = new_daemon().start()
    daemon.wait_until_idle()
    assert daemon.process is not None
    # No file of the daemon may grow any more: what a full disk does, without filling one.
    unlimited = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    refused = daemon.post("/api/intents", {"action": "assess"})
    assert refused.status_code == 500
    health = daemon.get("/health")
    assert health.status_code == 503
    assert "The database did not" in health.json()["reasons"][0]
    assert daemon.process.poll() is None
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, unlimited)
    # Nobody asks again: it finds out by itself, at its next pulse.
    daemon.wait_for(lambda: daemon.get("/health").is_success, "the trouble to end")
    assert "The database did not" in daemon.events("store.recovered")[0]["payload"]["after"]
    assert daemon.post("/api/intents", {"action": "assess"}).status_code == 202
    assert daemon.stop() == 0
    assert "The journal is sound" in daemon.cli("journal", "verify").stdout


HANGING_RESOLVER = """
import socket, time
from helios_agent.cli import main
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
main()
"""


def test_the_deadline_holds_even_while_a_thread_waits_for_the_network(new_daemon: NewDaemon) -> None:
    feed = {"name": "slow", "kind": "texas", "url": "http://slow.invalid/powerball.csv"}
    daemon = new_daemon(GAMES={"powerball": {"feeds": [feed]}}, SHUTDOWN__DEADLINE=2)
    daemon.start(("-c", HANGING_RESOLVER))
    daemon.wait_for(lambda: daemon.happened("score.completed"), "the feed to be asked")
    begun = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begun < 10
    assert daemon.events("agent.stopped")[0]["payload"]["reason"] == "a signal to stop"


def test_a_locked_database_is_not_taken_for_a_damaged_one(new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    daemon.cli("ingest")
    daemon.cli("backup")
    before = len(daemon.events())
    with closing(sqlite3.connect(daemon.state / "helios.db")) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        refused = daemon.cli("run", check=False)
    assert refused.returncode == 74
    assert "cannot be read: database is locked" in refused.stderr
    assert list(daemon.state.glob("helios.db.corrupt-*")) == []
    assert len(daemon.events()) == before


def test_while_another_process_locks_the_database_requests_wait_health_says_so_and_a_stop_ends(
    new_daemon: NewDaemon,
) -> None:
    daemon = new_daemon().start()
    daemon.wait_until_idle()
    with closing(sqlite3.connect(daemon.state / "helios.db")) as tool, ThreadPoolExecutor(1) as asking:
        tool.execute("BEGIN IMMEDIATE")
        answer = asking.submit(daemon.post, "/api/intents", {"action": "assess"})
        health = daemon.wait_for(
            lambda: (found := daemon.get("/health")).status_code == 503 and found.json(), "health to say so"
        )
        assert (health["status"], health["alive"]) == ("unhealthy", True)
        assert "Another process has locked the database" in health["reasons"][0]
        tool.rollback()
        assert answer.result().status_code == 202
        daemon.wait_for(lambda: daemon.get("/health").is_success, "the trouble to end")

        tool.execute("BEGIN IMMEDIATE")
        assert daemon.stop() == 0
    assert "the end of this boot is not journaled" in daemon.log.read_text()
    assert "The journal is sound" in daemon.cli("journal", "verify").stdout


def test_a_proxy_that_cannot_be_used_is_named_and_the_process_ends(new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    daemon.environment["HTTPS_PROXY"] = "foo://bar"
    refused = daemon.cli("run", check=False)
    assert refused.returncode == 78
    assert "a proxy setting cannot be used" in refused.stderr


def test_check_config_reads_the_files_that_are_named(new_daemon: NewDaemon, tmp_path: Path) -> None:
    hook = {"name": "a", "url": "http://127.0.0.1/", "events": ["*"], "secret_file": str(tmp_path / "none")}
    daemon = new_daemon(HTTP__TOKEN_FILE=str(tmp_path / "missing"), WEBHOOKS__ENDPOINTS=[hook])
    refused = daemon.cli("check-config", check=False)
    assert refused.returncode == 78
    assert f"{tmp_path / 'missing'}: cannot be read" in refused.stderr
    assert f"{tmp_path / 'none'}: the webhook secret cannot be read" in refused.stderr


def test_a_state_folder_that_cannot_be_is_named(new_daemon: NewDaemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = new_daemon(PATHS__STATE=str(tmp_path / "file" / "state")).cli("run", check=False)
    assert refused.returncode == 74
    assert f"paths.state: {tmp_path / 'file' / 'state'} cannot be used: Not a directory" in refused.stderr


def test_nobody_else_can_read_the_state(new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    daemon.cli("ingest")
    assert (daemon.state / "helios.db").stat().st_mode & 0o077 == 0


def test_health_tells_from_outside_whether_the_daemon_is_ready(new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    assert daemon.cli("health", check=False).returncode == 1
    daemon.start()
    assert json.loads(daemon.cli("health").stdout)["status"] == "ready"
    daemon.stop()
    assert daemon.cli("health", check=False).returncode == 1


def test_a_clone_elsewhere_needs_nothing_of_this_folder(tmp_path: Path) -> None:
    # The package carries its history, its SQL and its pages with it.
    code = (
        "from importlib import resources as r; p = r.files('helios_agent'); "
        "print(all((p / n).is_file() for n in ('lottery/history/powerball.csv', 'journal/projections.sql', "
        "'store/migrations/0001_first_light.sql', 'web/templates/index.html', 'web/static/helios.css')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"
    assert shutil.which("helios", path=str(Path(sys.executable).parent))
