"""The JSON Schema that editors use is the one that the configuration has."""

import json
import subprocess
import sys
from pathlib import Path


def test_the_committed_schema_is_what_check_config_prints(root: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "helios_agent", "check-config", "--schema"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert (root / "config/helios.schema.json").read_text("utf-8") == printed, (
        "write it anew: helios check-config --schema > config/helios.schema.json"
    )
    assert json.loads(printed)["additionalProperties"] is False
