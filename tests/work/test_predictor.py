"""Predictors: real processes that answer, die, hang, make room for each other, and come back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from helios_agent.errors import JobFailed, JobTooLong, NotFound
from helios_agent.learning import forecasting
from helios_agent.learning.specs import NetworkSpec
from helios_agent.registry.card import Matrix
from helios_agent.work import predictor
from helios_agent.work.predictor import Predictors
from tests.work import networks
from tests.work.conftest import MATRIX, TINY, Works, rows, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

DRAWS = rows(40)


def write(folder: Path, seed: int = 1) -> str:
    return networks.write(folder, NetworkSpec(**TINY), Matrix(**MATRIX), len(DRAWS), seed)  # type: ignore[arg-type]


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, Path, str]:
    version = write(tmp_path / "model")
    return f"powerballnet@{version}", tmp_path / "model", version


@pytest.fixture
def others(tmp_path: Path) -> list[tuple[str, Path, str]]:
    made = []
    for seed in (2, 3):
        version = write(tmp_path / str(seed), seed)
        made.append((f"powerballnet@{version}", tmp_path / str(seed), version))
    return made


@pytest_asyncio.fixture(loop_scope="module")
async def predictors(works: Works) -> AsyncIterator[Predictors]:
    """Predictors with room for two."""
    made = Predictors(works.settings, works.forks)
    yield made
    await made.close()
    assert works.children() == []


def states(predictors: Predictors) -> list[tuple[str, str]]:
    return [(standing.forecaster, standing.state) for standing in predictors.standings()]


async def test_a_predictor_says_what_the_forecast_job_says_of_whatever_draws_it_is_given(
    predictors: Predictors, model: tuple[str, Path, str]
) -> None:
    name, artefact, version = model
    for draws in (DRAWS, DRAWS, DRAWS[:-1], DRAWS):
        spec = {"artefact": str(artefact), "version": version, "draws": draws}
        assert await predictors.predict(*model, draws) == forecasting.run(spec, print)
    (standing,) = predictors.standings()

    assert (standing.forecaster, standing.state, standing.answers) == (name, "ready", 4)
    assert standing.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, standing.pid) == os.getpriority(os.PRIO_PROCESS, 0)


async def test_a_predictor_that_is_killed_is_told_of_and_comes_back_at_the_next_question(
    predictors: Predictors, model: tuple[str, Path, str]
) -> None:
    before = await predictors.predict(*model, DRAWS)
    pid = predictors.standings()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: predictors.standings()[0].state == "lost")
    (lost,) = predictors.standings()
    assert lost.reason == "its process was killed by signal 9; the next question begins a new one"
    assert await predictors.predict(*model, DRAWS) == before
    (back,) = predictors.standings()
    assert (back.state, back.pid == pid) == ("ready", False)


async def test_a_question_whose_predictor_is_killed_is_answered_by_a_new_one(
    works: Works, predictors: Predictors, model: tuple[str, Path, str]
) -> None:
    before = await predictors.predict(*model, DRAWS)
    for victim in (predictors.standings()[0].pid, works.forks.pid):
        assert victim is not None
        asked = asyncio.create_task(predictors.predict(*model, [*DRAWS]))
        await asyncio.sleep(0)
        os.kill(victim, signal.SIGKILL)
        assert await asked == before


async def test_a_predictor_that_hangs_is_given_up_and_the_next_question_begins_a_new_one(
    works: Works, predictors: Predictors, model: tuple[str, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await predictors.predict(*model, DRAWS)
    pid = predictors.standings()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with monkeypatch.context() as shorter:
        shorter.setattr(predictor, "ANSWER_LIMIT_S", 0.0)
        with pytest.raises(JobTooLong, match="did not answer within 0 s"):
            await predictors.predict(*model, DRAWS)
    assert (predictors.standings(), works.children()) == ([], [])
    assert await predictors.predict(*model, DRAWS) == before


async def test_draws_that_a_predictor_is_yet_to_take_in_get_the_time_of_a_load(
    predictors: Predictors, model: tuple[str, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as 50 steps of training may go before the answer."""
    monkeypatch.setattr(predictor, "ANSWER_LIMIT_S", 0.0)
    for draws in (DRAWS, DRAWS[:-1]):
        assert (await predictors.predict(*model, draws)).keys() >= {"white"}
    with pytest.raises(JobTooLong, match="did not answer within 0 s"):
        await predictors.predict(*model, draws)


async def test_a_predictor_that_cannot_be_forked_is_given_up(
    works: Works, predictors: Predictors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JobFailed, match="nowhere"):  # the server is there from then on
        await predictors.load("powerballnet@none", tmp_path / "nowhere", "none")
    server = works.forks.pid
    assert server is not None
    monkeypatch.setattr(predictor, "LOAD_LIMIT_S", 0.1)
    os.kill(server, signal.SIGSTOP)
    asyncio.get_running_loop().call_later(0.3, os.kill, server, signal.SIGCONT)
    with pytest.raises(JobTooLong, match=r"did not answer within 0\.1 s"):
        await predictors.load("powerballnet@none", tmp_path / "nowhere", "none")
    assert (predictors.standings(), works.children()) == ([], [])


async def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next(
    predictors: Predictors, model: tuple[str, Path, str]
) -> None:
    right = await predictors.predict(*model, DRAWS)
    asked = asyncio.create_task(predictors.predict(*model, DRAWS[:-3]))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)

    assert states(predictors) == []  # its process is gone, and with it what would say so
    assert await predictors.predict(*model, DRAWS) == right


async def test_a_question_that_nobody_waits_for_any_more_takes_nothing_from_the_one_behind_it(
    predictors: Predictors, model: tuple[str, Path, str]
) -> None:
    right = await predictors.predict(*model, DRAWS)
    asked = [asyncio.create_task(predictors.predict(*model, draws)) for draws in (DRAWS[:-3], DRAWS)]
    await asyncio.sleep(0)
    asked[0].cancel()
    await asyncio.gather(asked[0], return_exceptions=True)
    assert states(predictors) == [(model[0], "loading")]

    assert await asked[1] == right
    assert states(predictors) == [(model[0], "ready")]


async def test_draws_that_do_not_suit_the_network_are_refused_and_the_next_question_is_answered(
    predictors: Predictors, model: tuple[str, Path, str]
) -> None:
    right = await predictors.predict(*model, DRAWS)
    with pytest.raises(JobFailed, match="draws holds 3"):
        await predictors.predict(*model, DRAWS[:3])
    with pytest.raises(JobFailed, match=r"draws\[40\] is \[1, 2, 3, 9\]; expected"):
        await predictors.predict(*model, [*DRAWS, [1, 2, 3, 9]])

    assert await predictors.predict(*model, DRAWS) == right
    assert predictors.standings()[0].answers == 2


async def test_an_artefact_that_is_damaged_is_not_loaded(
    predictors: Predictors, model: tuple[str, Path, str]
) -> None:
    weights = model[1] / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x55")
    for ask in (predictors.load(*model), predictors.predict(*model, DRAWS)):
        with pytest.raises(JobFailed, match=f"{model[0]}: .*weights.safetensors: SHA-256 is"):
            await ask
        assert states(predictors) == []


async def test_the_longest_unused_makes_room(
    works: Works,
    predictors: Predictors,
    model: tuple[str, Path, str],
    others: list[tuple[str, Path, str]],
) -> None:
    await predictors.load(*model)
    await predictors.load(*others[0])
    await predictors.predict(*model, DRAWS)
    waiting = asyncio.create_task(predictors.predict(*others[0], DRAWS))  # now the first one is the eldest …
    await asyncio.sleep(0)
    await predictors.load(*others[1])
    assert states(predictors) == [(others[1][0], "ready"), (others[0][0], "ready")]
    assert (await waiting).keys() >= {"white"}
    assert len(works.children()) == 2
    await predictors.unload(others[0][0])
    assert states(predictors) == [(others[1][0], "ready")]
    with pytest.raises(NotFound, match="is not loaded"):
        await predictors.unload(others[0][0])
    await predictors.predict(*others[0], DRAWS)  # … and who was let go comes back when asked


async def test_a_predictor_keeps_none_once_it_was_let_go(
    works: Works, predictors: Predictors, model: tuple[str, Path, str]
) -> None:
    asked = asyncio.create_task(predictors.predict(*model, DRAWS))
    await asyncio.sleep(0)
    await predictors.unload(model[0])
    await asked

    assert (predictors.standings(), works.children()) == ([], [])
