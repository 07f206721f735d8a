"""The real agent on a virtual clock: whole lives in seconds, with faults at chosen moments.

`loop.py` jumps over time in which nothing happens, `inline.py` does without threads, so that a seed gives
the same life again, `world.py` is what is outside (a machine, feeds, receivers), `faults.py` what goes
wrong, `life.py` lives it, `invariants.py` says what must hold afterwards.

Apart from these, lottery machines of known make, fair and unfair, to measure what can be found out about
them: `laws.py`, `machines.py`, `drums.py`, `generators.py`, and one of each in `scenarios.py`.
"""
