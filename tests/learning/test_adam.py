"""The optimiser is torch's own Adam."""

import torch

from helios_agent.learning.adam import Adam


def test_steps_are_those_of_torch_to_the_bit() -> None:
    torch.manual_seed(1)
    start = [torch.randn(7, 5), torch.randn(3)]
    ours, theirs = ([value.clone().requires_grad_() for value in start] for _ in range(2))
    mine, usual = Adam(ours, 0.1), torch.optim.Adam(theirs, lr=0.1, fused=True)
    for scale in (1.0, -3.0, 0.5):
        mine.step(sum((scale * (one - 1.0).square().sum() for one in ours), torch.zeros(())))
        usual.zero_grad()
        loss = sum((scale * (one - 1.0).square().sum() for one in theirs), torch.zeros(()))
        torch.autograd.backward(loss)
        usual.step()

    for one, other, first in zip(ours, theirs, start, strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, first)
