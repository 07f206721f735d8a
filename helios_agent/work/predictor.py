"""Predictors: trained networks kept ready, each in a child process that answers in milliseconds.

One that has died is forked again at the next question. Of more than `work.predictors` the one longest unused
is unloaded, and so is one that ceases to forecast, or of which an answer is waited for no longer.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helios_agent.config.model import Work
from helios_agent.errors import JobFailed, JobTooLong, NotFound, WorkerLost
from helios_agent.journal import models
from helios_agent.journal.journal import Journal
from helios_agent.work.children import Child, ForkServer, ending, request

LOAD_LIMIT_S = 60.0
"""To load a network, or to answer about draws that it has to take in first: up to `updating.LIMIT` steps."""
ANSWER_LIMIT_S = 10.0
"""To answer about the same draws as before."""

Rows = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a loaded network is doing: `ready`, `loading`, or `lost` with the reason."""

    forecaster: str
    state: str
    pid: int | None
    answers: int
    reason: str | None


class Predictor:
    """One network in a child process. Questions are answered one at a time."""

    def __init__(
        self, forecaster: str, artefact: Path, version: str, settings: Work, forks: ForkServer
    ) -> None:
        self._forecaster = forecaster
        self._spec = {"artefact": str(artefact), "version": version}
        self._settings = settings
        self._forks = forks
        self._child: Child | None = None
        self._told: Rows | None = None
        """The draws of which the child has answered last."""
        self._answers = 0
        self._closed = False
        self.users = 0
        """How many are about to ask or wait for an answer."""
        self._one_at_a_time = asyncio.Lock()

    @property
    def has_child(self) -> bool:
        return self._child is not None

    @property
    def standing(self) -> Standing:
        child, reason = self._child, None
        state = "loading" if child is None else "ready"
        if child is not None and child.ended.done():
            state = "lost"
            reason = f"its process {ending(child.ended.result())}; the next question begins a new one"
        pid = child.pid if child is not None and state == "ready" else None
        return Standing(self._forecaster, state, pid, self._answers, reason)

    async def load(self) -> None:
        """Be ready to answer. Raises JobFailed where the artefact cannot be used, or as `predict` does."""
        async with self._one_at_a_time:
            try:
                await self._ready()
            finally:
                await self._drop_if_closed()

    async def predict(self, rows: Rows) -> dict[str, Any]:
        """Return the network's forecast of the draw after `rows`: see `learning.predictor`.

        Raises JobFailed where there is none, JobTooLong where it takes too long, and WorkerLost where every
        child that was asked died.
        """
        async with self._one_at_a_time:
            try:
                return await self._ask(rows)
            except JobTooLong:  # a new child would take as long
                raise
            except WorkerLost:  # whatever befell that child, a new one may answer
                return await self._ask(rows)
            finally:
                await self._drop_if_closed()

    async def close(self) -> None:
        """Let go of the child, once it has answered, and keep none from then on."""
        self._closed = True
        async with self._one_at_a_time:
            await self._drop()

    async def _ready(self) -> Child:
        if self._child is not None and not self._child.ended.done():
            return self._child
        await self._drop()
        child: Child | None = None
        try:
            async with self._within(LOAD_LIMIT_S):
                child = await self._forks.fork("predictor")
                child.say(request("predictor", self._spec, memory=self._settings.memory))
                message = await self._hear(child)
            if "error" in message:
                raise JobFailed(f"{self._forecaster}: {message['error']}")
        except BaseException:
            if child is not None:
                await child.end()
            raise
        self._child, self._told = child, None
        return child

    async def _ask(self, rows: Rows) -> dict[str, Any]:
        child = await self._ready()
        told, self._told = self._told, None
        child.say({} if rows is told else {"rows": rows})
        try:
            async with self._within(ANSWER_LIMIT_S if rows is told else LOAD_LIMIT_S):
                message = await self._hear(child)
        except BaseException:  # an answer that still comes would be taken for that of the next question
            await self._drop()
            raise
        if "error" in message:
            raise JobFailed(f"{self._forecaster}: {message['error']}")
        self._told = rows
        self._answers += 1
        answer: dict[str, Any] = message["answer"]
        return answer

    async def _hear(self, child: Child) -> dict[str, Any]:
        message = await child.hear()
        if message is None:
            raise await child.epitaph(self._settings.memory)
        return message

    @asynccontextmanager
    async def _within(self, limit_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError:
            raise JobTooLong(f"{self._forecaster} did not answer within {limit_s:g} s.") from None

    async def _drop_if_closed(self) -> None:
        if self._closed:
            await self._drop()

    async def _drop(self) -> None:
        child, self._child, self._told = self._child, None, None
        if child is not None:
            await child.end()


class Predictors:
    """The networks that are kept ready, by the name under which they forecast; the last used comes last."""

    def __init__(self, settings: Work, forks: ForkServer) -> None:
        self._settings = settings
        self._forks = forks
        self._loaded: dict[str, Predictor] = {}

    async def load(self, forecaster: str, artefact: Path, version: str) -> Standing:
        """Keep a network ready. Raises JobFailed where it cannot be used."""
        async with self._taken(forecaster, artefact, version) as predictor:
            await predictor.load()
            return predictor.standing

    async def predict(self, forecaster: str, artefact: Path, version: str, rows: Rows) -> dict[str, Any]:
        """Return a network's forecast of the draw after `rows`, loading it first where it is not ready.

        `rows` that are the same object as at the last question are not sent again. Raises JobFailed where it
        has no forecast.
        """
        async with self._taken(forecaster, artefact, version) as predictor:
            return await predictor.predict(rows)

    async def unload(self, forecaster: str) -> None:
        """Let a network go. Raises NotFound where it is not loaded."""
        if forecaster not in self._loaded:
            raise NotFound(f"{forecaster} is not loaded")
        await self._forget(forecaster, self._loaded[forecaster])

    async def unload_retired(self, journal: Journal) -> None:
        """Let networks go as they cease to forecast, and those that are deleted.

        One that is loaded after it has ceased to forecast stays: it is wanted so.
        """
        with journal.listening() as news:
            roles = await models.roles(journal.store)
            while True:
                await news.wait()
                news.clear()
                before, roles = roles, await models.roles(journal.store)
                for forecaster, predictor in list(self._loaded.items()):
                    was, role = before.get(forecaster), roles.get(forecaster)
                    if role == "deleted" or (was in models.ACTIVE and role not in models.ACTIVE):
                        await self._forget(forecaster, predictor)

    def standings(self) -> list[Standing]:
        """Return how those that are loaded are doing, the last used first."""
        return [predictor.standing for predictor in reversed(self._loaded.values())]

    async def close(self) -> None:
        """Let all of them go. Safe to call twice."""
        for forecaster, predictor in list(self._loaded.items()):
            await self._forget(forecaster, predictor)

    @asynccontextmanager
    async def _taken(self, forecaster: str, artefact: Path, version: str) -> AsyncIterator[Predictor]:
        """Use a predictor, which is kept from then on, unless it has no child in the end."""
        taken = self._loaded.pop(forecaster, None) or Predictor(
            forecaster, artefact, version, self._settings, self._forks
        )
        self._loaded[forecaster] = taken
        taken.users += 1
        try:
            while len(self._loaded) > self._settings.predictors:
                eldest = next(iter(self._loaded))
                await self._forget(eldest, self._loaded[eldest])
            yield taken
        finally:
            taken.users -= 1
            if not taken.users and not taken.has_child:
                await self._forget(forecaster, taken)

    async def _forget(self, forecaster: str, predictor: Predictor) -> None:
        if self._loaded.get(forecaster) is predictor:
            del self._loaded[forecaster]
        await predictor.close()
