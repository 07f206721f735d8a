"""Forecasts of the next draw, and the accounts that say what they were worth.

Pure numpy: distributions over draws (`subsets`, `forecast`), forecasters (`experts`), their Bayesian
mixture, the ledger of log-score gains over a fair machine, and the evidence read from it. Only `audit` and
`calibration` need scipy; what the daemon loads imports neither.
"""
