"""The neural forecaster: PowerballNet, its training and its artefacts.

The only room that imports torch; it runs in worker processes and nothing else imports it at module level.
"""
