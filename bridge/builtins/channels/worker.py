"""The built-in that makes channels for workers (spec 04 §6.1)."""

import asyncio
from typing import Annotated

import msgspec

from bridge.builtins.channels.table import DEFAULT_MESSAGES, ChannelTable
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, Spawn, decode_input
from bridge.engine.functions import FunctionSchema
from bridge.protocol import payload

__all__ = ["Channels"]

SWEEP_INTERVAL_S = 60
FUNCTION_ID = "engine::channels::create"


class _CreateInput(msgspec.Struct, frozen=True):
    buffer_size: Annotated[int, msgspec.Meta(ge=0)] | None = None


_decoder = msgspec.json.Decoder(_CreateInput)


class Channels:
    """Offers `engine::channels::create` and expires channels that nobody opens.

    Args:
        table: Where the channels live.
        spawn: Runs the task that expires them.
    """

    def __init__(self, table: ChannelTable, spawn: Spawn) -> None:
        self._table = table
        self._spawn = spawn
        self._stopping = asyncio.Event()

    def register(self, engine: Engine) -> None:
        """Offer the function."""
        engine.add_builtin(
            FUNCTION_ID,
            self._create,
            owner_name="iii-engine-functions",
            schema=FunctionSchema(
                "Create a streaming channel and return the references of its two ends.",
                request_format=payload.encode(
                    {
                        "type": "object",
                        "properties": {"buffer_size": {"type": ["integer", "null"], "minimum": 0}},
                    }
                ),
            ),
        )

    async def start(self) -> None:
        """Begin to expire half-open channels."""
        self._spawn(self._sweep_until_stopped(), "channel sweep")

    async def close(self) -> None:
        """Stop expiring channels."""
        self._stopping.set()

    async def _create(self, call: Call) -> msgspec.Raw:
        wanted = decode_input(call, _decoder).buffer_size
        channel = self._table.create(max_messages=DEFAULT_MESSAGES if wanted is None else wanted)
        return payload.encode({"writer": channel.ref("write"), "reader": channel.ref("read")})

    async def _sweep_until_stopped(self) -> None:
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(SWEEP_INTERVAL_S):
                    await self._stopping.wait()
            except TimeoutError:
                self._table.sweep()
