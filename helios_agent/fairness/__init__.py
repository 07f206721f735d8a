"""The fairness audit: what a game's draws say about its machines, in words, as data and as a page.

It needs scipy, so its command alone loads it; the daemon never does.
"""
