"""What to do next: every candidate with its score and reason, and why it was or was not chosen."""
