"""The truth: hash-chained events, and everything that is folded from them.

`journal.py` appends, `chain.py` hashes and verifies, `projections.sql` says how each kind of
event changes the tables, `rebuild.py` says it again. `retention.py` and `archives.py` decide what
leaves the database and where it goes; the other modules read and change one noun each.
"""
