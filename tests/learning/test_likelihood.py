"""The exact subset likelihood against enumeration, known values and hard logits."""

import itertools
import math

import pytest
import torch

from helios_agent.forecasting import subsets as reference
from helios_agent.learning.likelihood import bonus_nll, subset_nll, uniform_nats


def inclusion(logits: torch.Tensor, pick: int) -> torch.Tensor:
    """Each ball's probability of being among the `pick` drawn: the gradient, and 1 for those drawn."""
    given = logits.double().requires_grad_()
    (gradient,) = torch.autograd.grad(
        subset_nll(given, torch.arange(pick).expand(*logits.shape[:-1], pick)).sum(), given
    )
    gradient[..., :pick] += 1.0
    return gradient


def by_enumeration(logits: torch.Tensor, subsets: torch.Tensor) -> torch.Tensor:
    """−log P(S) summed over every subset there is."""
    every = torch.tensor(list(itertools.combinations(range(logits.shape[-1]), subsets.shape[-1])))
    log_weights = logits[:, every].sum(-1)
    return torch.logsumexp(log_weights, -1) - logits.gather(-1, subsets).sum(-1)


@pytest.mark.parametrize(("balls", "pick"), [(4, 1), (5, 2), (6, 3), (8, 5), (9, 8)])
@pytest.mark.parametrize("spread", [0.3, 3.0, 20.0])
def test_value_and_gradient_equal_enumeration(balls: int, pick: int, spread: float) -> None:
    torch.manual_seed(balls)
    logits = (spread * torch.randn(7, balls, dtype=torch.float64)).requires_grad_()
    subsets = torch.stack([torch.randperm(balls)[:pick] for _ in range(7)])

    found, expected = subset_nll(logits, subsets), by_enumeration(logits, subsets)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), logits)

    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-12)


def test_equal_logits_cost_what_the_fair_game_costs() -> None:
    whites = subset_nll(torch.full((1, 69), 3.7), torch.tensor([[0, 10, 20, 40, 68]]))
    bonus = bonus_nll(torch.zeros(1, 26), torch.tensor([25]))

    assert float(whites) == pytest.approx(math.log(math.comb(69, 5)), abs=1e-12)
    assert float(whites) == pytest.approx(16.235, abs=5e-4)
    assert float(whites + bonus) == pytest.approx(uniform_nats(69, 5, 26), abs=1e-12)
    assert uniform_nats(69, 5, 26) == pytest.approx(19.493, abs=5e-4)


def test_gradient_is_inclusion_minus_indicator() -> None:
    torch.manual_seed(1)
    logits = (2.0 * torch.randn(4, 69, dtype=torch.float64)).requires_grad_()
    subsets = torch.stack([torch.randperm(69)[:5] for _ in range(4)])
    (gradient,) = torch.autograd.grad(subset_nll(logits, subsets).sum(), logits)

    indicator = torch.zeros_like(logits).scatter(-1, subsets, 1.0)
    expected = torch.from_numpy(reference.inclusion_probabilities(logits.detach().numpy(), 5))
    torch.testing.assert_close(gradient, expected - indicator, rtol=0, atol=4e-15)


@pytest.mark.parametrize("spread", [0.0, 1.0, 20.0, 60.0])
def test_inclusion_sums_to_the_number_drawn_at_any_spread(spread: float) -> None:
    torch.manual_seed(2)
    chances = inclusion(spread * torch.randn(50, 69), 5)

    assert float(chances.min()) >= -1e-15
    assert float(chances.max()) <= 1.0 + 1e-12
    torch.testing.assert_close(
        chances.sum(-1), torch.full((50,), 5.0, dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_one_certain_ball_leaves_a_fair_game_of_the_others() -> None:
    logits = torch.zeros(1, 69)
    logits[0, 7] = 300.0
    with_it = subset_nll(logits, torch.tensor([[7, 1, 2, 3, 4]]))
    without_it = subset_nll(logits, torch.tensor([[0, 1, 2, 3, 4]]))

    assert float(with_it) == pytest.approx(math.log(math.comb(68, 4)), abs=1e-12)
    assert float(without_it) == pytest.approx(300.0 + math.log(math.comb(68, 4)), abs=1e-9)
    assert float(inclusion(logits, 5)[0, 0]) == pytest.approx(4 / 68, abs=1e-12)


@pytest.mark.parametrize("largest", [[230.0, 230.0, 230.0], [690.0], [300.0, 1e-3], [-1e4, 600.0]])
def test_logits_far_apart_cost_what_they_cost_in_numpy(largest: list[float]) -> None:
    torch.manual_seed(4)
    logits = torch.randn(3, 69, dtype=torch.float64)
    logits[1, : len(largest)] = torch.tensor(largest, dtype=torch.float64)
    drawn = torch.tensor([[0, 1, 2, 10, 68], [3, 4, 5, 6, 7], [0, 2, 30, 31, 32]])
    given = logits.clone().requires_grad_()
    found = subset_nll(given, drawn)
    (gradient,) = torch.autograd.grad(found.sum(), given)

    expected = -torch.from_numpy(reference.log_probability(logits.numpy(), drawn.numpy() + 1))
    chances = torch.from_numpy(reference.inclusion_probabilities(logits.numpy(), 5))
    torch.testing.assert_close(found.detach(), expected, rtol=1e-12, atol=1e-11)
    slopes = chances - torch.zeros_like(logits).scatter(-1, drawn, 1.0)
    torch.testing.assert_close(gradient, slopes, rtol=0, atol=1e-11)


def test_logits_beyond_the_range_of_floats_cost_infinitely_much_and_spoil_no_other_draw() -> None:
    logits = torch.zeros(2, 69)
    logits[0, :3] = 400.0
    found = subset_nll(logits, torch.tensor([[0, 1, 2, 3, 4]] * 2))

    assert float(found[0]) == math.inf
    assert float(found[1]) == pytest.approx(uniform_nats(69, 5, 1), abs=1e-12)


def test_a_common_shift_of_the_logits_changes_nothing() -> None:
    torch.manual_seed(3)
    logits, subsets = torch.randn(3, 20, dtype=torch.float64), torch.tensor([[1, 2, 3]] * 3)
    torch.testing.assert_close(subset_nll(logits + 500.0, subsets), subset_nll(logits, subsets))


def test_many_draws_are_scored_as_each_is() -> None:
    torch.manual_seed(6)
    logits = torch.randn(3, 350, 20, requires_grad=True)
    subsets = torch.rand(3, 350, 20).topk(5).indices
    many = subset_nll(logits, subsets)
    (slopes,) = torch.autograd.grad(many.sum(), logits)
    assert many.shape == (3, 350)
    for place in ((0, 0), (1, 161), (1, 162), (2, 349)):  # 512 are scored at once
        one = logits[place].detach().requires_grad_()
        alone = subset_nll(one, subsets[place])
        (slope,) = torch.autograd.grad(alone, one)
        assert float(alone.detach()) == float(many[place].detach())
        assert torch.equal(slope, slopes[place])


def test_float32_logits_are_scored_in_float64() -> None:
    assert subset_nll(torch.zeros(2, 3, 69), torch.zeros(2, 3, 1, dtype=torch.int64)).dtype == torch.float64
    assert subset_nll(torch.zeros(2, 3, 69), torch.zeros(2, 3, 1, dtype=torch.int64)).shape == (2, 3)
