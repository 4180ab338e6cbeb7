"""The `stream::*` functions (spec 03 §3.1)."""

import msgspec
import structlog

from bridge.builtins.entries import failures_reported_as
from bridge.builtins.stream.announcer import Announcer
from bridge.builtins.stream.events import DataEvent, SentEvent, SentMessage, Topic
from bridge.builtins.stream.items import Items, Replaced
from bridge.builtins.stream.messages import (
    AllStreamsAnswer,
    DeleteAnswer,
    GroupInput,
    ItemInput,
    NoInput,
    SendInput,
    SetInput,
    StreamInput,
    UpdateInput,
    WriteAnswer,
)
from bridge.engine.calls import Call
from bridge.engine.engine import decode_input
from bridge.errors import StorageError
from bridge.protocol import payload
from bridge.protocol.payload import NULL

__all__ = ["StreamFunctions"]

log = structlog.get_logger("bridge.stream")

_set_decoder = msgspec.json.Decoder(SetInput)
_item_decoder = msgspec.json.Decoder(ItemInput)
_update_decoder = msgspec.json.Decoder(UpdateInput)
_group_decoder = msgspec.json.Decoder(GroupInput)
_stream_decoder = msgspec.json.Decoder(StreamInput)
_no_input_decoder = msgspec.json.Decoder(NoInput)
_send_decoder = msgspec.json.Decoder(SendInput)


class StreamFunctions:
    """Reads and writes items and announces what changed.

    Args:
        items: Where the items live.
        announcer: Told of every change.
    """

    def __init__(self, items: Items, announcer: Announcer) -> None:
        self._items = items
        self._announcer = announcer

    async def set(self, call: Call) -> msgspec.Raw:
        """Replace an item."""
        request = decode_input(call, _set_decoder)
        return await self._answer_write(request, await self._items.set(call, request))

    async def update(self, call: Call) -> msgspec.Raw:
        """Apply a list of changes to an item."""
        request = decode_input(call, _update_decoder)
        return await self._answer_write(request, await self._items.update(call, request))

    async def delete(self, call: Call) -> msgspec.Raw:
        """Remove an item; nothing is announced if there was none."""
        request = decode_input(call, _item_decoder)
        old_value = await self._items.delete(call, request)
        if old_value is None:
            return payload.encode(DeleteAnswer())
        await self._announce_change(request, DataEvent("delete", old_value))
        return payload.encode(DeleteAnswer(old_value))

    async def get(self, call: Call) -> msgspec.Raw:
        """Return an item; no result if there is none."""
        return await self._items.get(call, decode_input(call, _item_decoder))

    async def list(self, call: Call) -> msgspec.Raw:
        """Return the items of a group."""
        return await self._items.list(call, decode_input(call, _group_decoder))

    async def list_groups(self, call: Call) -> msgspec.Raw:
        """Return the groups of a stream: a bare array, unlike `state::list_groups`."""
        return await self._items.list_groups(call, decode_input(call, _stream_decoder))

    async def list_all(self, call: Call) -> msgspec.Raw:
        """Return the streams and their groups."""
        decode_input(call, _no_input_decoder)
        streams = await self._items.list_all()
        return payload.encode(AllStreamsAnswer(streams, len(streams)))

    async def send(self, call: Call) -> msgspec.Raw:
        """Send a message to a group without storing anything."""
        request = decode_input(call, _send_decoder)
        with failures_reported_as("STREAM_SEND_ERROR"):
            await self._announcer.announce(
                Topic(request.stream_name, request.group_id, request.id),
                SentEvent(SentMessage(request.name, request.data)),
            )
        return NULL

    async def _answer_write(self, item: ItemInput, replaced: Replaced) -> msgspec.Raw:
        is_new = replaced.old_value is None
        event = DataEvent("create" if is_new else "update", replaced.new_value)
        await self._announce_change(item, event)
        old_value = NULL if replaced.old_value is None else replaced.old_value
        return payload.encode(WriteAnswer(old_value, replaced.new_value, replaced.errors))

    async def _announce_change(self, item: ItemInput, event: DataEvent) -> None:
        try:
            await self._announcer.announce(Topic(item.stream_name, item.group_id, item.item_id), event)
        except StorageError as exc:
            # The change has happened and stays, so its caller is not told that it failed.
            log.warning(
                "stream event lost, nobody is told",
                stream_name=item.stream_name,
                group_id=item.group_id,
                reason=str(exc),
            )
