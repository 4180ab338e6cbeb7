"""`iii-stream` (spec 03 §5.3)."""

from collections.abc import Iterator

from bridge.config.block import Bind, Block, FunctionId, Port
from bridge.config.blocks.adapters import StreamAdapter, StreamKvAdapter

__all__ = ["StreamBlock"]


class StreamBlock(Block):
    """Streams and their WebSocket clients.

    Attributes:
        port: TCP port of the clients; 0 lets the system choose.
        host: Address to listen on.
        auth_function: Called with each client's headers; `None` lets everyone in.
        adapter: Where the items are.
    """

    port: Port = 3112
    host: Bind = "127.0.0.1"
    auth_function: FunctionId | None = None
    adapter: StreamAdapter = StreamKvAdapter()

    def notices(self) -> Iterator[str]:
        """Tell what the adapter has to tell."""
        yield from (f"iii-stream: {notice}" for notice in self.adapter.config.notices())
