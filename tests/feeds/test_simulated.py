from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from scipy import stats

from helios_agent.config.model import SIMULATED_BALLS, Machine
from helios_agent.feeds import simulated
from helios_agent.lottery import calendar, draws
from helios_agent.lottery.draws import Draw
from helios_agent.lottery.games import SIMULATED

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO = date(2000, 1, 1)


def told(since: date = LONG_AGO, now: datetime = NOW, **settings: Any) -> Sequence[Draw]:
    report = simulated.read(SIMULATED, Machine(**settings), "machine", since, now)
    assert report.rejected == ()
    return report.draws


def counted(drawn: Sequence[Draw]) -> Counter[int]:
    return Counter(ball for draw in drawn for ball in draw.whites)


def test_there_is_a_valid_draw_on_each_day_of_the_calendar_from_the_first_to_now() -> None:
    drawn = told(begins=date(2020, 1, 1))
    assert [draw.day for draw in drawn] == calendar.draw_days(SIMULATED, date(2020, 1, 1), date(2025, 12, 31))
    for draw in drawn:
        draws.validate(SIMULATED, draw)


def test_a_draw_comes_at_its_time_and_not_before() -> None:
    instant = calendar.draw_instant(SIMULATED, date(2025, 12, 31))
    before = instant.replace(minute=instant.minute - 1)
    assert told(now=before)[-1].day == date(2025, 12, 29)
    assert told(now=instant)[-1].day == date(2025, 12, 31)


def test_what_is_read_again_is_the_same_and_another_seed_draws_otherwise() -> None:
    whole = told(seed=5, log_sd=0.4)
    assert told(since=date(2025, 1, 1), seed=5, log_sd=0.4) == tuple(
        draw for draw in whole if draw.day.year == 2025
    )
    assert not {draw.whites for draw in whole} & {draw.whites for draw in told(seed=6, log_sd=0.4)}


def test_the_machine_draws_what_it_drew_in_earlier_releases() -> None:
    first = told(begins=date(2020, 1, 1), log_sd=0.4, weights={7: 3.0})[0]
    assert (first.whites, first.bonus) == ((32, 3, 34, 12, 24), 9)


def test_a_fair_machine_draws_each_ball_as_often() -> None:
    drawn = told(begins=LONG_AGO)
    counts = counted(drawn)
    # Drawn without replacement, counts vary less than the law of chi-square says, by this factor.
    statistic, _ = stats.chisquare([counts[ball] for ball in range(1, SIMULATED_BALLS + 1)])
    corrected = statistic * (SIMULATED_BALLS - 1) / (SIMULATED_BALLS - 5)
    assert 0.001 < stats.chi2.sf(corrected, SIMULATED_BALLS - 1) < 0.999
    assert stats.chisquare(list(Counter(draw.bonus for draw in drawn).values())).pvalue > 0.001
    assert abs(stats.spearmanr([d.whites[0] for d in drawn], [d.whites[1] for d in drawn]).statistic) < 0.06


def test_weights_are_those_of_the_first_ball_drawn() -> None:
    drawn = told(begins=LONG_AGO, weights={7: 3.0, 8: 0.0})
    first = Counter(draw.whites[0] for draw in drawn)
    # 33 balls of weight 1 and one of weight 3.
    assert stats.binomtest(first[7], len(drawn), 3 / 36).pvalue > 0.001
    assert counted(drawn)[8] == 0


def test_log_weights_have_the_spread_that_was_set() -> None:
    drawn = told(begins=LONG_AGO, log_sd=0.4)
    counts = counted(drawn)
    spread = max(counts.values()) / min(counts.values())
    assert 2.5 < spread < 12.0  # 35 normal values are about 4.2 standard deviations apart at most: e^1.7


def test_until_it_is_unfair_the_machine_is_a_fair_one() -> None:
    change = date(2024, 1, 1)
    whole = told(weights={7: 0.0}, unfair_from=change)
    before = tuple(draw for draw in whole if draw.day < change)
    assert before == tuple(draw for draw in told() if draw.day < change)
    assert counted(before)[7] > 0
    assert counted([draw for draw in whole if draw.day >= change])[7] == 0


def test_the_balls_that_can_be_weighted_are_those_of_the_game() -> None:
    assert {era.white for era in SIMULATED.eras} == {SIMULATED_BALLS}
