"""A backtest of which nothing is said walks what forecasts now over the latest draws."""

import json

from helios_agent.actions import backtest, runner
from helios_agent.agent import Agent
from helios_agent.config import Config
from helios_agent.journal import backtests, draws, intents
from helios_agent.lottery.games import MEGAMILLIONS, POWERBALL
from helios_agent.web import backtests_api
from tests.actions.conftest import claimed, done, settings, tell, told

DRAWS, GAME = 20, "megamillions"


async def test_without_args_it_is_of_the_latest_draws_by_whoever_forecasts(informed: Agent) -> None:
    """Of Mega Millions, whose rules are new: there are few draws to walk."""
    await informed.journal.record(lambda tx: tell(tx, MEGAMILLIONS, "2025-04-08"))
    latest(informed, DRAWS)
    days = [one.draw.day.isoformat() for one in await draws.newest(informed.store, GAME, DRAWS)]
    alone = await backtest.usual(informed.store, informed.config, MEGAMILLIONS)
    assert (alone["from"], alone["to"]) == (days[-1], days[0])
    assert tuple(alone["forecasters"]) == backtest.EXPERTS_AND_MIXTURE

    await done(informed, "train", GAME)
    asked = await informed.request("backtest", GAME, {}, by="test")
    waiting = backtests_api.record(asked, None)
    assert (waiting["game"], waiting["from"], waiting["forecasters"]) == (GAME, None, None)
    await runner.carry_out(informed.context(), await claimed(informed, "backtest"))
    walked = await intents.find(informed.store, asked.id)
    known = await backtests.find(informed.store, walked.id)

    assert (walked.state, walked.error) == ("done", None)
    assert known is not None
    assert (known.first, known.last, known.done) == (days[-1], days[0], 2 * DRAWS)
    assert tuple(known.forecasters) == (*backtest.EXPERTS_AND_MIXTURE, *backtest.NETWORKS)
    assert await backtests.newest(informed.store, GAME, 10) == [walked.id]
    assert backtests_api.record(walked, known)["from"] == days[-1]


def latest(agent: Agent, count: int) -> None:
    """Have a backtest be of so many draws from now on."""
    folder = agent.config.paths.state.parent
    changed = settings(folder) | {"decisions": {"backtest_after_draws": count}}
    agent.config = Config.model_validate(changed)


async def test_a_network_that_cannot_be_walked_is_left_out(informed: Agent) -> None:
    await done(informed, "train")
    latest(informed, 100_000)
    asked = await backtest.usual(informed.store, informed.config, POWERBALL)

    assert tuple(asked["forecasters"]) == backtest.EXPERTS_AND_MIXTURE
    assert asked["from"] == "2015-10-07"


async def test_without_draws_it_is_refused(informed: Agent) -> None:
    intent = await done(informed, "backtest", "simulated")

    assert (intent.state, intent.error) == (
        "failed",
        "There are no draws of Simulated lottery to walk through.",
    )


async def test_its_network_is_trained_at_the_learning_rate_that_was_arrived_at(informed: Agent) -> None:
    target, args = await backtest.plan(
        informed.store, informed.config, POWERBALL,
        first="2026-06-01", forecasters=backtest.NETWORKS, refit_every=1000,
    )  # fmt: skip
    configured = informed.config.learning.training.learning_rate
    await done(informed, "adjust", "powerball/learning_rate", factor=0.25, reason="it diverged")
    await done(informed, "backtest", target, **args)
    (completed,) = await told(informed, "backtest.completed")
    made = json.loads((informed.config.backtests / completed["report"]).read_text("utf-8"))

    assert made["networks"]["powerballnet"]["training"]["learning_rate"] == configured / 4
