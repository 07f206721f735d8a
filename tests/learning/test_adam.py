"""Our Adam is torch's, without what torch's loads."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch

from helios_agent.learning.adam import Adam
from helios_agent.learning.network import PowerballNet


def test_it_steps_as_torchs_own_does_bit_for_bit(net: PowerballNet) -> None:
    one = [torch.nn.Parameter(p.detach().clone()) for p in net.parameters()]
    other = [torch.nn.Parameter(p.detach().clone()) for p in net.parameters()]
    ours, theirs = Adam(one, lr=0.01), torch.optim.Adam(other, lr=0.01, fused=True)
    random = torch.Generator().manual_seed(1)
    for step in range(4):
        ours.zero_grad()
        theirs.zero_grad()
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            if number or step:  # one parameter has no gradient at first
                a.grad = torch.randn(a.shape, generator=random)
                b.grad = a.grad.clone()
        ours.step()
        theirs.step()

    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    for a, b in zip(one, other, strict=True):
        assert ours.state[a].keys() == theirs.state[b].keys()
        assert all(torch.equal(ours.state[a][key], theirs.state[b][key]) for key in ours.state[a])


def test_a_training_loads_no_compiler(job: Callable[..., dict[str, Any]]) -> None:
    program = (
        "import json, sys\n"
        "from helios_agent.learning import training\n"
        "training.run(json.loads(sys.argv[1]), lambda progress: None)\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(job())], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"
