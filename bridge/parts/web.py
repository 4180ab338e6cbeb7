"""The HTTP API, functions behind URLs, and channels."""

import os
import time

from bridge.builtins.channels import Channels, ChannelTable
from bridge.builtins.http import Http
from bridge.builtins.http_functions import HttpFunctions
from bridge.config import BridgeConfig
from bridge.parts.addresses import start_listening
from bridge.parts.site import Site
from bridge.settings import entrance, http_functions_settings, http_settings

__all__ = ["open_channels", "open_http", "open_http_functions"]


async def open_channels(site: Site, table: ChannelTable) -> None:
    """Offer data channels."""
    channels = Channels(table, site.engine.spawn)
    channels.register(site.engine)
    await channels.start()
    site.closing.push_async_callback(channels.close)


def open_http_functions(site: Site) -> None:
    """Run functions behind URLs, if the file lists them."""
    block = site.config.http_functions
    if block is None:
        return
    functions = HttpFunctions(
        http_functions_settings(block), environ=os.environ, new_id=site.engine.new_id, now_s=time.time
    )
    site.engine.http_functions = functions
    site.closing.push_async_callback(functions.close)

    async def apply(config: BridgeConfig) -> None:
        if config.http_functions is not None:
            functions.apply(http_functions_settings(config.http_functions))

    site.live.on_change("iii-http-functions", apply)


async def open_http(site: Site, channels: ChannelTable) -> tuple[Http, str] | None:
    """Serve the HTTP API, if the file lists it; returns it and its URL."""
    block = site.config.http
    if block is None:
        return None
    guard = entrance(block, site.certificates)
    http = Http(site.engine, channels, http_settings(block), guard)
    http.register(site.engine)
    site.closing.push_async_callback(http.close)

    async def apply(config: BridgeConfig) -> None:
        if config.http is not None:
            await http.apply(http_settings(config.http))

    site.live.on_change("iii-http", apply)
    host, port = await start_listening(site, "iii-http", http.start, apply)
    return http, guard.url("http", host, port)
