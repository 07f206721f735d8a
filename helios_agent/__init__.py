"""Helios: forecasts a lottery in advance, scores itself, and says honestly what it found."""

__version__ = "0.1.0"
