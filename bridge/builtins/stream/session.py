"""What the frames of one stream client mean (spec 03 §3.5). No I/O: text in, frames out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from bridge.builtins.stream.events import DataEvent, Envelope, Event, Topic, UnauthorizedEvent
from bridge.builtins.stream.items import Items
from bridge.builtins.stream.messages import GroupInput, ItemInput
from bridge.builtins.stream.subscriptions import Subscription, Subscriptions
from bridge.builtins.stream.triggers import Gate
from bridge.engine.calls import Call
from bridge.engine.engine import Spawn
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from bridge.protocol.payload import NULL, is_present

__all__ = ["Join", "Membership", "StreamSession"]

log = structlog.get_logger("bridge.stream")


class Join(msgspec.Struct, frozen=True, rename="camel"):
    """What a client wants to see, or no longer wants to."""

    subscription_id: str
    stream_name: str
    group_id: str
    id: str | None = None

    @property
    def topic(self) -> Topic:
        """The group, or the one item of it."""
        return Topic(self.stream_name, self.group_id, self.id)


class _JoinMessage(msgspec.Struct, frozen=True, tag_field="type", tag="join"):
    data: Join


class _LeaveMessage(msgspec.Struct, frozen=True, tag_field="type", tag="leave"):
    data: Join


class _GateEvent(msgspec.Struct, frozen=True):
    """What join and leave triggers are given."""

    subscription_id: str
    stream_name: str
    group_id: str
    id: str | None
    context: msgspec.Raw


class _GateAnswer(msgspec.Struct, frozen=True):
    unauthorized: msgspec.Raw = NULL


_message_decoder: msgspec.json.Decoder[_JoinMessage | _LeaveMessage] = msgspec.json.Decoder(
    _JoinMessage | _LeaveMessage
)
_gate_answer_decoder = msgspec.json.Decoder(_GateAnswer)


@dataclass(frozen=True, slots=True)
class Membership:
    """What every session needs.

    Attributes:
        subscriptions: Who gets which events.
        items: What a new subscriber is shown first.
        joins: Asked before a client may subscribe.
        leaves: Told when a subscription ends.
        spawn: Runs what outlives a connection.
        now_ms: Unix time in milliseconds.
    """

    subscriptions: Subscriptions
    items: Items
    joins: Gate
    leaves: Gate
    spawn: Spawn
    now_ms: Callable[[], int]


class StreamSession:
    """One client's conversation. Its messages take effect strictly one after another.

    Args:
        membership: The parts all sessions share.
        send: Puts a frame on its way to the client; never blocks.
        context: What the auth function said of the client, for join and leave triggers.
    """

    def __init__(self, membership: Membership, send: Callable[[bytes], None], context: msgspec.Raw) -> None:
        self._membership = membership
        self._send = send
        self._context = context
        self._subscriptions: dict[str, Subscription] = {}

    async def receive(self, frame: str | bytes) -> None:
        """Take one frame; one that cannot be understood is ignored, and the connection goes on.

        Cancellation: safe; a join that was waiting for its triggers does not happen.
        """
        try:
            message = _message_decoder.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            log.debug("stream frame ignored", reason=str(exc), size_bytes=len(frame))
            return
        match message:
            case _JoinMessage():
                await self.join(message.data)
            case _LeaveMessage():
                await self._leave(message.data)

    async def join(self, join: Join) -> None:
        """Subscribe, if no join trigger objects, and show the client what is there now.

        The subscription begins before the read, so that no change falls between the two: a change made
        meanwhile may arrive before the `sync` that contains it.
        """
        if await self._is_refused(join):
            self._send_event(join.topic, UnauthorizedEvent(), self._membership.now_ms())
            return
        self._unsubscribe(join.subscription_id)
        subscription = Subscription(join.subscription_id, join.topic, self._send)
        self._subscriptions[subscription.id] = subscription
        self._membership.subscriptions.add(subscription)
        read_at_ms = self._membership.now_ms()
        try:
            data = await self._read(join)
        except FunctionFailedError as exc:
            log.warning(
                "sync left out: the items cannot be read", stream_name=join.stream_name, error=str(exc)
            )
            return
        self._send_event(join.topic, DataEvent("sync", data), read_at_ms)

    def close(self) -> None:
        """End every subscription; the leave triggers run after this returns."""
        ended = list(self._subscriptions.values())
        for subscription in ended:
            self._unsubscribe(subscription.id)
        if ended:
            self._membership.spawn(self._tell_of_end(ended), "stream leave triggers")

    async def _leave(self, leave: Join) -> None:
        await self._membership.leaves.ask(self._gate_event(leave.subscription_id, leave.topic))
        self._unsubscribe(leave.subscription_id)

    async def _tell_of_end(self, ended: Sequence[Subscription]) -> None:
        for subscription in ended:
            await self._membership.leaves.ask(self._gate_event(subscription.id, subscription.topic))

    async def _is_refused(self, join: Join) -> bool:
        outcomes = await self._membership.joins.ask(self._gate_event(join.subscription_id, join.topic))
        return any(_refuses(outcome.result) for outcome in outcomes)

    async def _read(self, join: Join) -> msgspec.Raw:
        items = self._membership.items
        if join.id is None:
            group = GroupInput(join.stream_name, join.group_id)
            data = await items.list(Call("stream::list", payload.encode(group)), group)
        else:
            item = ItemInput(join.stream_name, join.group_id, join.id)
            data = await items.get(Call("stream::get", payload.encode(item)), item)
        return data if is_present(data) else NULL

    def _unsubscribe(self, subscription_id: str) -> None:
        subscription = self._subscriptions.pop(subscription_id, None)
        if subscription is not None:
            self._membership.subscriptions.remove(subscription)

    def _send_event(self, topic: Topic, event: Event, timestamp_ms: int) -> None:
        self._send(bytes(payload.encode(Envelope.about(topic, event, timestamp_ms=timestamp_ms))))

    def _gate_event(self, subscription_id: str, topic: Topic) -> msgspec.Raw:
        return payload.encode(
            _GateEvent(subscription_id, topic.stream_name, topic.group_id, topic.item_id, self._context)
        )


def _refuses(answer: msgspec.Raw) -> bool:
    """Only an object whose `unauthorized` is `true` refuses; anything else, a failure too, allows."""
    try:
        return _gate_answer_decoder.decode(answer).unauthorized == msgspec.Raw(b"true")
    except msgspec.MsgspecError:
        return False
