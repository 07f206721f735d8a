"""Adam (Kingma and Ba 2015, arXiv:1412.6980), by torch's own fused kernel."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adam import adam

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """Steps as `torch.optim.Adam` with its defaults does, bit for bit.

    To make one of those imports torch's compiler, which costs a second and 70 MB; nothing here needs that.
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float) -> None:
        self._parameters = list(parameters)
        self._lr = lr
        self.state: defaultdict[Parameter, dict[str, Tensor]] = defaultdict(dict)
        """Of each parameter that has been stepped: `step`, and the moments `exp_avg` and `exp_avg_sq`."""

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        moved = [p for p in self._parameters if p.grad is not None]
        for parameter in moved:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "step": torch.zeros(()),
                    "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                }
        states = [self.state[parameter] for parameter in moved]
        with torch.no_grad():
            adam(
                [*moved],
                [p.grad for p in moved if p.grad is not None],
                [s["exp_avg"] for s in states],
                [s["exp_avg_sq"] for s in states],
                [],
                [s["step"] for s in states],
                fused=True,
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=self._lr,
                weight_decay=0.0,
                eps=EPSILON,
                maximize=False,
            )
