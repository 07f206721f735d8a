"""What must hold once trainings have ended among whom much was killed: see `training_kills`."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from helios_agent.actions import train, versions
from helios_agent.config import Config
from helios_agent.errors import ArtefactInvalid, HeliosError
from helios_agent.journal import rebuild
from helios_agent.journal.intents import Intent
from helios_agent.registry import folders
from helios_agent.registry.names import Ref
from helios_agent.simulation import invariants
from helios_agent.simulation.told import Told, journal

REASONS = (
    "The worker process was killed by signal 9 before it had a result",
    "The worker process was lost with the process that had forked it",
    "The fork server ended before it had forked a child",
    "the daemon ended while this was running",
)


def wrong(config: Config, connection: sqlite3.Connection) -> list[str]:
    """Return what does not hold once all trainings have ended, in words."""
    events = journal(config, connection)
    return [
        *invariants.intents(events),
        *_trained(events, connection),
        *_pairs(config, connection),
        *_folders(config, connection),
        *_tables(config),
    ]


def _trained(events: Sequence[Told], connection: sqlite3.Connection) -> Iterator[str]:
    """Every training is done, with one model at most, or dead after its last attempt, each for a reason."""
    made = Counter(event.payload["job"] for event in events if event.kind == "model.trained")
    lost: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.kind in ("intent.retried", "intent.dead"):
            lost[event.payload["id"]].append(event.payload["error"])
    for row in connection.execute("SELECT * FROM intent WHERE action = 'train'"):
        job = Intent.from_row(row)
        if job.state not in ("done", "dead"):
            yield f"training {job.id} is {job.state} at last: {job.error}"
        is_new = job.state == "done" and job.result is not None and job.result["new"]
        if made[job.id] != is_new:
            yield f"training {job.id} is {job.state}, and model.trained is told {made[job.id]} times"
        if (len(lost[job.id]) == job.max_attempt) != (job.state == "dead"):
            yield f"training {job.id} is {job.state} after having been lost {len(lost[job.id])} times"
        yield from (
            f"training {job.id} was lost, it is said, because {reason}"
            for reason in lost[job.id]
            if not reason.startswith(REASONS)
        )


def _pairs(config: Config, connection: sqlite3.Connection) -> Iterator[str]:
    """Trainings with the same seed have told of the same epochs and ended with the same version."""
    jobs = connection.execute("SELECT * FROM intent WHERE action = 'train' ORDER BY seq").fetchall()
    losses: dict[int, list[float]] = {}
    results: dict[int, str] = {}
    for number, job in enumerate(map(Intent.from_row, jobs)):
        epochs = connection.execute("SELECT epoch, loss FROM epoch WHERE job = ? ORDER BY epoch", (job.id,))
        told = [(row["epoch"], row["loss"]) for row in epochs]
        if [epoch for epoch, _ in told] != list(range(1, len(told) + 1)):
            yield f"training {job.id} has the epochs {[epoch for epoch, _ in told]}"
        known = losses.setdefault(number // 2, [])
        both = min(len(known), len(told))
        if [loss for _, loss in told][:both] != known[:both]:
            yield f"training {job.id} has other losses than the one with the same seed"
        known += [loss for _, loss in told][both:]
        if job.result is not None:
            if len(told) != config.learning.training.epochs:
                yield f"training {job.id} is done with {len(told)} epochs"
            version = job.result["version"]
            if results.setdefault(number // 2, version) != version:
                yield f"training {job.id} has another version than the one with the same seed"
    if len(set(results.values())) != len(results):
        yield "trainings with different seeds have the same version"


def _folders(config: Config, connection: sqlite3.Connection) -> Iterator[str]:
    """Every model is whole, every other version is told of, and nothing is kept for a training that ended."""
    found = {str(ref) for ref in folders.found(config.paths.models)}
    for row in connection.execute("SELECT name, version FROM model"):
        ref = Ref(row["name"], row["version"])
        found.discard(str(ref))
        try:
            folders.verify(folders.place(config.paths.models, ref), ref.version)
        except ArtefactInvalid as error:
            yield str(error)
    incident = connection.execute(
        "SELECT message FROM incident WHERE key = ? AND closed_us IS NULL", (versions.ORPHANS,)
    ).fetchone()
    yield from (
        f"nobody tells of {ref}" for ref in found if incident is None or ref not in incident["message"]
    )
    staging = config.paths.models / train.STAGING
    yield from (f"{left} is left" for left in (staging.iterdir() if staging.exists() else ()))


def _tables(config: Config) -> Iterator[str]:
    try:
        rebuild.check(config.database, config.archives)
    except HeliosError as error:
        yield str(error)
