"""`python -m helios_agent` is `helios`."""

from helios_agent.cli import main

main()
