"""Which store and which broker an adapter of the configuration names."""

from bridge.config import RedisAdapter, StateKvAdapter, StreamKvAdapter
from bridge.config.blocks.adapters import Adapter
from bridge.storage import (
    Broker,
    KeyValueStore,
    LocalBroker,
    MemoryStore,
    RedisBroker,
    RedisStore,
    SqliteStore,
)

__all__ = ["open_broker", "open_store"]


async def open_store(adapter: Adapter, namespace: str) -> KeyValueStore:
    """Open the store that an adapter of state or streams names.

    Args:
        adapter: The adapter.
        namespace: Begins every name in a server that others use too.

    Raises:
        StorageError: It cannot be opened.
    """
    if isinstance(adapter, RedisAdapter):
        return await RedisStore.open(adapter.config.redis_url, prefix=namespace)
    path = adapter.config.database_path if isinstance(adapter, StateKvAdapter | StreamKvAdapter) else None
    return MemoryStore() if path is None else await SqliteStore.open(path)


async def open_broker(adapter: Adapter, *, namespace: str | None) -> Broker:
    """Open what connects the bridges that share what an adapter names; other adapters serve one bridge.

    Args:
        adapter: The adapter.
        namespace: Begins every topic; `None` lets topics have their own names.

    Raises:
        StorageError: It cannot be opened.
    """
    if isinstance(adapter, RedisAdapter):
        return await RedisBroker.open(adapter.config.redis_url, namespace=namespace)
    return LocalBroker()
