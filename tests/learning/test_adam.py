"""The optimiser is torch's own Adam."""

import subprocess
import sys

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


def test_training_does_not_load_the_compiler() -> None:
    program = (
        "import sys\nfrom helios_agent.learning import training, updating\n"
        "from helios_agent.learning.adam import Adam\n"
        "from helios_agent.learning.reproducible import arithmetic, reproducible\n"
        "import torch\n"
        "with reproducible(1, 1), arithmetic('bf16'):\n"
        "    weight = torch.ones(3, requires_grad=True)\n"
        "    Adam([weight], 0.1).step(weight.sum())\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
