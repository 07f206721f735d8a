"""The conditions under which the same computation gives the same bits, and the arithmetic it uses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from helios_agent.learning.specs import Precision


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seed torch, fix its thread count and allow deterministic kernels only, then restore what was."""
    threads_before = torch.get_num_threads()
    deterministic_before = torch.get_deterministic_debug_mode()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        # use_deterministic_algorithms does the same, but loads torch's compiler.
        torch.set_deterministic_debug_mode("error")
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(deterministic_before)
            torch.set_num_threads(threads_before)


def arithmetic(precision: Precision) -> torch.autocast:
    """Return the context in which a forward pass computes: as its parameters are, or matrices in bf16.

    Parameters, gradients and optimiser stay fp32, the heads too, and the likelihood is fp64 always.
    """
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")
