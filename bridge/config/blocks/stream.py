"""`iii-stream` (spec 03 §5.3)."""

from collections.abc import Container, Iterator
from typing import ClassVar

from bridge.config.block import Bind, Block, FunctionId, Port
from bridge.config.blocks.adapters import StreamAdapter, StreamKvAdapter
from bridge.config.blocks.entrance import ServerTlsBlock, Tokens

__all__ = ["StreamBlock"]


class StreamBlock(Block):
    """Streams and their WebSocket clients.

    Attributes:
        port: TCP port of the clients; 0 lets the system choose.
        host: Address to listen on.
        auth_function: Called with each client's headers; `None` lets everyone in.
        adapter: Where the items are.
        tls: Ours. The encryption of the port; `None` is none.
        tokens: Ours. Bearer tokens, one of which every client must have; none are demanded by default.
    """

    live: ClassVar[Container[str]] = ("auth_function", "host", "port")
    file_only: ClassVar[frozenset[str]] = frozenset({"tls", "tokens"})

    port: Port = 3112
    host: Bind = "127.0.0.1"
    auth_function: FunctionId | None = None
    adapter: StreamAdapter = StreamKvAdapter()
    tls: ServerTlsBlock | None = None
    tokens: Tokens = ()

    def notices(self) -> Iterator[str]:
        """Tell what the adapter has to tell."""
        yield from (f"iii-stream: {notice}" for notice in self.adapter.config.notices())
