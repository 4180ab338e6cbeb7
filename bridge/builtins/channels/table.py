"""Every channel that can still be opened, and when one that nobody opens expires (spec 04 §6.4)."""

import hmac
from collections.abc import Callable

from bridge.builtins.channels.channel import Channel

__all__ = ["ChannelTable"]

FRAME_BYTES = 64 * 1024
"""What SDKs cut binary messages to (spec 04 §6.3)."""

DEFAULT_MESSAGES = 64
MAX_MESSAGES = 1024
HALF_OPEN_LIFETIME_MS = 5 * 60 * 1000


class ChannelTable:
    """The channels by id.

    A channel leaves when both ends are done with it, when it is removed, or when it is too old and one of
    its ends was never taken. It is not tied to the worker that asked for it.

    Args:
        new_id: Makes unguessable UUIDs.
        now_ms: Unix time.
    """

    def __init__(self, *, new_id: Callable[[], str], now_ms: Callable[[], int]) -> None:
        self._new_id = new_id
        self._now_ms = now_ms
        self._channels: dict[str, Channel] = {}
        self._held: set[str] = set()

    def create(
        self, *, max_messages: int = DEFAULT_MESSAGES, max_bytes: int | None = None, held: bool = False
    ) -> Channel:
        """Make a channel.

        Args:
            max_messages: How many messages may wait; brought into 1 to 1024 (spec 04 §6.1).
            max_bytes: How many bytes may wait; by default as many full frames as messages.
            held: Whether the creator removes the channel itself, so that it never expires.
        """
        bound = min(max(max_messages, 1), MAX_MESSAGES)
        channel = Channel(
            self._new_id(),
            self._new_id(),
            max_messages=bound,
            max_bytes=bound * FRAME_BYTES if max_bytes is None else max_bytes,
            created_at_ms=self._now_ms(),
            on_finished=lambda finished: self.remove(finished.id),
        )
        self._channels[channel.id] = channel
        if held:
            self._held.add(channel.id)
        return channel

    def find(self, channel_id: str, access_key: str) -> Channel | None:
        """Return a channel; an unknown id and a wrong key look the same."""
        channel = self._channels.get(channel_id)
        if channel is None or not hmac.compare_digest(channel.access_key.encode(), access_key.encode()):
            return None
        return channel

    def remove(self, channel_id: str) -> None:
        """Forget a channel: ends that are attached keep working, no other can be opened."""
        self._channels.pop(channel_id, None)
        self._held.discard(channel_id)

    def sweep(self) -> None:
        """Discard the channels that have been half open for too long."""
        oldest_ms = self._now_ms() - HALF_OPEN_LIFETIME_MS
        for channel in list(self._channels.values()):
            if channel.id not in self._held and not channel.is_attached and channel.created_at_ms < oldest_ms:
                self.remove(channel.id)
                channel.discard()

    def __len__(self) -> int:
        """Return how many channels can be opened."""
        return len(self._channels)
