"""Where long computations run: never in the daemon's own process.

A job is a pure function of a JSON spec. `engine.py` runs it in a child process; `child.py` is
what that process executes; `jobs.py` names the functions.
"""
