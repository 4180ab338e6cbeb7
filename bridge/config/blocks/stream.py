"""`iii-stream` (spec 03 §5.3)."""

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
