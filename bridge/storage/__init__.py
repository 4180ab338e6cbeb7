"""Where entries are kept and how bridges hear of each other: two ports and their adapters."""

from bridge.storage.broker import Broker, LocalBroker, Subscriber
from bridge.storage.lazy import LazyStore
from bridge.storage.memory import MemoryStore
from bridge.storage.port import Change, Entry, KeyValueStore, VersionConflictError, Written
from bridge.storage.redis import RedisStore
from bridge.storage.redis_broker import RedisBroker
from bridge.storage.scope_names import join_scope, scope_prefix, split_scope
from bridge.storage.sqlite import SqliteStore

__all__ = [
    "Broker",
    "Change",
    "Entry",
    "KeyValueStore",
    "LazyStore",
    "LocalBroker",
    "MemoryStore",
    "RedisBroker",
    "RedisStore",
    "SqliteStore",
    "Subscriber",
    "VersionConflictError",
    "Written",
    "join_scope",
    "scope_prefix",
    "split_scope",
]
