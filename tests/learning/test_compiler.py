"""torch's compiler costs a second and 76 MB in each process that loads it, and nothing here needs it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = """
import json, sys
from helios_agent.learning import artefacts, backtest, forecasting, predictor, search, training
spec = json.loads(sys.argv[1])
done = training.run(spec, lambda progress: None)
named = {"artefact": spec["out"], "version": done["version"]}
artefacts.run(named, lambda progress: None)
forecasting.run(named | {"draws": spec["draws"] + spec["draws"][:2]}, lambda progress: None)
predictor.serve(named)({"rows": spec["draws"]})
training.run(spec | {"start": named, "out": spec["out"] + "-again"}, lambda progress: None)
print([name for name in sys.modules if name.startswith(("torch._dynamo", "torch._inductor"))])
"""


def test_whatever_a_worker_does_with_networks_the_compiler_stays_away(
    job: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    spec = job(training={"epochs": 1, "batch": 8, "segments": 4, "learning_rate": 0.01, "precision": "bf16"})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(spec)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr[-2000:]) == ("[]\n", "")
