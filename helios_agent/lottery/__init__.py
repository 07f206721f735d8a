"""The games themselves: their rules by era, their calendar, their draws and their odds.

Everything here is pure. Values go in and values come out; nothing reads a file, a clock or a network.
The packaged draws lie in `history`, and `helios_agent.feeds.packaged` reads them.
"""
