"""What learning costs: the straightforward loop, as most would write it, beside ours, on the same data.

The straightforward side (`Usual`) is the same network from torch's own parts, fed overlapping windows of 50
draws by a DataLoader, 32 a batch, trained by Adam in fp32 on summed cross-entropies. Ours is what a training
job runs. Both compute on one thread, and their costs are CPU seconds of the process. What an epoch costs is a
median over rounds in which the sides take turns. The way to the same gain is gone once, by one seed of each
side, an epoch of one after an epoch of the other: another seed may need more epochs or fewer, and three would
take the straightforward side forty minutes. Refits are timed once. What a user waits for is wall time.
Draws come from a machine whose balls have log-weights of standard deviation 0.4, where nothing else is said.

    python benchmarks/learning.py [SECTION ...]

Without a SECTION, all of them: see `SECTIONS`.
"""

import asyncio
import math
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import daemon
import httpx
import journal
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from helios_agent.actions import backtest, precision
from helios_agent.clock import SystemClock
from helios_agent.config.model import Training, Work
from helios_agent.forecasting import subsets
from helios_agent.journal.journal import Journal
from helios_agent.learning import data, fitting, scoring, walk_forward
from helios_agent.learning.likelihood import bonus_nll, subset_nll, uniform_nats
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.reproducible import reproducible
from helios_agent.learning.specs import NetworkSpec, TrainingSpec
from helios_agent.learning.updating import Current
from helios_agent.registry.card import Matrix
from helios_agent.store import Store
from helios_agent.work.children import ForkServer, request
from helios_agent.work.local import LocalEngine

SIZES = Matrix(white=69, bonus=26, pick=5)
UNIFORM = uniform_nats(69, 5, 26)
LOG_SD = 0.4
HISTORY, TEST, LONG = 1_400, 1_000, 14_000
"""Draws: of today's Powerball, to measure gains on, and ten times as many."""
WINDOW, BATCH, PATIENCE, MOST_EPOCHS = 50, 32, 10, 40
ROUNDS = 3
WARM_UP = 200
"""Draws of a training that only sets things up."""
SAME_GAIN = 0.85
"""Of what one who knows the machine gains."""
WATCHED_EPOCHS = 3
"""After which the training whose memory is measured is stopped, and writes its checkpoint."""
WALKED, CORES = 500, 2
PREDICTIONS = 200
COMMITTING_S = 12.0
"""Longer than trainings wait from one checkpoint to the next, so that each writes one meanwhile."""
REFIT = {"patience": backtest.PATIENCE}
"""What a walk-forward spends less on than a training: epochs after the best."""


@dataclass(frozen=True)
class Figure:
    """A line of the table."""

    what: str
    bar: str
    found: str


def how(**changes: Any) -> TrainingSpec:
    """The default training, in the arithmetic that pays on this machine."""
    return TrainingSpec.model_validate(precision.resolved(Training(**changes)))


def machine(draws: int, log_sd: float = LOG_SD, seed: int = 1) -> tuple[list[list[int]], float]:
    """Rows from a machine that is unfair in its white balls, and what who knows it gains, nats a draw."""
    random = np.random.default_rng(seed)
    theta = random.standard_normal(SIZES.white)
    theta = log_sd * (theta - theta.mean()) / theta.std()
    whites = subsets.sample(theta, SIZES.pick, random, draws)
    bonus = random.integers(1, SIZES.bonus + 1, size=(draws, 1))
    rows: list[list[int]] = np.hstack([whites, bonus]).tolist()
    return rows, float(subsets.divergence(theta, SIZES.pick))


class Usual(nn.Module):
    """The network from torch's own parts; it reads one window and predicts one draw."""

    def __init__(self) -> None:
        super().__init__()
        self.white = nn.Embedding(69, 64)
        self.bonus = nn.Embedding(26, 64)
        self.project = nn.Linear(128, 256)
        self.positions = nn.Parameter(0.02 * torch.randn(WINDOW, 256))
        self.attention = nn.MultiheadAttention(256, 8, dropout=0.2, batch_first=True)
        self.norm = nn.LayerNorm(256)
        self.lstm = nn.LSTM(256, 256, 3, dropout=0.2, bidirectional=True, batch_first=True)
        self.readout = nn.Sequential(nn.Dropout(0.2), nn.Linear(512, 128), nn.ReLU())
        self.heads = nn.ModuleList(nn.Linear(128, size) for size in (69, 26))

    def forward(self, whites: Tensor, bonus: Tensor) -> tuple[Tensor, Tensor]:
        states = self.project(torch.cat([self.white(whites).mean(2), self.bonus(bonus)], -1)) + self.positions
        states = self.norm(states + self.attention(states, states, states, need_weights=False)[0])
        features = self.readout(self.lstm(states)[0][:, -1])
        return self.heads[0](features), self.heads[1](features)


class UsualLoop:
    """The straightforward training of it."""

    def __init__(self, draws: data.Draws, trained: int, seed: int = 1) -> None:
        torch.manual_seed(seed)
        starts = torch.arange(len(draws) - WINDOW)
        window, target = draws[data.stretches(starts, WINDOW)], draws[starts + WINDOW]
        tensors = (window.whites, window.bonus, target.whites, target.bonus)
        split = trained - WINDOW
        self.net = Usual()
        self._train = DataLoader(TensorDataset(*(t[:split] for t in tensors)), BATCH, shuffle=True)
        self._validate = DataLoader(TensorDataset(*(t[split:] for t in tensors)), BATCH)
        self._optimiser = torch.optim.Adam(self.net.parameters(), lr=1e-3)

    def epoch(self) -> float:
        """Train for an epoch; return the validation loss."""
        self.net.train()
        for batch in self._train:
            self._optimiser.zero_grad()
            torch.autograd.backward(self._loss(batch))
            self._optimiser.step()
        self.net.eval()
        with torch.no_grad():
            losses = [float(self._loss(batch)) for batch in self._validate]
        return statistics.fmean(losses)

    def gain(self, draws: data.Draws, first: int) -> float:
        """Return the log-score gain on the draws from `first` on, nats a draw."""
        starts = torch.arange(first - WINDOW, len(draws) - WINDOW)
        nll = []
        self.net.eval()
        with torch.no_grad():
            for some in torch.split(starts, 64):
                window, target = draws[data.stretches(some, WINDOW)], draws[some + WINDOW]
                white, bonus = self.net(window.whites, window.bonus)
                nll.append(subset_nll(white, target.whites) + bonus_nll(bonus, target.bonus))
        return UNIFORM - float(torch.cat(nll).mean())

    def _loss(self, batch: list[Tensor]) -> Tensor:
        white, bonus = self.net(batch[0], batch[1])
        among = torch.zeros_like(white).scatter(1, batch[2], 1.0)
        whites = functional.binary_cross_entropy_with_logits(white, among, reduction="none").sum(1).mean()
        return whites + functional.cross_entropy(bonus, batch[3])


class OurLoop:
    """A training job's fit, an epoch at a time."""

    def __init__(self, draws: data.Draws, seed: int = 1) -> None:
        torch.manual_seed(seed)
        self.net = PowerballNet(NetworkSpec(), SIZES)
        self._fitting = fitting.Fitting(self.net, draws, SIZES, how(), seed)

    def epoch(self) -> None:
        self._fitting.run_epoch(lambda loss: None)

    def gain(self, draws: data.Draws, first: int) -> float:
        drawn = draws[first:]
        return UNIFORM - float(scoring.losses(scoring.say(self.net, draws, first), drawn).mean())


@dataclass
class Way:
    """How far a training has come, and what it has spent on that."""

    side: UsualLoop | OurLoop
    spent_s: float = 0.0
    epochs: int = 0
    gain: float = -math.inf

    def go_on(self, draws: data.Draws) -> None:
        """Train for an epoch; see what it gains on the draws after the history."""
        self.spent_s += cpu_s(self.side.epoch)
        self.epochs += 1
        self.gain = self.side.gain(draws, HISTORY)

    def __str__(self) -> str:
        return f"{self.spent_s:.2f} s, {self.epochs} epochs, gain {self.gain:.3f}"


def cpu_s(work: Callable[[], Any]) -> float:
    """Return the CPU seconds that `work` takes of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def wall_ms(work: Callable[[], Any], times: int) -> float:
    """Return the median of the wall time of `work`, in milliseconds."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(found)


def epochs() -> list[Figure]:
    """Whole epochs, validation included, a trained draw: the sides take turns."""
    draws = data.from_rows(machine(HISTORY)[0])
    trained = HISTORY - how().validated(HISTORY)
    usual, own = UsualLoop(draws, trained), OurLoop(draws)
    theirs, ours = [], []
    UsualLoop(draws[:WARM_UP], WARM_UP - BATCH).epoch()  # what the first step sets up
    own.epoch()
    for _ in range(ROUNDS):
        theirs.append(cpu_s(usual.epoch) / (trained - WINDOW))
        ours.append(statistics.fmean(cpu_s(own.epoch) for _ in range(5)) / (trained - WINDOW))
    factor = statistics.median(one / other for one, other in zip(theirs, ours, strict=True))
    found = f"{factor:.1f}x ({_ms(theirs)} against {_ms(ours)} ms, {how().precision})"
    return [Figure("CPU seconds per trained draw, against the straightforward loop", "20x, aim 30x", found)]


def same_gain() -> list[Figure]:
    """CPU seconds of training, validation included, until the test gain is reached."""
    rows, known = machine(HISTORY + TEST)
    draws, past = data.from_rows(rows), data.from_rows(rows[:HISTORY])
    wanted = SAME_GAIN * known
    usual = Way(UsualLoop(past, HISTORY - how().validated(HISTORY)))
    own = Way(OurLoop(past))
    for _ in range(MOST_EPOCHS):
        for way in (usual, own):
            if way.gain < wanted:
                way.go_on(draws)
    reached = min(usual.gain, own.gain) >= wanted
    factor = f"{usual.spent_s / own.spent_s:.1f}x" if reached else "NOT REACHED"
    found = f"{factor} ({usual} against {own}; {wanted:.3f} wanted)"
    return [Figure("CPU seconds to the same test gain (log-sd 0.4)", "15x, aim 25x", found)]


def updates() -> list[Figure]:
    """A warm update, after a history and one ten times as long, against training anew, theirs and ours."""
    rows = machine(LONG + 60)[0]
    past = data.from_rows(rows[:HISTORY])
    net = _readied(past)
    costs = {}
    for length in (HISTORY, LONG):
        known = data.from_rows(rows[:length])
        current = Current(net, known, SIZES, how(), 1.0, "benchmark")
        current.take(rows[length : length + 1])
        costs[length] = statistics.median(
            cpu_s(partial(current.take, rows[t : t + 1])) for t in range(length + 1, length + 21)
        )
    own = cpu_s(lambda: _fit(past))
    loop = UsualLoop(past, HISTORY - how().validated(HISTORY))
    losses: list[float] = []
    refit = cpu_s(lambda: _until_it_stops(loop, losses))
    update = costs[HISTORY]
    theirs = f"{refit / update:,.0f}x ({1e3 * update:.0f} ms against {refit:.0f} s, {len(losses)} epochs)"
    ours = f"{own / update:,.0f}x ({own:.1f} s)"
    longer = f"{costs[LONG] / update:.2f}x as much at {LONG:,} draws as at {HISTORY:,}"
    return [
        Figure("update after one draw, against a straightforward refit", "1,000x, aim 4,000x", theirs),
        Figure("the same, against our own refit", "", ours),
        Figure("the same after a history ten times as long", "", longer),
    ]


def walk() -> list[Figure]:
    """The last 500 draws of a history of 1,400, forecast by two processes."""
    figures = []
    for log_sd in (0.4, 0.2, 0.1, 0.0):
        rows, known = machine(HISTORY, log_sd)
        spans = [(t, t + 50) for t in range(HISTORY - WALKED, HISTORY, 50)]
        context = get_context("spawn")
        with ProcessPoolExecutor(CORES, context, _be_ready, (context.Barrier(CORES),)) as pool:
            list(pool.map(len, [()] * CORES))  # all have started, and loaded torch
            begun = time.perf_counter()
            done = [*pool.map(_walked, [rows] * len(spans), spans)]
            elapsed = time.perf_counter() - begun
        gain = sum(total for total, _ in done) / WALKED
        cpu = sum(seconds for _, seconds in done)
        found = f"{elapsed:.1f} s ({cpu:.0f} CPU s; gain {gain:+.4f} nats a draw, oracle {known:.4f})"
        name = f"log-sd {log_sd:g}" if log_sd else "fair"
        figures.append(Figure(f"{WALKED}-draw walk-forward, two cores, {name}", "60 s, aim 20 s", found))
    return figures


def likelihood() -> list[Figure]:
    """Forward and backward of the exact likelihood of 5 of 69."""
    figures = []
    for batch, bar, times in ((32, "0.4 ms, aim 0.25", 2_000), (2_000, "6 ms, aim 4.5", 200)):
        logits = torch.randn(batch, SIZES.white, requires_grad=True)
        drawn = torch.rand(batch, SIZES.white).topk(SIZES.pick).indices

        def both(logits: Tensor = logits, drawn: Tensor = drawn) -> None:
            torch.autograd.grad(subset_nll(logits, drawn).mean(), logits)

        wall_ms(both, times // 10)
        found = f"{wall_ms(both, times):.3f} ms"
        figures.append(Figure(f"exact likelihood, forward + backward, batch {batch:,}", bar, found))
    return figures


def memory() -> list[Figure]:
    """Peak resident memory of a child of the fork server that trains, is stopped and writes a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        peak = asyncio.run(_peak_mb(Path(folder)))
    found = f"{peak:.0f} MB"
    what = "peak memory of a training child, with what it shares with the fork server"
    return [Figure(what, "600 MB, aim 450", found)]


async def _peak_mb(folder: Path) -> float:
    checkpoint = folder / "checkpoint"
    spec = _spec(folder / "out", epochs=1_000, patience=1_000) | {"checkpoint": str(checkpoint)}
    settings = Work()
    forks = ForkServer(settings.keep_warm)
    child = await forks.fork("train")
    peak = asyncio.create_task(_highest_mb(child.pid))
    child.say(request("train", spec, memory=settings.memory))
    last: dict[str, Any] = {}
    while message := await child.hear():
        last = message
        if message.get("progress", {}).get("epoch") == WATCHED_EPOCHS:
            child.say({"stop": True})
    await child.end()
    found = await peak
    await forks.close()
    if "stopped" not in last or not checkpoint.exists():
        raise SystemExit(f"The training was not stopped: {last}")
    return found


async def _highest_mb(pid: int | None) -> float:
    """Return the most that a process has held in memory by its end."""
    peak = 0.0
    status = Path(f"/proc/{pid}/status")
    with suppress(OSError):  # it is gone
        while found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):  # noqa: ASYNC240
            peak = int(found[1]) / 1024
            await asyncio.sleep(daemon.POLL_S)
    return peak


def _spec(out: Path, **changes: Any) -> dict[str, Any]:
    """The spec of a training job."""
    return {
        **SIZES.model_dump(),
        "game": "simulated",
        "era": "2000-01-01",
        "draws": machine(HISTORY)[0],
        "last_draw": "2026-01-01",
        "seed": 1,
        "out": str(out),
        "training": how(**changes).model_dump(),
    }


def served() -> list[Figure]:
    """What a user of a real daemon waits for: a prediction, and the first news of a training."""
    first: dict[str, list[float]] = {"cold": [], "warm": []}
    took: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with daemon.running(folder) as agent:  # which takes the packaged draws in
            daemon.until(lambda: daemon.scored(agent) == daemon.REPLAYED)
            _until_idle(agent)
        for _ in range(ROUNDS):
            with daemon.running(folder, LEARNING__TRAINING__EPOCHS="1") as agent, _client(agent) as client:
                for state in first:
                    first[state].append(_first_progress(client))
                    _until_idle(agent)
        with daemon.running(folder) as agent, _client(agent) as client:
            _until_idle(agent)
            for _ in range(1 + PREDICTIONS):
                begun = time.perf_counter()
                client.post("/api/models/powerballnet/predict").raise_for_status()
                took.append(1e3 * (time.perf_counter() - begun))
    low, high = (sorted(took[1:])[PREDICTIONS * part // 100] for part in (50, 90))
    found = f"p50 {low:.1f} ms, p90 {high:.1f} ms (the first, which loads it, {took[0]:,.0f} ms)"
    return [
        Figure("warm forecast, end to end over HTTP", "30 ms, aim 15", found),
        *(
            Figure(f"first training progress after the request, pool {state}", bar, _seconds(first[state]))
            for state, bar in (("warm", "0.3 s"), ("cold", "3 s"))
        ),
    ]


def _client(agent: daemon.Daemon) -> httpx.Client:
    return httpx.Client(base_url=agent.url, timeout=30, trust_env=False)


def _first_progress(client: httpx.Client) -> float:
    """Return the seconds from the request for a training to the news of its first step."""
    begun = time.perf_counter()
    job = client.post("/api/train").raise_for_status().json()["job_id"]
    while True:
        told = client.get("/api/journal?limit=1&kind=training.started").json()
        if told and told[0]["payload"]["job"] == job:
            return time.perf_counter() - begun
        time.sleep(daemon.POLL_S)


def _until_idle(agent: daemon.Daemon) -> None:
    daemon.until(lambda: not agent.ask("/api/status")["under_way"])


def commits() -> list[Figure]:
    """Commits of one event each, by a process whose engine trains on every core, or does nothing.

    Each training writes at least one checkpoint meanwhile, to the disk that the commits go to.
    """
    journal.DISK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=journal.DISK, prefix="benchmark-") as folder:
        idle, busy = asyncio.run(_commits(Path(folder)))
    share = statistics.median(busy) / statistics.median(idle)
    found = f"{share:.2f} ({statistics.median(busy):,.0f} against {statistics.median(idle):,.0f} a second)"
    return [Figure("journal commits while training on both cores, against idle", "0.5, aim 0.8", found)]


async def _commits(folder: Path) -> tuple[list[float], list[float]]:
    """Return the commits a second of each round, idle and while two networks are trained."""
    store = await Store.open(folder / "helios.db")
    book = Journal(store, SystemClock(), journal.BOOT)
    settings = Work(workers=CORES)
    forks = ForkServer(settings.keep_warm)
    engine = LocalEngine(settings, forks)
    idle, busy = [], []

    async def rate() -> float:
        count, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < COMMITTING_S:
            await book.append(journal.KIND, journal.payload(1, count))
            count += 1
        return count / COMMITTING_S

    for number in range(ROUNDS):
        idle.append(await rate())
        begun = [asyncio.Event() for _ in range(CORES)]

        async def told(progress: Any, event: asyncio.Event) -> None:
            event.set()

        jobs = []
        for core, event in enumerate(begun):
            place = folder / f"{number}-{core}"
            spec = _spec(place / "out", epochs=1_000, patience=1_000) | {
                "checkpoint": str(place / "checkpoint")
            }
            training = engine.run("train", spec, partial(told, event=event), time_limit_s=600)
            jobs.append(asyncio.create_task(training))
        await asyncio.gather(*(event.wait() for event in begun))
        busy.append(await rate())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
    await engine.close()
    await forks.close()
    await store.close()
    return idle, busy


SECTIONS: dict[str, Callable[[], list[Figure]]] = {
    "epochs": epochs,
    "same-gain": same_gain,
    "updates": updates,
    "walk": walk,
    "likelihood": likelihood,
    "memory": memory,
    "served": served,
    "commits": commits,
}


def _fit(past: data.Draws, **changes: Any) -> PowerballNet:
    with reproducible(1, threads=1):
        net = PowerballNet(NetworkSpec(), SIZES)
        fitting.fit(net, past, SIZES, how(**changes), 1, lambda progress: None)
    return net


def _readied(past: data.Draws) -> PowerballNet:
    """A network that has learnt something, so that updates have something to lose."""
    return _fit(past, epochs=4)


def _until_it_stops(loop: UsualLoop, losses: list[float]) -> None:
    """Train as most would: until the validation loss has not fallen for ten epochs."""
    while len(losses) < MOST_EPOCHS and min(losses, default=0.0) in [0.0, *losses[-PATIENCE:]]:
        losses.append(loop.epoch())


def _be_ready(all_started: Barrier) -> None:
    """Begin as a process of the pool, and take no work before the others have begun."""
    torch.set_num_threads(1)
    all_started.wait()


def _walked(rows: list[list[int]], span: tuple[int, int]) -> tuple[float, float]:
    """Return the summed gain of the forecasts of a span, nats, and the CPU seconds they took."""
    begun = time.process_time()
    made = walk_forward.walk(rows, SIZES, *span, NetworkSpec(), how(**REFIT), 1)
    gain = sum(forecast.gain(rows[t][:-1], rows[t][-1]) for t, forecast in made)
    return gain, time.process_time() - begun


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def _ms(seconds: list[float]) -> str:
    return f"{1e3 * statistics.median(seconds):.2f}"


def main() -> None:
    wanted = sys.argv[1:] or [*SECTIONS]
    unknown = set(wanted) - SECTIONS.keys()
    if unknown:
        raise SystemExit(f"SECTION is {', '.join(unknown)}; expected some of: {', '.join(SECTIONS)}")
    torch.set_num_threads(1)
    figures = []
    for name in wanted:
        found = SECTIONS[name]()
        for figure in found:  # as they come, for some take minutes
            print(f"{figure.what}: {figure.found}", file=sys.stderr, flush=True)
        figures += found
    width = max(len(figure.what) for figure in figures)
    for figure in figures:
        print(f"{figure.what:<{width}}  {figure.bar:<18}  {figure.found}")


if __name__ == "__main__":
    main()
