"""A broker whose server is away."""

from bridge.errors import StorageError
from bridge.storage import LocalBroker


class BrokenBroker(LocalBroker):
    async def publish(self, topic: str, message: bytes) -> None:
        raise StorageError(f"Redis is away: {topic} {message!r}")
