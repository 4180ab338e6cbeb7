"""What workflows need of the world besides deliveries."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from activities.deliveries import DeliveryFailedError
from activities.heartbeat import heartbeating
from workflows.contract import Activity, CronTick, Message, Ticket

__all__ = ["CronFirer", "Operations", "Sender"]


class Sender(Protocol):
    """Sends messages and asks about workflows."""

    async def join_lane(self, ticket: Ticket) -> None:
        """Put a chain's step in its lane's line; a second time changes nothing."""

    async def redrive(self, message: Message, payload: bytes) -> None:
        """Send a dead message on its way again; a second time changes nothing."""

    async def is_open(self, workflow_id: str) -> bool:
        """Tell whether a workflow is running."""


CronFirer = Callable[[CronTick], Awaitable[str]]
"""Fires a cron trigger; answers a `CronResult`, raises `DeliveryFailedError` when the function failed."""


@dataclass(frozen=True)
class Operations:
    """Activities of our own workflows."""

    sender: Sender
    fire: CronFirer

    @activity.defn(name=Activity.JOIN_LANE)
    async def join_lane(self, ticket: Ticket) -> None:
        """Put a chain's step in its lane's line."""
        await self.sender.join_lane(ticket)

    @activity.defn(name=Activity.REDRIVE)
    async def redrive(self, message: Message, payload: RawValue) -> None:
        """Send a dead message on its way again."""
        await self.sender.redrive(message, payload.payload.data)

    @activity.defn(name=Activity.IS_OPEN)
    async def is_open(self, workflow_id: str) -> bool:
        """Tell whether a workflow is running."""
        return await self.sender.is_open(workflow_id)

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
