"""Webhooks: queued with the event they tell of, signed as Standard Webhooks, sent at least once."""
