import json
import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_agent.forecasting import ledger as ledgers
from helios_agent.forecasting import mixture
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.mixture import SWITCHING, Standing

N, B, K = 6, 3, 2
DRAWS = [(list(s), b) for s in combinations(range(1, N + 1), K) for b in range(1, B + 1)]
FAIR = Forecast.uniform(N, B, K)
PRIORS = {"uniform": 0.5, "a": 0.125, "b": 0.125, SWITCHING: 0.125}


def random_forecast(rng: np.random.Generator, spread: float) -> Forecast:
    return Forecast(rng.normal(0.0, spread, N), rng.normal(0.0, spread, B), K).rounded()


def scored(
    ledger: Ledger, forecasts: dict[str, Forecast], whites: list[int], bonus: int
) -> tuple[Ledger, ledgers.Scored]:
    return ledgers.score(ledger, {name: made.gain(whites, bonus) for name, made in forecasts.items()})


def a_life(seed: int, draws: int, spread: float) -> tuple[Ledger, list[ledgers.Scored]]:
    """Live through draws at random: forecasts of any quality, absences, and models that join."""
    rng = np.random.default_rng(seed)
    ledger = Ledger.start(PRIORS)
    newcomers = 0
    story = []
    for _ in range(draws):
        if rng.random() < 0.2:
            newcomers += 1
            ledger = ledgers.join(ledger, f"model-{newcomers}", mixture.newcomer_prior(newcomers))
        present = [
            name for name in ledger.standings if name not in ("uniform", SWITCHING) and rng.random() < 0.8
        ]
        forecasts = {"uniform": FAIR} | {name: random_forecast(rng, spread) for name in present}
        ledger, told = scored(ledger, forecasts, *DRAWS[rng.integers(len(DRAWS))])
        story.append(told)
    return ledger, story


def test_one_draw_moves_the_account_by_what_was_gained() -> None:
    likes_one = Forecast(np.array([math.log(3.0), 0, 0, 0, 0, 0]), np.zeros(B), K)
    start = Ledger.start({"uniform": 0.5, "tilt": 0.25})
    ledger, told = scored(start, {"uniform": FAIR, "tilt": likes_one}, [1, 4], 2)
    gain = math.log(3.0) - math.log(1 + (K / N) * 2)  # r / (1 + (k/N)(r-1)) with r = 3
    assert told.gains == {"uniform": 0.0, "tilt": pytest.approx(gain, abs=1e-9)}
    assert told.weights == {"uniform": 0.5, "tilt": 0.25, "reserve": 0.25}
    assert told.mixture_gain == pytest.approx(math.log(0.75 + 0.25 * math.exp(gain)), abs=1e-9)
    assert ledger.standings["tilt"] == Standing(0.25, told.gains["tilt"])
    assert (ledger.mixture_nats, ledger.peak_nats, ledger.draws) == (told.mixture_gain,) * 2 + (1,)


def test_the_peak_remembers_the_best_moment() -> None:
    likes_one = Forecast(np.array([2.0, 0, 0, 0, 0, 0]), np.zeros(B), K)
    ledger = Ledger.start({"uniform": 0.5, "tilt": 0.25})
    ledger, lost = scored(ledger, {"tilt": likes_one}, [5, 6], 1)
    assert lost.mixture_gain < 0.0
    assert ledger.peak_nats == 0.0
    for _ in range(3):
        ledger, _ = scored(ledger, {"tilt": likes_one}, [1, 6], 1)
    best = ledger.mixture_nats
    ledger, _ = scored(ledger, {"tilt": likes_one}, [2, 3], 1)
    assert ledger.mixture_nats < best == ledger.peak_nats


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 40), st.floats(0.0, 10.0))
def test_the_mixture_never_loses_more_than_ln_2(seed: int, draws: int, spread: float) -> None:
    ledger, story = a_life(seed, draws, spread)
    cumulative = np.cumsum([told.mixture_gain for told in story])
    assert cumulative.min() >= -math.log(2.0)
    assert ledger.mixture_nats == pytest.approx(cumulative[-1], abs=1e-9)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 40), st.floats(0.0, 3.0))
def test_cumulative_gain_is_the_log_of_prior_times_wealth(seed: int, draws: int, spread: float) -> None:
    ledger, story = a_life(seed, draws, spread)
    rows = ledger.standings.values()
    left = 1.0 - math.fsum(row.prior for row in rows)
    wealth = left + math.fsum(row.prior * math.exp(row.gain_nats) for row in rows)
    assert ledger.mixture_nats == pytest.approx(math.log(wealth), abs=5e-9)
    for name, row in ledger.standings.items():
        total = math.fsum(told.gains.get(name, 0.0) for told in story)
        assert row.gain_nats == pytest.approx(total, abs=1e-9)
    for told in story:
        stated = math.fsum(w * math.exp(told.gains.get(name, 0.0)) for name, w in told.weights.items())
        assert math.exp(told.mixture_gain) == pytest.approx(stated, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_under_a_fair_machine_expected_wealth_stays_as_it_is(seed: int) -> None:
    ledger, _ = a_life(seed, 12, 1.0)
    rng = np.random.default_rng(seed)
    forecasts = {
        name: random_forecast(rng, 1.0) for name in ledger.standings if name not in ("uniform", SWITCHING)
    }
    factors = [math.exp(scored(ledger, forecasts, *draw)[1].mixture_gain) for draw in DRAWS]
    assert len(DRAWS) == 45
    assert math.fsum(factors) / len(DRAWS) == pytest.approx(1.0, abs=1e-8)


def test_the_order_of_forecasters_is_irrelevant() -> None:
    ledger, _ = a_life(4, 15, 1.0)
    rng = np.random.default_rng(0)
    forecasts = {
        name: random_forecast(rng, 1.0) for name in ledger.standings if name not in ("uniform", SWITCHING)
    }
    backwards = replace(ledger, standings=dict(reversed(list(ledger.standings.items()))))
    one = scored(ledger, forecasts, [2, 5], 3)
    other = scored(backwards, dict(reversed(forecasts.items())), [2, 5], 3)
    assert one == other


def test_who_did_not_forecast_counts_as_uniform() -> None:
    ledger, _ = a_life(5, 10, 1.0)
    silent, told = scored(ledger, {}, [1, 2], 1)
    spoken, _ = scored(ledger, dict.fromkeys(set(ledger.standings) - {SWITCHING}, FAIR), [1, 2], 1)
    assert silent == spoken
    assert told.gains == {SWITCHING: 0.0}
    assert (told.mixture_gain, silent.draws) == (0.0, ledger.draws + 1)


def test_a_newcomer_changes_no_past_figure() -> None:
    ledger, _ = a_life(6, 10, 1.0)
    count = sum(name.startswith("model-") for name in ledger.standings)
    joined = ledgers.join(ledger, "late", mixture.newcomer_prior(count + 1))
    assert mixture.log_wealth(joined.standings) == pytest.approx(
        mixture.log_wealth(ledger.standings), abs=1e-12
    )
    before, after = mixture.posterior(ledger.standings), mixture.posterior(joined.standings)
    assert after["late"] + after["reserve"] == pytest.approx(before["reserve"], abs=1e-12)
    assert after["a"] == pytest.approx(before["a"], abs=1e-12)
    assert joined.mixture_nats == ledger.mixture_nats


def test_a_ledger_survives_its_record() -> None:
    ledger, _ = a_life(7, 20, 2.0)
    assert Ledger.from_record(json.loads(json.dumps(ledger.to_record()))) == ledger


def test_a_forecaster_must_join_before_it_is_scored() -> None:
    with pytest.raises(ValueError, match=r"\['stranger'\], who have no standing"):
        scored(Ledger.start({"uniform": 0.5}), {"stranger": FAIR}, [1, 2], 1)


def test_nobody_joins_twice_and_nobody_takes_more_than_half_of_the_reserve() -> None:
    ledger = Ledger.start({"uniform": 0.5, "tilt": 0.25})
    for name in ("tilt", "reserve"):
        with pytest.raises(ValueError, match="expected a new name"):
            ledgers.join(ledger, name, 0.1)
    assert ledgers.join(ledger, "modest", 0.1).standings["modest"] == Standing(0.1, 0.0)
    assert ledgers.join(ledger, "greedy", 0.3).standings["greedy"] == Standing(0.125, 0.0)


def test_an_account_outlives_the_experts_that_it_began_with() -> None:
    old = replace(Ledger.start({"uniform": 0.5, "gone": 0.25}), draws=40, mixture_nats=-0.1)
    ledger = ledgers.admit(old, {"uniform": 0.5, "new": 0.4, SWITCHING: 0.1})
    priors = {name: standing.prior for name, standing in ledger.standings.items()}
    pool = 0.25 / (0.5 + mixture.RESERVE_PRIOR)
    assert priors == {"uniform": 0.5, "gone": 0.25, "new": 0.4 * pool, SWITCHING: 0.1 * pool}
    assert mixture.reserve(ledger.standings) == pytest.approx(mixture.RESERVE_PRIOR * pool)
    assert (ledger.draws, ledger.mixture_nats) == (40, -0.1)
    others = {name: prior for name, prior in priors.items() if name != SWITCHING}
    assert ledger.shares == pytest.approx({n: p / sum(others.values()) for n, p in others.items()}, abs=1e-9)
    assert ledgers.admit(ledger, {"uniform": 0.5, "new": 0.4, SWITCHING: 0.1}) == ledger


def test_the_switching_forecaster_is_scored_by_the_shares_it_had_before_the_draw() -> None:
    ledger, _ = a_life(8, 12, 1.0)
    rng = np.random.default_rng(1)
    forecasts = {name: random_forecast(rng, 1.0) for name in ("a", "b")}
    moved, told = scored(ledger, forecasts, [1, 4], 2)
    gained = math.fsum(share * math.exp(told.gains.get(name, 0.0)) for name, share in ledger.shares.items())
    assert told.gains[SWITCHING] == pytest.approx(math.log(gained), abs=1e-8)
    assert math.fsum(moved.shares.values()) == pytest.approx(1.0, abs=1e-8)
    assert SWITCHING not in moved.shares


def test_the_uniform_seat_is_for_the_uniform_forecast_only() -> None:
    impostor = Forecast(np.arange(N, dtype=np.float64), np.zeros(B), K)
    with pytest.raises(ValueError, match="expected the uniform forecast"):
        scored(Ledger.start({"uniform": 0.5}), {"uniform": impostor}, [1, 2], 1)


def test_a_gain_that_is_not_finite_is_refused_by_name() -> None:
    for gain in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match=r"gains are \{'a': .*expected finite"):
            ledgers.score(Ledger.start(PRIORS), {"a": gain, "b": 0.0})


def test_nobody_but_the_ledger_scores_the_switching_forecaster() -> None:
    with pytest.raises(ValueError, match="no standing"):
        ledgers.score(Ledger.start(PRIORS), {SWITCHING: 1.0})


@pytest.mark.parametrize(
    ("value", "kept"), [(-1e-12, "0.0"), (0.1 + 0.2, "0.3"), (-19.4930012345678, "-19.493001235")]
)
def test_figures_have_nine_decimals_and_no_minus_zero(value: float, kept: str) -> None:
    assert str(mixture.rounded(value)) == kept
