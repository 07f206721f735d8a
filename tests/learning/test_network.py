"""PowerballNet is the documented network, and continuation is faithful to it."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from helios_agent.learning.likelihood import subset_nll
from helios_agent.learning.network import LockedDropout, Outputs, PowerballNet
from helios_agent.learning.specs import NetworkSpec
from helios_agent.registry.card import Matrix

History = Callable[[int], tuple[torch.Tensor, torch.Tensor]]


def as_documented(net: PowerballNet, whites: torch.Tensor, bonus: torch.Tensor) -> torch.Tensor:
    """The forward pass of one window with torch's own attention and bidirectional LSTM: (B, 128) features."""
    hidden = net.norm.normalized_shape[0]
    attention = nn.MultiheadAttention(hidden, net.attention.heads, batch_first=True)
    lstm = nn.LSTM(hidden, hidden, num_layers=len(net.layers), bidirectional=True, batch_first=True)
    parts = (net.attention.query, net.attention.key, net.attention.value)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        attention.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        attention.out_proj.load_state_dict(net.attention.out.state_dict())
        for number, layer in enumerate(net.layers):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                lstm.get_parameter(f"{name}_l{number}").copy_(layer.ahead.get_parameter(f"{name}_l0"))
                lstm.get_parameter(f"{name}_l{number}_reverse").copy_(layer.back.get_parameter(f"{name}_l0"))
        drawn = torch.cat([net.white_embedding(whites).mean(2), net.bonus_embedding(bonus)], -1)
        states = net.project(drawn) + net.positions
        states = net.norm(states + attention(states, states, states, need_weights=False)[0])
        return net.readout(lstm(states)[0][:, -1]).relu()


def assert_same(found: Outputs, expected: Outputs, atol: float = 2e-6) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=atol)


def test_one_window_is_the_documented_forward_pass(net: PowerballNet, history: History) -> None:
    whites, bonus = history(net.sequence)
    features = as_documented(net, whites, bonus)
    with torch.no_grad():
        found = net(whites, bonus)

    torch.testing.assert_close(found.white[:, 0], net.white_head(features), rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(found.bonus[:, 0], net.bonus_head(features), rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(found.frequency[:, 0], net.frequency_head(features), rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(
        found.confidence[:, 0], net.confidence_head(features).squeeze(-1), rtol=1e-5, atol=2e-6
    )
    assert found.white.shape == (1, 1, 12)
    assert found.white.std() > 0.1


def test_the_first_continued_position_is_the_plain_window(net: PowerballNet, history: History) -> None:
    whites, bonus = history(net.sequence + 6)
    with torch.no_grad():
        continued = net(whites, bonus)
        plain = net(whites[:, : net.sequence], bonus[:, : net.sequence])

    assert continued.white.shape == (1, 7, 12)
    assert_same(Outputs(*(part[:, :1] for part in continued)), plain)


@pytest.mark.parametrize("length", [8, 15])
def test_the_pruned_reverse_pass_gives_the_same(net: PowerballNet, history: History, length: int) -> None:
    whites, bonus = history(length)
    with torch.no_grad():
        assert_same(net(whites, bonus), net(whites, bonus, pruned=False))


def test_without_forward_memory_every_continued_position_is_its_exact_window(
    net: PowerballNet, history: History
) -> None:
    """All that continuation keeps from further back is the forward state: attention and reverse are exact."""
    hidden = net.norm.normalized_shape[0]
    with torch.no_grad():
        for layer in net.layers:
            layer.ahead.weight_hh_l0.zero_()
            layer.ahead.bias_ih_l0[hidden : 2 * hidden] = -1e4  # the forget gate, shut
        whites, bonus = history(net.sequence + 9)
        continued = net(whites, bonus)
        for start in range(10):
            window = slice(start, start + net.sequence)
            exact = net(whites[:, window], bonus[:, window])
            assert_same(Outputs(*(part[:, start : start + 1] for part in continued)), exact)


@pytest.mark.parametrize("changed", range(7, 15))
def test_a_changed_draw_changes_nothing_said_before_it(
    net: PowerballNet, history: History, changed: int
) -> None:
    whites, bonus = history(15)
    other_whites, other_bonus = whites.clone(), bonus.clone()
    other_whites[0, changed] = (whites[0, changed] + 1) % 12
    other_bonus[0, changed] = (bonus[0, changed] + 1) % 5
    with torch.no_grad():
        before, after = net(whites, bonus), net(other_whites, other_bonus)

    first_to_know = changed - (net.sequence - 1)
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one[:, :first_to_know], other[:, :first_to_know])
        assert not torch.equal(one[:, first_to_know], other[:, first_to_know])


def test_the_untrained_network_is_exactly_uniform(history: History) -> None:
    untrained = PowerballNet(
        NetworkSpec(sequence=8, hidden=16, embedding=6), Matrix(white=12, bonus=5, pick=3)
    )
    with torch.no_grad():
        outputs = untrained(*history(12))

    for part in outputs:
        assert torch.count_nonzero(part) == 0
    found = float(subset_nll(outputs.white[0, 0], torch.tensor([0, 5, 9])))
    assert found == pytest.approx(5.393627546, abs=1e-9)  # ln C(12, 3) = ln 220


def test_the_confidence_head_does_not_shape_the_trunk(net: PowerballNet, history: History) -> None:
    net(*history(10)).confidence.sum().backward()

    moved = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert moved == {"confidence_head.weight", "confidence_head.bias"}


def test_dropout_leaves_out_the_same_features_at_every_position_and_scales_up_the_others() -> None:
    """Of 40,000 features a fifth is zero, give or take four standard deviations of 0.002."""
    torch.manual_seed(1)
    dropout = LockedDropout(0.2).train()
    dropped = dropout(torch.ones(200, 7, 200))

    assert torch.equal(dropped, dropped[:, :1].expand(-1, 7, -1))
    assert set(dropped.unique().tolist()) == {0.0, 1.25}
    assert float((dropped[:, 0] == 0.0).double().mean()) == pytest.approx(0.2, abs=0.008)
    assert len(dropped[:, 0].unique(dim=0)) == 200  # each segment has its own
    assert torch.equal(dropout.eval()(dropped), dropped)


def test_dropout_is_before_each_layer_but_the_first_and_before_the_heads_and_only_in_training(
    net: PowerballNet, history: History
) -> None:
    whites, bonus = history(12)
    dropped: list[tuple[int, ...]] = []
    net.dropout.register_forward_hook(lambda module, given, said: dropped.append(tuple(said.shape)))
    with torch.no_grad():
        served = [net(whites, bonus).white for _ in range(2)]
        dropped.clear()
        trained = net.train()(whites, bonus).white

    assert dropped == [(1, 12, 32), (1, 5, 32)]
    assert torch.equal(*served)
    assert not torch.equal(served[0], trained)


def test_the_default_network_has_the_documented_size() -> None:
    full = PowerballNet(NetworkSpec(), Matrix(white=69, bonus=26, pick=5))
    assert sum(parameter.numel() for parameter in full.parameters()) == 4_612_479
