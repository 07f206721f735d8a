"""Where log lines go: to standard error, one a fact, as text or as JSON."""

import sys

from loguru import logger

from helios_agent.config.model import Log

LINE = "<green>{time:YYYY-MM-DD HH:mm:ss}</green> <level>{level: <8}</level> {extra[action]: <9} {message}"


def to_stderr(settings: Log) -> None:
    """Write log lines to standard error as configured, and no longer anywhere else."""
    logger.remove()
    logger.configure(extra={"action": "-"})
    logger.add(
        sys.stderr,
        level=settings.level,
        serialize=settings.format == "json",
        format=LINE,
        backtrace=False,
        diagnose=False,
    )
