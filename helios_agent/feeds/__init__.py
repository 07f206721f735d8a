"""Where draws come from: publishers over HTTP, the packaged history, files and simulated machines.

Every source ends in a `reports.FeedReport`. A row that cannot be believed is told of, never repaired,
and nothing is ever made up in the place of a row that is missing.
"""
