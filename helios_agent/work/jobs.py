"""What a worker process can compute: kind of job → the function of (spec, report) that does it.

They are named, not imported: the daemon never loads what only a worker needs.
"""

from collections.abc import Mapping

JOBS: Mapping[str, str] = {
    "train": "helios_agent.learning.training:run",
    "model-forecast": "helios_agent.learning.forecasting:run",
    "walk-forward": "helios_agent.forecasting.walk_forward:run",
    "forecast": "helios_agent.forecasting.panel:run",
    "backtest": "helios_agent.learning.backtest:run",
    "backtest-block": "helios_agent.learning.backtest:run_block",
}
