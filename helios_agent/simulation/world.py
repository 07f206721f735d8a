"""What is outside the agent: a lottery machine, two feeds that publish its draws, webhook receivers."""

import asyncio
import base64
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from helios_agent.clock import from_us
from helios_agent.forecasting.history import Matrix
from helios_agent.lottery import calendar
from helios_agent.lottery.games import SIMULATED
from helios_agent.simulation.loop import SimulatedClock
from helios_agent.simulation.machines import Machine

ERA = SIMULATED.eras[-1]
MATRIX = Matrix(ERA.white, ERA.bonus, ERA.pick)
TEXAS_DELAY, NEW_YORK_DELAY = timedelta(hours=2, minutes=30), timedelta(hours=5)
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
FEED_HOSTS = ("texas.test", "newyork.test")
RECEIVER_HOSTS = ("first.test", "second.test")
HANGS_S = 400.0
"""Longer than anybody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a draw drew, white balls in the order drawn."""

    whites: tuple[int, ...]
    bonus: int


@dataclass
class World:
    """A simulated game from `first` on, and how its publishers and our receivers behave just now."""

    seed: str
    clock: SimulatedClock
    first: date
    on_point: Callable[[str], None]
    """Called with "sent" after each exchange over HTTP, before the answer arrives."""
    draws: Mapping[date, Numbers] | None = None
    """What was drawn on each day; None for a fair machine that draws for ever."""
    mood: dict[str, str] = field(default_factory=dict)
    """Host → how it misbehaves: down, refused, hangs, busy, malformed, wrong. Else it works."""
    received: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """Every message that a receiver accepted: host, webhook-id, body."""
    met: Counter[str] = field(default_factory=Counter)
    """How many requests met each mood."""
    lies: set[tuple[str, date]] = field(default_factory=set)
    """The draws, by host and day, whose bonus ball a feed once told wrong."""

    def drawn(self, day: date) -> Numbers:
        """Return what the machine drew on a day."""
        if self.draws is not None:
            return self.draws[day]
        source = random.Random(f"{self.seed}:{day}")  # noqa: S311
        return Numbers(tuple(source.sample(range(1, ERA.white + 1), ERA.pick)), source.randint(1, ERA.bonus))

    def published(self, delay: timedelta) -> list[date]:
        """Return the days whose draws a feed with this delay tells of by now."""
        return calendar.expected_days(SIMULATED, self.first, from_us(self.clock.true_us()) - delay)

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return what carries the agent's requests to this world."""
        return _Transport(self)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request as the host it is sent to does in its present mood."""
        host = request.url.host
        mood = self.mood.get(host)
        if mood:
            self.met[mood] += 1
        await asyncio.sleep(0.05)
        if mood == "refused":
            raise httpx.ConnectError("connection refused", request=request)
        if mood == "hangs":
            await asyncio.sleep(HANGS_S)
        if mood == "down":
            return httpx.Response(503, request=request)
        if mood == "busy":
            return httpx.Response(429, headers={"retry-after": "900"}, request=request)
        if host == FEED_HOSTS[0]:
            return httpx.Response(200, text=self._texas(mood), request=request)
        if host == FEED_HOSTS[1]:
            return httpx.Response(200, json=self._new_york(request, mood), request=request)
        body = await request.aread()
        self.received.append((host, request.headers["webhook-id"], json.loads(body)))
        return httpx.Response(204, request=request)

    def _texas(self, mood: str | None) -> str:
        lines = []
        days = self.published(TEXAS_DELAY)
        for day in days:
            numbers = self._told(FEED_HOSTS[0], day, wrong=mood == "wrong" and day == days[-1])
            balls = ",".join(map(str, (*numbers.whites, numbers.bonus)))
            lines.append(f"{SIMULATED.title},{day.month},{day.day},{day.year},{balls},2")
        if mood == "malformed":
            lines += [f"{SIMULATED.title},13,45,2026,1,2,3,4,5,6,2", "<!-- not a draw at all -->"]
        return "\r\n".join([*lines, ""])

    def _new_york(self, request: httpx.Request, mood: str | None) -> list[dict[str, str]]:
        query = request.url.params
        found = re.search(r"'(\d{4}-\d\d-\d\d)", query.get("$where", "'0000-00-00"))
        since = found[1] if found else "0000-00-00"
        days = [day for day in self.published(NEW_YORK_DELAY) if day.isoformat() >= since]
        offset, limit = int(query.get("$offset", "0")), int(query.get("$limit", "1000"))
        rows = []
        for day in days[offset : offset + limit]:
            numbers = self._told(FEED_HOSTS[1], day, wrong=mood == "wrong" and day == days[-1])
            text = " ".join(f"{ball:02d}" for ball in (*sorted(numbers.whites), numbers.bonus))
            rows.append({"draw_date": f"{day}T00:00:00.000", "winning_numbers": text, "multiplier": "2"})
        if mood == "malformed":
            rows += [{"draw_date": "2026-13-45T00:00:00.000", "winning_numbers": "1 2 3"}, {"draw_date": ""}]
        return rows

    def _told(self, host: str, day: date, *, wrong: bool) -> Numbers:
        """Return a draw as a feed tells it: one that is wrong about its newest draw corrects it later."""
        numbers = self.drawn(day)
        if not wrong:
            return numbers
        self.lies.add((host, day))
        return Numbers(numbers.whites, numbers.bonus % ERA.bonus + 1)


def draws_of(machine: Machine, seed: str, first: date, last: date) -> dict[date, Numbers]:
    """Return what a machine draws on each day of the simulated game from `first` to `last`.

    They are drawn at once, in the order of the days: no day's draw depends on who asks for it when.
    """
    days = calendar.draw_days(SIMULATED, first, last)
    drawn = machine.draw(np.random.default_rng([*seed.encode()]), 1, len(days))
    return {
        day: Numbers(tuple(whites), bonus)
        for day, whites, bonus in zip(days, drawn.whites[0].tolist(), drawn.bonus[0].tolist(), strict=True)
    }


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, world: World) -> None:
        self._world = world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._world.answer(request)
        self._world.on_point("sent")
        return response


def settings(folder: Path, zone: str, schedules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the configuration of an agent in this world, its state under `folder`."""
    secret = folder / "secret"
    if not secret.exists():
        secret.write_text(SECRET)
    small = {"sequence": 8, "hidden": 8, "layers": 1, "heads": 2, "embedding": 4, "dropout": 0.0}
    return {
        "paths": {"state": folder / "state", "models": folder / "models"},
        "games": {
            "simulated": {
                "feeds": [
                    {"name": "texas", "kind": "texas", "url": f"http://{FEED_HOSTS[0]}/draws.csv"},
                    {"name": "new-york", "kind": "socrata", "url": f"http://{FEED_HOSTS[1]}/draws.json"},
                ]
            }
        },
        "learning": {"network": small, "training": {"epochs": 2}},
        "retention": {"age": "30d"},
        "backup": {"daily": 2, "weekly": 1, "monthly": 0},
        "schedules": [{"timezone": zone, **schedule} for schedule in schedules],
        "webhooks": {
            "endpoints": [
                {
                    "name": host.partition(".")[0], "url": f"http://{host}/", "secret_file": secret,
                    "events": [
                        "forecast.*", "draw.*", "history.imported", "alert.*", "model.*", "incident.*"
                    ],
                }
                for host in RECEIVER_HOSTS
            ]
        },
    }  # fmt: skip


def midnight(day: date) -> datetime:
    """Return the beginning of a day in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
