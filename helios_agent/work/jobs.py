"""What a worker process can compute: kind of job → the function of (spec, report) that does it.

They are named, not imported: the daemon never loads what only a worker needs.
"""

from collections.abc import Mapping

JOBS: Mapping[str, str] = {
    "train": "helios_agent.learning.training:run",
    "model-validate": "helios_agent.learning.artefacts:run",
    "model-forecast": "helios_agent.learning.forecasting:run",
    "walk-forward": "helios_agent.forecasting.walk_forward:run",
    "forecast": "helios_agent.forecasting.panel:run",
    "search": "helios_agent.learning.search:run",
    "backtest": "helios_agent.learning.backtest:run",
    "backtest-block": "helios_agent.learning.backtest:run_block",
    "backtest-judge": "helios_agent.learning.backtest:run",
}

URGENT = frozenset({"model-forecast", "walk-forward", "forecast", "model-validate", "backtest-judge"})
"""Jobs of seconds that wait for no worker, and are done on this machine whatever the engine: the next
forecast, which has a deadline, waits for them, or a backtest of which all else is done."""

SERVICES: Mapping[str, str] = {"predictor": "helios_agent.learning.predictor:serve"}
"""What a worker process can be for as long as it is wanted: kind → the function of the spec that returns a
function of (request), which answers."""

PRELOADED = ("helios_agent.forecasting.panel", "helios_agent.forecasting.walk_forward")
"""Modules that the fork server loads when it starts: what every forecast needs."""

HEAVY = "helios_agent.learning."
"""The room whose functions need torch …"""
LIGHT = frozenset({"backtest", "backtest-judge"})
"""… all but these: a backtest judges what its blocks have said …"""
WARM_UP = "helios_agent.learning.warm:up"
"""… and the function that gets a process ready for them. The fork server calls it before the first one."""


def is_heavy(kind: str) -> bool:
    """Return whether a kind of job or service needs what `WARM_UP` loads."""
    return kind not in LIGHT and (JOBS.get(kind) or SERVICES[kind]).startswith(HEAVY)
