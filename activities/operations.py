"""What workflows need of the world besides deliveries."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec
from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from activities.deliveries import DeliveryFailedError
from activities.heartbeat import heartbeating
from workflows.contract import Activity, ChainEvent, CronTick, Message, Parcel, Ticket, WatchedEnd

__all__ = ["CronFirer", "Operations", "PublishEvents", "Sender"]

_MOVES_AT_ONCE = 20
_array = msgspec.json.Decoder(list[msgspec.Raw])


class Sender(Protocol):
    """Sends messages and asks about lanes. A second time changes nothing, except where said otherwise."""

    async def join_lane(self, ticket: Ticket) -> None:
        """Make sure that a chain's step stands in its lane's line."""

    async def lane_holds(self, lane_workflow_id: str, receipt: str) -> bool:
        """Tell whether a message stands in a lane's line."""

    async def dead_letter_is_open(self, queue: str, receipt: str) -> bool:
        """Tell whether a message is among the dead letters, neither redriven nor discarded."""

    async def move_to_chain(self, parcel: Parcel, payload: bytes) -> None:
        """Have a message go on in the chain that is its home."""

    async def send_apart(self, message: Message, payload: bytes) -> None:
        """Begin a chain of a message's own, and have it stand in its lane's line."""

    async def redrive(self, parcel: Parcel, payload: bytes) -> None:
        """Send a dead message on its way again; a second time after it has ended sends it again."""


CronFirer = Callable[[CronTick], Awaitable[str]]
"""Fires a cron trigger; answers a `CronResult`, raises `DeliveryFailedError` when the function failed."""


Watch = Callable[[str, str], Awaitable[WatchedEnd | None]]
"""Tells how a message ended, by its receipt; `None` if its workflow will tell the one of the second id."""


PublishEvents = Callable[[list[ChainEvent]], Awaitable[None]]
"""Gives everybody who watches chains the events that they want to hear of."""


@dataclass(frozen=True)
class Operations:
    """Activities of our own workflows."""

    sender: Sender
    fire: CronFirer
    watch_end: Watch
    publish_events: PublishEvents

    @activity.defn(name=Activity.JOIN_LANE)
    async def join_lane(self, ticket: Ticket) -> None:
        """Put a chain's step in its lane's line."""
        await self.sender.join_lane(ticket)

    @activity.defn(name=Activity.LANE_HOLDS)
    async def lane_holds(self, lane_workflow_id: str, receipt: str) -> bool:
        """Tell whether a message stands in a lane's line."""
        return await self.sender.lane_holds(lane_workflow_id, receipt)

    @activity.defn(name=Activity.DEAD_LETTER_IS_OPEN)
    async def dead_letter_is_open(self, queue: str, receipt: str) -> bool:
        """Tell whether a message is among the dead letters."""
        return await self.sender.dead_letter_is_open(queue, receipt)

    @activity.defn(name=Activity.MOVE_TO_CHAIN)
    async def move_to_chain(self, parcels: list[Parcel], payloads: RawValue) -> None:
        """Have messages go on in chains of their own; `payloads` is a JSON array in their order."""
        values = _array.decode(payloads.payload.data)
        loads = list(zip(parcels, values, strict=True))
        for at in range(0, len(loads), _MOVES_AT_ONCE):
            async with asyncio.TaskGroup() as moves:
                for parcel, value in loads[at : at + _MOVES_AT_ONCE]:
                    moves.create_task(self.sender.move_to_chain(parcel, bytes(value)))

    @activity.defn(name=Activity.SEND_APART)
    async def send_apart(self, message: Message, payload: RawValue) -> None:
        """Send what a dedupe marker holds."""
        await self.sender.send_apart(message, payload.payload.data)

    @activity.defn(name=Activity.REDRIVE)
    async def redrive(self, parcel: Parcel, payload: RawValue) -> None:
        """Send a dead message on its way again."""
        await self.sender.redrive(parcel, payload.payload.data)

    @activity.defn(name=Activity.WATCH)
    async def watch(self, receipt: str, watcher_id: str) -> WatchedEnd | None:
        """Tell how a message ended; if it has not, have the watcher told when it does."""
        return await self.watch_end(receipt, watcher_id)

    @activity.defn(name=Activity.PUBLISH_CHAIN_EVENTS)
    async def publish_chain_events(self, events: list[ChainEvent]) -> None:
        """Give everybody who watches chains the events, in their order."""
        await self.publish_events(events)

    @activity.defn(name=Activity.FIRE_CRON)
    async def fire_cron(self, tick: CronTick) -> str:
        """Fire a cron trigger.

        Raises:
            ApplicationError: The function failed; the type is the iii error code, the detail its stack.
        """
        try:
            async with heartbeating():
                return await self.fire(tick)
        except DeliveryFailedError as exc:
            details = [exc.stacktrace] if exc.stacktrace else []
            raise ApplicationError(exc.message, *details, type=exc.code, non_retryable=True) from exc
