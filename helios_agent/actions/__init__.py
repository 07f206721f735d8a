"""What the agent can do, one file per action.

An action does its outside work first and returns a commit: a function of the transaction that
records everything it did. The runner calls it in the same transaction that closes the intent.
"""
