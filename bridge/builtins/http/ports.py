"""What the HTTP worker needs of channels; `bridge.app` plugs them in."""

from collections.abc import Iterable
from typing import Literal, Protocol

__all__ = ["Channel", "ChannelReader", "ChannelWriter", "Channels"]


class ChannelWriter(Protocol):
    """The writing end of a channel."""

    async def put(self, item: str | bytes) -> bool:
        """Add a message, waiting for room; answers whether the reader is still there."""

    def load(self, items: Iterable[str | bytes]) -> None:
        """Add messages that are in memory anyway."""

    def close(self) -> None:
        """End the stream."""


class ChannelReader(Protocol):
    """The reading end of a channel."""

    async def get(self) -> str | bytes | None:
        """Take a message; `None` is the end."""

    @property
    def is_ready(self) -> bool:
        """Whether `get` would return at once."""

    async def wait(self) -> None:
        """Wait until `get` would return at once, or for `wake`."""

    def wake(self) -> None:
        """End a `wait`, the one that runs or the next."""

    def close(self) -> None:
        """Leave; the writer is cut at its next message."""


class Channel(Protocol):
    """One direction of data."""

    @property
    def id(self) -> str:
        """The id that references carry."""

    def ref(self, direction: Literal["read", "write"]) -> object:
        """Return the reference that a payload carries."""

    def take_writer(self) -> ChannelWriter | None:
        """Return the writing end, if it is free."""

    def take_reader(self) -> ChannelReader | None:
        """Return the reading end, if it is free."""


class Channels(Protocol):
    """Makes channels that workers can open."""

    def create(self, *, max_messages: int = ..., max_bytes: int | None = ..., held: bool = ...) -> Channel:
        """Make a channel; a held one stays until it is removed."""

    def remove(self, channel_id: str) -> None:
        """Let nobody open the channel any more; ends that are attached keep working."""
