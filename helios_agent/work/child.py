"""The worker process: one job, then it ends.

It reads {"kind", "spec"} as one JSON line from standard input and writes JSON lines to standard output:
{"progress": …} while it works, at last {"result": …} or {"error": …}. It ends when its standard
input closes, so that it never outlives the daemon that started it.
"""

import contextlib
import importlib
import json
import os
import sys
import threading
import traceback
from typing import Any

from helios_agent.errors import HeliosError
from helios_agent.work.jobs import JOBS

NICE = 19


def main() -> None:
    os.nice(NICE)
    # What libraries print must not be taken for our protocol.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message, allow_nan=False) + "\n")
        answers.flush()

    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    module, _, function = JOBS[request["kind"]].partition(":")
    try:
        job = getattr(importlib.import_module(module), function)
        result = job(request["spec"], lambda progress: say({"progress": progress}))
    except HeliosError as error:
        say({"error": str(error)})
    except Exception as error:
        traceback.print_exc()
        say({"error": f"{type(error).__name__}: {error}"})
    else:
        say({"result": result})
    answers.close()
    # Leave without waiting for library threads.
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(0)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
