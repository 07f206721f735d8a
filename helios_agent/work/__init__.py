"""Where long computations run: never in the daemon's own process.

A job is a pure function of a JSON spec; `jobs.py` names the functions. `engine.py` is the port, `local.py`
the engine on this machine. Its processes are forked by `forkserver.py`, do what `worker.py` says, and are
seen from the daemon through `children.py`. `predictor.py` keeps trained networks ready to answer.
"""
