"""The `adapter` key: where a worker keeps its data (spec 02 §1.5, 03 §5.4, 05 §1.8)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from bridge.config.block import Block, Milliseconds, Name, Unsigned64
from bridge.config.problems import hide_credentials

__all__ = [
    "Adapter",
    "BridgeAdapter",
    "BuiltinQueueAdapter",
    "CronAdapter",
    "CronLockAdapter",
    "KvConfig",
    "LocalAdapter",
    "PubSubAdapter",
    "QueueAdapter",
    "RabbitMqAdapter",
    "RedisAdapter",
    "StateAdapter",
    "StateKvAdapter",
    "StreamAdapter",
    "StreamKvAdapter",
]

# iii's `bridge` adapters of state and streams forward to another engine, which we do not.
_STATE_CLASSES = {
    "modules::state::adapters::KvStore": "kv",
    "modules::state::adapters::RedisAdapter": "redis",
}
_STREAM_CLASSES = {
    "modules::stream::adapters::KvStore": "kv",
    "modules::stream::adapters::RedisAdapter": "redis",
}
_PUBSUB_CLASSES = {
    "modules::pubsub::LocalAdapter": "local",
    "modules::pubsub::RedisAdapter": "redis",
}
_QUEUE_CLASSES = {
    "modules::queue::BuiltinQueueAdapter": "builtin",
    "modules::queue::RedisAdapter": "redis",
    "modules::queue::RabbitMQAdapter": "rabbitmq",
    "modules::queue::adapters::Bridge": "bridge",
}
_CRON_CLASSES = {
    "modules::cron::KvCronAdapter": "kv",
    "modules::cron::RedisCronAdapter": "redis",
}

StoreMethod = Literal["in_memory", "file_based"]
RedisUrl = Annotated[
    str, Field(pattern=r"^(redis|rediss|unix)://", description="redis://host:port[/database]")
]


def _old_style(names: Mapping[str, str]) -> BeforeValidator:
    """Give an adapter of 0.9/0.10, which has a `class`, the name it has had since 0.11."""

    def rename(adapter: Any) -> Any:
        if not isinstance(adapter, dict) or "class" not in adapter or "name" in adapter:
            return adapter
        written = adapter["class"]
        if written not in names:
            raise PydanticCustomError(
                "unknown_adapter_class", "unknown adapter class", {"written": written, "known": [*names]}
            )
        return {"name": names[written]} | {key: value for key, value in adapter.items() if key != "class"}

    return BeforeValidator(rename)


class Adapter(Block):
    """What all adapters have in common."""

    name: str


class RedisConfig(Block):
    """Where Redis is."""

    redis_url: RedisUrl = "redis://localhost:6379"

    @property
    def location(self) -> str:
        """The URL without user and password, for messages."""
        return hide_credentials(self.redis_url)


class RedisAdapter(Adapter):
    """A Redis server, shared by several bridges."""

    name: Literal["redis"]
    config: RedisConfig = RedisConfig()


class BridgeConfigKeys(Block):
    """Where the other engine is."""

    bridge_url: Name = "ws://localhost:49134"


class BridgeAdapter(Adapter):
    """Another iii engine."""

    name: Literal["bridge"]
    config: BridgeConfigKeys = BridgeConfigKeys()


class KvConfig(Block):
    """The embedded store of state or streams.

    Attributes:
        store_method: `file_based` keeps the data in one SQLite file, `in_memory` loses it at the end.
        file_path: The directory of that file, or the file itself when it ends in `.sqlite3`.
        save_interval_ms: Accepted and without effect; a write is on disk before it is acknowledged.
    """

    database_name: ClassVar[str]

    store_method: StoreMethod
    file_path: Name
    save_interval_ms: Unsigned64 = 5000

    @property
    def database_path(self) -> Path | None:
        """The SQLite file, or `None` when the store is in memory."""
        if self.store_method == "in_memory":
            return None
        path = Path(self.file_path)
        return path if path.suffix == ".sqlite3" else path / self.database_name

    def notices(self) -> Iterator[str]:
        """Tell of data of iii's own engine that lies where a new database is about to be made."""
        if self.database_path is None or self.database_path.exists():
            return
        if files := len([*Path(self.file_path).glob("*.bin")]):
            yield (
                f"{self.file_path} holds data of iii's own engine ({files} `.bin`), which the bridge cannot "
                "read: it begins empty, so write what must be kept again"
            )


class StateKvConfig(KvConfig):
    """The embedded store of state; on disk unless the file says otherwise."""

    database_name: ClassVar[str] = "bridge-state.sqlite3"

    store_method: StoreMethod = "file_based"
    file_path: Name = "./data/state"


class StreamKvConfig(KvConfig):
    """The embedded store of streams; in memory unless the file says otherwise, as in iii.

    Attributes:
        channel_size: Events kept for a client that reads slowly.
    """

    database_name: ClassVar[str] = "bridge-stream.sqlite3"

    store_method: StoreMethod = "in_memory"
    file_path: Name = "./data/stream"
    channel_size: Annotated[int, Field(ge=1, le=1_000_000)] = 256


class StateKvAdapter(Adapter):
    """State in this process or in a file beside it."""

    name: Literal["kv"] = "kv"
    config: StateKvConfig = StateKvConfig()


class StreamKvAdapter(Adapter):
    """Streams in this process or in a file beside it."""

    name: Literal["kv"] = "kv"
    config: StreamKvConfig = StreamKvConfig()


class LocalAdapter(Adapter):
    """Pub/sub among the workers of this bridge."""

    name: Literal["local"] = "local"
    config: Block = Block()


class BuiltinQueueConfig(Block):
    """Where iii would keep its queues, which are in Temporal here, and the defaults of topic subscribers.

    Attributes:
        store_method: Accepted and without effect.
        file_path: Accepted and without effect.
        save_interval_ms: Accepted and without effect.
        max_attempts: Attempts of a topic subscriber that names none, the first one included.
        backoff_ms: Delay after its first failure.
        concurrency: Messages one subscriber works on at once.
        poll_interval_ms: Accepted and without effect; Temporal pushes.
        mode: `fifo` delivers a topic's messages one after the other.
    """

    store_method: StoreMethod = "in_memory"
    file_path: Name = "kv_store_data.db"
    save_interval_ms: Unsigned64 = 5000
    max_attempts: Annotated[int, Field(ge=1, le=2**31 - 1)] = 3
    backoff_ms: Milliseconds = 1000
    concurrency: Annotated[int, Field(ge=1, le=100_000)] = 10
    poll_interval_ms: Unsigned64 = 100
    mode: Literal["concurrent", "fifo"] = "concurrent"


class BuiltinQueueAdapter(Adapter):
    """The queue store of iii's own engine."""

    name: Literal["builtin"] = "builtin"
    config: BuiltinQueueConfig = BuiltinQueueConfig()


class RabbitMqConfig(Block):
    """Where RabbitMQ would be; without effect."""

    amqp_url: Name = "amqp://localhost:5672"
    max_attempts: Unsigned64 = 3
    prefetch_count: Unsigned64 = 10
    queue_mode: str = "standard"
    priority_field: Name | None = None


class RabbitMqAdapter(Adapter):
    """A RabbitMQ server."""

    name: Literal["rabbitmq"]
    config: RabbitMqConfig = RabbitMqConfig()


class CronLockConfig(Block):
    """How iii's engines would agree who fires; without effect, because Temporal fires once."""

    store_method: StoreMethod = "in_memory"
    file_path: Name = "kv_store_data.db"
    save_interval_ms: Unsigned64 = 5000
    lock_ttl_ms: Annotated[int, Field(ge=1, le=2**64 - 1)] = 30_000
    lock_index: Name = "cron_locks"


class CronLockAdapter(Adapter):
    """The lock store of iii's own engine."""

    name: Literal["kv"] = "kv"
    config: CronLockConfig = CronLockConfig()


StateAdapter = Annotated[
    StateKvAdapter | RedisAdapter,
    Field(discriminator="name"),
    _old_style(_STATE_CLASSES),
]
StreamAdapter = Annotated[
    StreamKvAdapter | RedisAdapter,
    Field(discriminator="name"),
    _old_style(_STREAM_CLASSES),
]
PubSubAdapter = Annotated[
    LocalAdapter | RedisAdapter,
    Field(discriminator="name"),
    _old_style(_PUBSUB_CLASSES),
]
QueueAdapter = Annotated[
    BuiltinQueueAdapter | RedisAdapter | RabbitMqAdapter | BridgeAdapter,
    Field(discriminator="name"),
    _old_style(_QUEUE_CLASSES),
]
CronAdapter = Annotated[
    CronLockAdapter | RedisAdapter,
    Field(discriminator="name"),
    _old_style(_CRON_CLASSES),
]
