"""The settings of workers, and those of the bridge's own that are set while it runs."""

import os

from bridge.builtins.configuration import Configuration
from bridge.config import expand_value
from bridge.own_entries import OwnEntries
from bridge.parts.site import Site
from bridge.storage import LazyStore, SqliteStore

__all__ = ["open_entries"]


async def open_entries(site: Site) -> OwnEntries:
    """Serve `configuration::*`, and begin with what was set in earlier runs.

    Nothing is built before: it decides what is in force.
    """
    block = site.config.configuration
    path = block.adapter.config.database_path
    store = LazyStore(path.exists, lambda: SqliteStore.open(path))
    site.closing.push_async_callback(store.close)
    configuration = Configuration(
        site.engine, store, lambda text: expand_value(text, os.environ), ttl_s=block.ttl_seconds
    )
    configuration.register()
    entries = OwnEntries(configuration, site.live)
    await entries.begin()
    return entries
