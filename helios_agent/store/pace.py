"""How much to do in one transaction, so that nobody else who wants to write waits for long."""

from helios_agent.clock import SECOND_US

TARGET_US = SECOND_US // 50
"""How long one step should take. One may well take twice as long: the machine does other things, too."""


class Pace:
    """The size of the next step: what fits into `TARGET_US` by how long the step before took.

    It begins with a part of `most`, which it never exceeds; it at most doubles from one step to the next.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._least = max(1, most // 50)
        self.size = max(1, most // 8)

    def took(self, taken_us: int) -> None:
        """Tell how long the last step took."""
        fitting = self.size * TARGET_US // max(taken_us, 1)
        self.size = max(self._least, min(self._most, 2 * self.size, fitting))
