"""The process that holds the connection to a Ray cluster, so that the daemon does not load Ray.

JSON lines come on standard input and go to standard output. The first line down is {"address"}; the answer is
{"ready": true}, or {"error": …} or {"lost": …} and the end. Then each job has a number of its own:

* down: {"job", "kind", "spec", "threads", "memory", "cpu", "queue"}, {"job", "stop": true},
  {"job", "end": true};
* up: {"job", "started": node}, {"job", "progress": …}, now and then {"job", "cpu_seconds"} alone, and at last
  {"job", "result": …}, {"job", "error": …}, {"job", "lost": …} or {"job", "stopped": true}, with
  "cpu_seconds" where its process told of it.

The folders that the spec names (`out`, `checkpoint`, the artefact to `start` from) are read and written here,
on the daemon's side, and no longer than until the last word. When standard input closes the process ends, and
every job with it.
"""

import contextlib
import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError, GetTimeoutError, RayActorError, RayError, RayTaskError

from helios_agent import files
from helios_agent.errors import HeliosError, JobFailed, WorkerLost
from helios_agent.work import parcels, remote

Say = Callable[[Mapping[str, Any]], None]

FAREWELL_S = 5.0
"""How long to let go of the cluster may take."""
GREETING_S = 60.0
"""How long the cluster may take to start a process that says which versions it has."""


class Job:
    """A job under way, for as long as somebody wants it."""

    def __init__(self, number: int, actor: Any, say: Say) -> None:
        self.actor = actor
        self._number = number
        self._say = say
        self._lock = threading.Lock()
        self._over = False

    @contextlib.contextmanager
    def wanted(self) -> Iterator[None]:
        """Hold back the end of the job, so that its folders are ours. Raises WorkerLost where it has come."""
        with self._lock:
            if self._over:
                raise WorkerLost("It was ended.")
            yield

    def say(self, message: Mapping[str, Any]) -> None:
        """Tell of the job. Raises WorkerLost where nobody wants to hear of it any more."""
        with self.wanted():
            self._say({"job": self._number, **message})

    def end(self, message: Mapping[str, Any]) -> None:
        """Say the last word, if none was said. From then on nothing is told or written."""
        with self._lock:
            if self._over:
                return
            self._over = True
            try:
                self._say({"job": self._number, **message})
            except (TypeError, ValueError) as error:  # it is no JSON
                self._say({"job": self._number, "error": f"{type(error).__name__}: {error}"})

    def kill(self) -> None:
        """Kill its process. One that cannot be killed ends when nobody refers to it any more."""
        try:
            ray.kill(self.actor)
        except ConnectionError:
            os._exit(1)  # the engine starts another bridge for the next job
        except Exception:
            traceback.print_exc()


class Bridge:
    """A connection to a cluster: an actor for each job under way, and a thread that listens to it."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._kind = ray.remote(max_restarts=0, max_task_retries=0, max_concurrency=4)(remote.Worker)

    def say(self, message: Mapping[str, Any]) -> None:
        line = json.dumps(message, allow_nan=False) + "\n"
        with self._lock:
            self._answers.write(line)
            self._answers.flush()

    def greet(self) -> None:
        """Ask any node for its versions. Raises JobFailed where they are not ours, or it has no Helios."""
        greeter = self._kind.options(num_cpus=0).remote()
        try:
            _, theirs = ray.get(greeter.greet.remote(), timeout=GREETING_S)
        except GetTimeoutError:
            raise WorkerLost(f"No node of the cluster has started a process in {GREETING_S:g} s.") from None
        except RayError as error:
            if isinstance(error, RayTaskError) or getattr(error, "actor_init_failed", False):
                raise JobFailed(_unfit(error)) from None
            raise WorkerLost(f"The process that was to say its versions died: {_reason(error)}") from None
        finally:
            ray.kill(greeter)
        _compare(theirs)

    def begin(self, order: Mapping[str, Any]) -> None:
        """Send a job to the cluster, and see it through in a thread."""
        resources = {"num_cpus": order["threads"], "memory": order["memory"]}
        actor = self._kind.options(**resources).remote()
        self._jobs[order["job"]] = job = Job(order["job"], actor, self.say)
        threading.Thread(target=self._see_through, args=(job, order), daemon=True).start()

    def stop(self, number: int) -> None:
        """Have a job that has started end at its next report."""
        if (job := self._jobs.get(number)) is not None:  # else it has just ended by itself
            job.actor.stop.remote()

    def end(self, number: int) -> None:
        """Let nothing more come of a job, and kill its process, whatever it does."""
        if (job := self._jobs.get(number)) is not None:
            # On a slow line this takes a while, and other jobs are not to wait for it.
            threading.Thread(target=_end, args=(job,), daemon=True).start()

    def close(self) -> None:
        """Kill every job and let go of the cluster."""
        for job in list(self._jobs.values()):
            job.kill()
        ray.shutdown()

    def _see_through(self, job: Job, order: Mapping[str, Any]) -> None:
        gone = False
        try:
            message = self._compute(job, order)
        except WorkerLost as error:
            message = {"lost": str(error)}
        except HeliosError as error:
            message = {"error": str(error)}
        except RayActorError as error:
            died = f"The worker process died before it had a result: {_reason(error)}"
            message = {"error": _unfit(error)} if error.actor_init_failed else {"lost": died}
        except RayError as error:
            message = {"lost": f"The cluster gave the job up: {_reason(error)}"}
        except ConnectionError as error:
            message, gone = {"lost": f"The connection to the cluster was lost: {error}"}, True
        except Exception as error:
            message = {"error": f"{type(error).__name__}: {error}"}
        job.end(message)
        del self._jobs[order["job"]]
        if gone:
            os._exit(1)
        job.kill()

    def _compute(self, job: Job, order: Mapping[str, Any]) -> dict[str, Any]:
        spec = order["spec"]
        actor = job.actor
        greeting = actor.greet.remote()
        if not ray.wait([greeting], timeout=order["queue"])[0]:
            raise WorkerLost(
                f"No node of the cluster had {order['threads']} free processors and {order['memory']:,} bytes"
                f" of memory for the job within {order['queue']:g} s (work.ray.queue)."
            )
        node, theirs = ray.get(greeting)
        _compare(theirs)
        job.say({"started": node})
        checkpoint = Path(spec["checkpoint"]) if spec.get("checkpoint") else None
        with job.wanted():
            kept = _pack(checkpoint)
            start = parcels.pack(Path(spec["start"]["artefact"])) if spec.get("start") else None
        limits = remote.Limits(order["memory"], order["cpu"])
        running = actor.run.remote(remote.Task(order["kind"], spec, kept, start, limits))
        over = False
        while not over:
            said, kept, over = ray.get(actor.listen.remote())
            if checkpoint is not None and kept is not None:
                with job.wanted():
                    parcels.unpack(kept, checkpoint)
            for told in said:
                job.say(told)
        outcome = ray.get(running)
        with job.wanted():
            if checkpoint is not None and outcome.checkpoint is not None:
                parcels.unpack(outcome.checkpoint, checkpoint)
            if outcome.out is not None:
                parcels.unpack(outcome.out, Path(spec["out"]))
        message: dict[str, Any] = outcome.message
        return message


def _end(job: Job) -> None:
    job.end({"lost": "It was ended."})
    job.kill()


def _pack(checkpoint: Path | None) -> parcels.Parcel | None:
    if checkpoint is None:
        return None
    files.take_up(checkpoint)
    return parcels.pack(checkpoint) if checkpoint.exists() else None


def _compare(theirs: remote.Versions) -> None:
    different = remote.difference(remote.versions(), theirs)
    if different is not None:
        raise JobFailed(
            f"The cluster would not compute the same: {different}. Install the same there (docs/scaling.md)."
        )


def _unfit(error: RayError) -> str:
    """Return what there is to say where Python fails in a process before it has a job."""
    return f"The cluster's workers cannot load this Helios: {_reason(error)}"


def _reason(error: Exception) -> str:
    """Return what Ray says without its advice, on one line."""
    text = str(error).partition("Some common causes")[0]
    return " ".join(text.split())[-600:]


def _connect(bridge: Bridge, address: str) -> dict[str, Any]:
    """Return what there is to say when the cluster has answered, or will not."""
    # Why Ray Client cannot connect is told nowhere else.
    client = logging.getLogger("ray.util.client.worker")
    client.addHandler(logging.StreamHandler())
    client.setLevel(logging.DEBUG)
    try:
        # What its processes print is kept on the nodes. Where it cannot connect, Ray may end this process.
        ray.init(address=address, log_to_driver=False, configure_logging=False)
        bridge.greet()
    except WorkerLost as error:
        return {"lost": str(error)}
    except (AuthenticationError, JobFailed) as error:
        return {"error": str(error)}
    except (Exception, SystemExit) as error:
        return {"lost": f"{type(error).__name__}: {error}"}
    finally:
        client.setLevel(logging.WARNING)
    return {"ready": True}


def _heed(bridge: Bridge) -> None:
    """Do as we are told until nobody tells us anything more, and end this process."""
    try:
        for line in sys.stdin:
            order = json.loads(line)
            if order.get("stop"):
                bridge.stop(order["job"])
            elif order.get("end"):
                bridge.end(order["job"])
            else:
                bridge.begin(order)
    except Exception:
        traceback.print_exc()
    closing = threading.Thread(target=bridge.close, daemon=True)
    closing.start()
    closing.join(FAREWELL_S)
    os._exit(0)


def main() -> None:
    # What libraries print must not be taken for our protocol.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    bridge = Bridge(answers)
    address = json.loads(sys.stdin.readline())["address"]
    # From here on we listen: to connect may take for ever, and who wants it may end meanwhile.
    heeding = threading.Thread(target=_heed, args=(bridge,), daemon=True)
    heeding.start()
    answer = _connect(bridge, address)
    bridge.say(answer)
    if "ready" in answer:
        heeding.join()
    os._exit(0)  # with a thread that reads, Python cannot end in its own way


if __name__ == "__main__":
    main()
