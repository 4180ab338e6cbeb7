"""Whether a peer is still there: what moves is alive, however slowly."""

from enum import Enum, auto

__all__ = ["LOOKS", "Finding", "Liveness"]

LOOKS = 5
"""How many looks in a row must see nothing before a peer counts as gone.

Looks are counted, not seconds: a bridge that was itself held up has looked once meanwhile."""


class Finding(Enum):
    """What a look has found."""

    ALIVE = auto()
    QUIET = auto()
    """It should be pinged."""
    SILENT = auto()
    """It does not answer."""
    DEAF = auto()
    """It takes nothing of what waits for it."""


class Liveness:
    """Judges one peer by what is seen of it at looks that are made at regular intervals.

    Args:
        looks_before_ping: For how many looks a peer may be quiet.
    """

    def __init__(self, looks_before_ping: int) -> None:
        self._looks_before_ping = looks_before_ping
        self._was_heard = False
        self._has_taken = False
        self._quiet_looks = 0
        self._deaf_looks = 0
        self._unsent_bytes = 0

    def heard(self) -> None:
        """Note that something came from the peer."""
        self._was_heard = True

    def took(self) -> None:
        """Note that the peer has taken most of what waited for it."""
        self._has_taken = True

    def look(self, *, is_read: bool, is_blocked: bool, unsent_bytes: int) -> Finding:
        """Judge what has happened since the last look.

        Args:
            is_read: Whether the bridge reads what the peer sends: one that it does not read cannot answer.
            is_blocked: Whether so much waits for the peer that nothing more is written to it.
            unsent_bytes: How much that is. While it gets less the peer reads, and its answer to a ping may be
                long in coming, because the ping waits as well.
        """
        has_moved = self._has_taken or unsent_bytes < self._unsent_bytes
        is_quiet = is_read and not self._was_heard and not has_moved
        self._quiet_looks = self._quiet_looks + 1 if is_quiet else 0
        self._deaf_looks = self._deaf_looks + 1 if is_blocked and not has_moved else 0
        self._unsent_bytes = unsent_bytes
        self._was_heard = self._has_taken = False
        if self._deaf_looks >= LOOKS:
            return Finding.DEAF
        if self._quiet_looks >= self._looks_before_ping + LOOKS:
            return Finding.SILENT
        return Finding.QUIET if self._quiet_looks == self._looks_before_ping else Finding.ALIVE
