import json
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_agent.errors import DrawInvalid
from helios_agent.forecasting import ledger as ledgers
from helios_agent.forecasting import mixture
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.mixture import Standing

N, B, K = 6, 3, 2
DRAWS = [(list(s), b) for s in combinations(range(1, N + 1), K) for b in range(1, B + 1)]
FAIR = Forecast.uniform(N, B, K)


def random_forecast(rng: np.random.Generator, spread: float) -> Forecast:
    return Forecast(rng.normal(0.0, spread, N), rng.normal(0.0, spread, B), K).rounded()


def a_life(seed: int, draws: int, spread: float) -> tuple[Ledger, list[ledgers.Scored]]:
    """Live through draws at random: forecasts of any quality, absences, and models that join."""
    rng = np.random.default_rng(seed)
    ledger = Ledger.start(["uniform", "a", "b"])
    newcomers = 0
    story = []
    for _ in range(draws):
        if rng.random() < 0.2:
            newcomers += 1
            ledger = ledgers.join(ledger, f"model-{newcomers}", mixture.newcomer_prior(newcomers))
        present = [name for name in ledger.standings if name != "uniform" and rng.random() < 0.8]
        forecasts = {"uniform": FAIR} | {name: random_forecast(rng, spread) for name in present}
        ledger, scored = ledgers.score(ledger, forecasts, *DRAWS[rng.integers(len(DRAWS))])
        story.append(scored)
    return ledger, story


def test_one_draw_moves_the_account_by_what_was_gained() -> None:
    likes_one = Forecast(np.array([math.log(3.0), 0, 0, 0, 0, 0]), np.zeros(B), K)
    start = Ledger.start(["uniform", "tilt"])
    ledger, scored = ledgers.score(start, {"uniform": FAIR, "tilt": likes_one}, [1, 4], 2)
    gain = math.log(3.0) - math.log(1 + (K / N) * 2)  # r / (1 + (k/N)(r-1)) with r = 3
    assert scored.gains == {"uniform": 0.0, "tilt": pytest.approx(gain, abs=1e-9)}
    assert scored.weights == {"uniform": 0.5, "tilt": 0.25, "reserve": 0.25}
    assert scored.mixture_gain == pytest.approx(math.log(0.75 + 0.25 * math.exp(gain)), abs=1e-9)
    assert ledger.standings["tilt"] == Standing(0.25, scored.gains["tilt"])
    assert (ledger.mixture_nats, ledger.peak_nats, ledger.draws) == (scored.mixture_gain,) * 2 + (1,)


def test_the_peak_remembers_the_best_moment() -> None:
    likes_one = Forecast(np.array([2.0, 0, 0, 0, 0, 0]), np.zeros(B), K)
    ledger = Ledger.start(["tilt"])
    ledger, lost = ledgers.score(ledger, {"tilt": likes_one}, [5, 6], 1)
    assert lost.mixture_gain < 0.0
    assert ledger.peak_nats == 0.0
    for _ in range(3):
        ledger, _ = ledgers.score(ledger, {"tilt": likes_one}, [1, 6], 1)
    best = ledger.mixture_nats
    ledger, _ = ledgers.score(ledger, {"tilt": likes_one}, [2, 3], 1)
    assert ledger.mixture_nats < best == ledger.peak_nats


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 40), st.floats(0.0, 10.0))
def test_the_mixture_never_loses_more_than_ln_2(seed: int, draws: int, spread: float) -> None:
    ledger, story = a_life(seed, draws, spread)
    cumulative = np.cumsum([scored.mixture_gain for scored in story])
    assert cumulative.min() >= -math.log(2.0)
    assert ledger.mixture_nats == pytest.approx(cumulative[-1], abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 40), st.floats(0.0, 3.0))
def test_cumulative_gain_is_the_log_of_prior_times_wealth(seed: int, draws: int, spread: float) -> None:
    ledger, story = a_life(seed, draws, spread)
    rows = ledger.standings.values()
    left = 1.0 - math.fsum(row.prior for row in rows)
    wealth = left + math.fsum(row.prior * math.exp(row.gain_nats) for row in rows)
    assert ledger.mixture_nats == pytest.approx(math.log(wealth), abs=5e-9)
    for name, row in ledger.standings.items():
        total = math.fsum(scored.gains.get(name, 0.0) for scored in story)
        assert row.gain_nats == pytest.approx(total, abs=1e-9)
    for scored in story:
        stated = math.fsum(w * math.exp(scored.gains.get(name, 0.0)) for name, w in scored.weights.items())
        assert math.exp(scored.mixture_gain) == pytest.approx(stated, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_under_a_fair_machine_expected_wealth_stays_as_it_is(seed: int) -> None:
    ledger, _ = a_life(seed, 12, 1.0)
    rng = np.random.default_rng(seed)
    forecasts = {name: random_forecast(rng, 1.0) for name in ledger.standings if name != "uniform"}
    factors = [math.exp(ledgers.score(ledger, forecasts, *draw)[1].mixture_gain) for draw in DRAWS]
    assert len(DRAWS) == 45
    assert math.fsum(factors) / len(DRAWS) == pytest.approx(1.0, abs=1e-8)


def test_the_order_of_forecasters_is_irrelevant() -> None:
    ledger, _ = a_life(4, 15, 1.0)
    rng = np.random.default_rng(0)
    forecasts = {name: random_forecast(rng, 1.0) for name in ledger.standings if name != "uniform"}
    backwards = Ledger(
        dict(reversed(list(ledger.standings.items()))), ledger.mixture_nats, ledger.peak_nats, ledger.draws
    )
    one = ledgers.score(ledger, forecasts, [2, 5], 3)
    other = ledgers.score(backwards, dict(reversed(forecasts.items())), [2, 5], 3)
    assert one == other


def test_who_did_not_forecast_counts_as_uniform() -> None:
    ledger, _ = a_life(5, 10, 1.0)
    silent, scored = ledgers.score(ledger, {}, [1, 2], 1)
    spoken, _ = ledgers.score(ledger, dict.fromkeys(ledger.standings, FAIR), [1, 2], 1)
    assert silent == spoken
    assert scored.gains == {}
    assert (scored.mixture_gain, silent.draws) == (0.0, ledger.draws + 1)


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
        ledgers.score(Ledger.start(["uniform"]), {"stranger": FAIR}, [1, 2], 1)


def test_nobody_joins_twice_or_takes_more_than_the_reserve() -> None:
    ledger = Ledger.start(["tilt"])
    for name in ("tilt", "reserve"):
        with pytest.raises(ValueError, match="expected a new name"):
            ledgers.join(ledger, name, 0.1)
    with pytest.raises(ValueError, match=r"expected at most 0\.25"):
        ledgers.join(ledger, "greedy", 0.3)


def test_the_uniform_seat_is_for_the_uniform_forecast_only() -> None:
    impostor = Forecast(np.arange(N, dtype=np.float64), np.zeros(B), K)
    with pytest.raises(ValueError, match="expected the uniform forecast"):
        ledgers.score(Ledger.start([]), {"uniform": impostor}, [1, 2], 1)


def test_a_draw_of_another_game_is_not_scored() -> None:
    with pytest.raises(DrawInvalid):
        ledgers.score(Ledger.start([]), {"uniform": FAIR}, [1, 7], 1)


@pytest.mark.parametrize(
    ("value", "kept"), [(-1e-12, "0.0"), (0.1 + 0.2, "0.3"), (-19.4930012345678, "-19.493001235")]
)
def test_figures_have_nine_decimals_and_no_minus_zero(value: float, kept: str) -> None:
    assert str(ledgers.rounded(value)) == kept
