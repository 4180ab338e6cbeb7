"""How the bridge writes and reads what Temporal keeps, and who else may have it read."""

import structlog
from temporalio.converter import DataConverter

from bridge.listeners.codec import CodecServer
from bridge.parts.site import Site
from bridge.settings import entrance, payload_settings
from bridge.temporal.payload_codec import PayloadsCodec, open_converter
from bridge.temporal.payload_reader import PayloadReader

__all__ = ["open_codec", "open_payloads"]

log = structlog.get_logger("bridge.app")


async def open_payloads(site: Site) -> DataConverter:
    """Return how payloads are written and read; where large ones are is given up when the bridge stops."""
    return await site.closing.enter_async_context(open_converter(payload_settings(site.config.temporal)))


async def open_codec(site: Site, converter: DataConverter) -> None:
    """Let Temporal's Web UI have payloads decoded, if the configuration says so."""
    block = site.config.temporal.codec_endpoint
    if block is None:
        return
    guard = entrance(block, site.certificates)
    codec = PayloadsCodec(payload_settings(site.config.temporal))
    server = CodecServer(codec.encode, PayloadReader(converter, codec).read, guard, block.allowed_origins)
    port = await server.start(block.host, block.port)
    site.closing.push_async_callback(server.close)
    log.info("codec endpoint", url=guard.url("http", block.host, port))
