"""What a chain tells those who watch it: in order, without making its steps wait."""

import asyncio
from collections import deque
from dataclasses import replace
from enum import StrEnum

from temporalio import workflow
from temporalio.common import RawValue

from workflows.calls import call, now_ms
from workflows.contract import Activity, ChainEvent, Message, Tenancy
from workflows.results import is_result_omitted

__all__ = ["ChainEventType", "EventOutbox"]

_AT_ONCE = 10
"""What one activity brings to every subscriber in time."""
_LARGEST_RESULT_TOLD = 4 * 1024
_LONGEST_ERROR_TOLD = 500


class ChainEventType(StrEnum):
    """The events that a trigger of type `chain` can ask for."""

    STEP_START = "step:start"
    STEP_COMPLETE = "step:complete"
    STEP_ERROR = "step:error"
    STEP_RETRY = "step:retry"
    DEAD_LETTER = "dead-letter"
    COMPENSATED = "compensated"
    CHAIN_COMPLETE = "chain:complete"
    CHAIN_FAILED = "chain:failed"


class EventOutbox:
    """Events on their way to those who watch; nothing is kept for a chain that nobody watches.

    Args:
        tenancy: The names to use.
        is_watched: Whether somebody watched when the chain began.
        sent: How many events the runs before this one have told.
    """

    def __init__(self, tenancy: Tenancy, *, is_watched: bool, sent: int) -> None:
        self.is_watched = is_watched
        self.sent = sent
        self._chain_id = ""
        self._tenancy = tenancy
        self._waiting: deque[ChainEvent] = deque()
        self._telling: asyncio.Task[None] | None = None

    def note(
        self,
        event: ChainEventType,
        message: Message | None = None,
        *,
        attempt: int | None = None,
        result: RawValue | None = None,
        code: str | None = None,
        error: str | None = None,
    ) -> None:
        """Tell of an event as soon as those before it have been told.

        Args:
            event: What happened.
            message: The step to which it happened; `None` for the whole chain.
            attempt: Which delivery of the step.
            result: What its function answered; a large one is left out.
            code: The code of the error.
            error: Its text.
        """
        if not self.is_watched:
            return
        self.sent += 1
        info = workflow.info()
        home = info.workflow_id.rpartition("/")[2]
        self._chain_id = message.chain_id if message else self._chain_id or home
        data = result.payload.data if result is not None and not is_result_omitted(result) else None
        self._waiting.append(
            ChainEvent(
                event=event,
                sequence=self.sent,
                at_ms=now_ms(),
                workflow_id=info.workflow_id,
                run_id=info.run_id,
                chain_id=self._chain_id,
                home=home,
                first_function_id=info.workflow_type,
                message=message and replace(message, metadata=None, baggage=None, children=()),
                attempt=attempt,
                result=data.decode() if data is not None and len(data) <= _LARGEST_RESULT_TOLD else None,
                code=code,
                error=error[:_LONGEST_ERROR_TOLD] if error is not None else None,
            )
        )
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell())

    async def flush(self) -> None:
        """Return when everything has been told.

        Cancellation: safe.
        """
        await workflow.wait_condition(lambda: self._telling is None)

    async def _tell(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))]
            await call(self._tenancy, Activity.PUBLISH_CHAIN_EVENTS, batch)
        self._telling = None
