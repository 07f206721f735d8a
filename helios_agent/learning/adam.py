"""Adam (D. P. Kingma and J. Ba 2015), by torch's own fused kernel.

`torch.optim.Adam` does the same, but loads torch's compiler when it is made, which costs time and memory
before the first step.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam

FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """The optimiser of `parameters`, and the averages of their gradients that it keeps."""

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self._parameters = [*parameters]
        self._rate = learning_rate
        self.means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self.steps = [torch.zeros(()) for _ in self._parameters]

    def step(self, loss: Tensor) -> None:
        """Take a step against the gradient of `loss`; parameters on which it does not depend stay."""
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        used = [number for number, gradient in enumerate(gradients) if gradient is not None]
        with torch.no_grad():
            adam(
                [self._parameters[number] for number in used],
                [gradients[number] for number in used],
                [self.means[number] for number in used],
                [self.squares[number] for number in used],
                [],
                [self.steps[number] for number in used],
                fused=True,
                amsgrad=False,
                beta1=FIRST_DECAY,
                beta2=SECOND_DECAY,
                lr=self._rate,
                weight_decay=0.0,
                eps=EPSILON,
                maximize=False,
            )
