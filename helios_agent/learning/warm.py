"""Get a process ready to train in: what takes a second is done once, before it is forked."""

import gc

import torch

from helios_agent.learning import artefacts, forecasting, training  # noqa: F401  what jobs would import
from helios_agent.learning.adam import Adam
from helios_agent.learning.likelihood import bonus_nll, subset_nll
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.reproducible import reproducible
from helios_agent.learning.specs import NetworkSpec
from helios_agent.registry.card import Matrix

SIZES = NetworkSpec(sequence=4, hidden=8, layers=1, heads=2, embedding=4)
MATRIX = Matrix(white=6, bonus=3, pick=2)


def up() -> None:
    """Load torch and take one step of the optimiser with a tiny network, so that all is loaded and compiled.

    One thread does it, so that torch has no pool of threads that a forked process would lack.
    """
    torch.set_num_threads(1)
    with reproducible(1, threads=1):
        net = PowerballNet(SIZES, MATRIX)
        whites = torch.arange(10).view(1, 5, 2) % MATRIX.white
        bonus = torch.arange(5).view(1, 5) % MATRIX.bonus
        said = net(whites[:, :-1], bonus[:, :-1])
        loss = subset_nll(said.white[:, -1].double(), whites[:, -1]).mean()
        loss = loss + bonus_nll(said.bonus[:, -1].double(), bonus[:, -1]).mean()
        Adam(net.parameters(), learning_rate=1e-3).step(loss)
    gc.collect()
    gc.freeze()
