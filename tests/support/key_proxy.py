"""What stands in front of a Temporal that knows its clients by API keys: every call has to show one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

_NOT_PASSED_ON = ("authorization", "user-agent")


class KeyProxy(grpc.GenericRpcHandler):
    """Passes on the calls that show a good key, and refuses the others as Temporal Cloud does.

    Attributes:
        keys: Those that are good now.
        forbidden: The calls that are refused whatever they show.
        address: Where it listens, as `host:port`.
        let_in: The last part of the name of each call that was passed on, with the key it showed.
        refused: The key of each call that was not.
        headers: Of the last call.
    """

    def __init__(self, behind: grpc.aio.Channel, *keys: str) -> None:
        self._behind = behind
        self.keys = set(keys)
        self.forbidden: set[str] = set()
        self.address = ""
        self.let_in: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self.headers: dict[str, Any] = {}

    def count(self, call: str, key: str) -> int:
        """Tell how often a call was passed on that showed this key."""
        return self.let_in.count((call, key))

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        name = details.method.rpartition("/")[2]
        passed_on = self._behind.unary_unary(details.method)

        async def handle(request: bytes, context: Any) -> bytes:
            self.headers = dict(context.invocation_metadata())
            key = self.headers.get("authorization", "").removeprefix("Bearer ")
            if key not in self.keys or name in self.forbidden:
                self.refused.append(key)
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, "Request unauthorized.")
            self.let_in.append((name, key))
            metadata = [(name, value) for name, value in self.headers.items() if name not in _NOT_PASSED_ON]
            return await _answer(
                passed_on(request, metadata=metadata, timeout=context.time_remaining()), context
            )

        return grpc.unary_unary_rpc_method_handler(handle)


async def _answer(call: Any, context: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as exc:
        await context.abort(exc.code(), exc.details() or "", tuple(exc.trailing_metadata() or ()))


@asynccontextmanager
async def demanding_key(target: str, key: str) -> AsyncIterator[KeyProxy]:
    """Let only those with the key through to `host:port`."""
    async with grpc.aio.insecure_channel(target) as behind:
        proxy = KeyProxy(behind, key)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((proxy,))
        proxy.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield proxy
        finally:
            await server.stop(grace=None)
