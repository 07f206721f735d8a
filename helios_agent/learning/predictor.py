"""The predictor service: a trained network in memory, which forecasts whenever it is asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helios_agent.learning import specs
from helios_agent.learning.forecasting import Predictor
from helios_agent.registry.card import Row, Spec

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class PredictorSpec(Spec):
    """Which artefact to serve: the folder, and the version that it must be."""

    artefact: str
    version: str


def serve(spec: dict[str, Any]) -> Answer:
    """Load the network that `spec` names; return what answers {"rows": all draws of its era, oldest first}.

    An answer is as that of `forecasting.run`. Without `rows` the question is about the same draws as before.
    Raises JobFailed where the artefact is damaged; the answer does where the draws do not suit it.
    """
    wanted = specs.read(PredictorSpec, spec)
    predictor = Predictor(Path(wanted.artefact), wanted.version)
    rows: list[Row] = []

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        nonlocal rows
        rows = question.get("rows", rows)
        return predictor.predict(rows)

    return answer
