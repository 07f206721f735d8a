"""Versions of trained networks on disk: what one is, whether it is whole, and its way in and out as one file.

Without torch, so that the daemon can look at them. What the weights mean is known to `learning` alone.
"""
