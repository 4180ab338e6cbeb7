"""State, streams and pub/sub, each with its store and broker."""

from bridge.builtins.pubsub import PubSub
from bridge.builtins.state import State
from bridge.builtins.stream import Stream
from bridge.config import BridgeConfig
from bridge.config.blocks.adapters import Adapter
from bridge.parts.addresses import start_listening
from bridge.parts.site import Site
from bridge.settings import entrance, state_settings, stream_settings
from bridge.storage import Broker, KeyValueStore
from bridge.stores import open_broker, open_store

__all__ = ["open_pubsub", "open_state", "open_stream"]


async def open_state(site: Site) -> None:
    """Serve state, if the file lists it."""
    block = site.config.state
    if block is None:
        return
    store, broker = await _open_storage(site, block.adapter, "state")
    state = State(store, broker, state_settings(block))
    state.register(site.engine)
    await broker.settle()

    async def apply(config: BridgeConfig) -> None:
        if config.state is not None:
            await state.apply(state_settings(config.state))

    site.live.on_change("iii-state", apply)


async def open_pubsub(site: Site) -> None:
    """Serve pub/sub, if the file lists it."""
    block = site.config.pubsub
    if block is None:
        return
    # A topic is a Redis channel of that name, so that other programs can publish and listen as well.
    pubsub = PubSub(await open_broker(block.adapter, namespace=None))
    site.closing.push_async_callback(pubsub.close)
    pubsub.register(site.engine)

    async def apply(config: BridgeConfig) -> None:
        if config.pubsub is not None:
            await pubsub.apply(await open_broker(config.pubsub.adapter, namespace=None))

    site.live.on_change("iii-pubsub", apply)


async def open_stream(site: Site) -> tuple[Stream, str] | None:
    """Serve streams, if the file lists them; returns them and where their clients connect."""
    block = site.config.stream
    if block is None:
        return None
    store, broker = await _open_storage(site, block.adapter, "stream")
    guard = entrance(block, site.certificates)
    stream = Stream(store, broker, stream_settings(block, site.config.state), guard)
    stream.register(site.engine)
    site.closing.push_async_callback(stream.close)

    async def apply(config: BridgeConfig) -> None:
        if config.stream is not None:
            await stream.apply(stream_settings(config.stream, config.state))

    site.live.on_change("iii-stream", apply)
    host, port = await start_listening(site, "iii-stream", stream.start, apply)
    return stream, guard.url("ws", host, port)


async def _open_storage(site: Site, adapter: Adapter, name: str) -> tuple[KeyValueStore, Broker]:
    """Open the store of state or of streams, and what carries its events from bridge to bridge."""
    namespace = f"{site.config.temporal.prefix}:{name}"
    store = await open_store(adapter, namespace)
    site.closing.push_async_callback(store.close)
    broker = await open_broker(adapter, namespace=namespace)
    site.closing.push_async_callback(broker.close)
    return store, broker
