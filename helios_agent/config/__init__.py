"""Every setting: its type, bounds and default in `model` and `decisions`, how it is read in `load`."""

from helios_agent.config.load import load
from helios_agent.config.model import Config

__all__ = ["Config", "load"]
