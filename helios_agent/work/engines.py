"""Which engine computes the jobs: the configuration says."""

from helios_agent.config.model import Work
from helios_agent.work.children import ForkServer
from helios_agent.work.engine import Engine
from helios_agent.work.local import LocalEngine
from helios_agent.work.ray import RayEngine


def open_engine(settings: Work, forks: ForkServer) -> Engine:
    """Return the engine of the settings. Must be called in a running event loop."""
    local = LocalEngine(settings, forks)
    if settings.engine == "ray" and settings.ray is not None:
        return RayEngine(settings, settings.ray, local)
    return local


def greet(engine: Engine) -> None:
    """Have an engine look for whom it needs elsewhere, once jobs are to come."""
    if isinstance(engine, RayEngine):
        engine.greet()
