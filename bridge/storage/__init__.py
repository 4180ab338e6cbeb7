"""Where state and streams are kept: the key-value port and its adapters."""

from bridge.storage.memory import MemoryStore
from bridge.storage.port import Change, Entry, KeyValueStore, VersionConflictError, Written
from bridge.storage.scope_names import join_scope, scope_prefix, split_scope
from bridge.storage.sqlite import SqliteStore

__all__ = [
    "Change",
    "Entry",
    "KeyValueStore",
    "MemoryStore",
    "SqliteStore",
    "VersionConflictError",
    "Written",
    "join_scope",
    "scope_prefix",
    "split_scope",
]
