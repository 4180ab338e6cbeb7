"""Where a part listens: where it was set to while running, else where the file says (spec 04 §5.5)."""

from collections.abc import Awaitable, Callable

import structlog

from bridge.config import HttpBlock, StreamBlock
from bridge.errors import ConfigError
from bridge.live import Apply
from bridge.parts.site import Site

__all__ = ["start_listening"]

log = structlog.get_logger("bridge.app")


async def start_listening(
    site: Site, name: str, start: Callable[[], Awaitable[int]], apply: Apply
) -> tuple[str, int]:
    """Begin to listen.

    Args:
        site: The bridge.
        name: The block, `iii-http` or `iii-stream`.
        start: Listens at the address that the part was built with; returns the port.
        apply: Lets the part listen where a configuration says.

    Returns:
        Host and port.

    Raises:
        ConfigError: No address can be bound that was asked for.
    """
    port = 0
    try:
        port = await start()
    except ConfigError as exc:
        if not site.live.fall_back(name):
            raise
        log.error("listening where the file says", block=name, reason=str(exc))  # noqa: TRY400 - says it all
        await apply(site.config)
    block = site.config.block(name)
    if not isinstance(block, HttpBlock | StreamBlock):
        raise TypeError(f"{name} does not listen")
    return block.host, port or block.port
