"""Too many dead letters: said in the log, and told to the queue's alert function, once per crossing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from activities.deliveries import DeliveryFailedError
from bridge.engine.calls import Call, Outcome
from bridge.engine.engine import Engine
from bridge.engine.observation import DeadLetterLimit, QueueState
from bridge.errors import BridgeError
from bridge.protocol import payload
from workflows.contract import AlarmStart

__all__ = ["Alarms", "DeadLetterWatch"]

log = structlog.get_logger("bridge.queue")

_LOOK_EVERY_S = 10.0
_ALERT_TIMEOUT_S = 30


class Alarms(Protocol):
    """Where alarms are: one at a time for each queue, over all bridges."""

    async def begin(
        self, queue: str, function_id: str, *, count: int, capacity: int, threshold: int, at_ms: int
    ) -> None:
        """Raise an alarm, unless the queue has one."""

    async def end(self, queue: str) -> None:
        """End the alarm of a queue, if it has one."""


class DeadLetterWatch:
    """Notices when the dead letters of a queue reach their threshold, and when they no longer do.

    Args:
        engine: Runs the alert functions.
        limits: When the dead letters of a queue are too many; read at every look.
        read_queues: Asks about the queues; raises `BridgeError` when it gets no answer.
        alarms: Where alarms are.
        now_ms: Unix time.
    """

    def __init__(
        self,
        engine: Engine,
        limits: Mapping[str, DeadLetterLimit],
        read_queues: Callable[[], Awaitable[Sequence[QueueState]]],
        alarms: Alarms,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._read_queues = read_queues
        self._alarms = alarms
        self._now_ms = now_ms
        self._has_too_many: dict[str, bool] = {}

    async def run(self) -> None:
        """Look now and then, for ever.

        Cancellation: safe.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._limits or any(self._has_too_many.values()):
                await self.look()

    async def look(self) -> None:
        """Look once; what cannot be said to Temporal now is said at the next look."""
        try:
            queues = await self._read_queues()
            for queue in queues:
                limit = self._limits.get(queue.name)
                if limit is not None or self._has_too_many.get(queue.name):
                    await self._compare(queue, limit)
        except BridgeError as exc:
            log.debug("dead letters not counted", reason=str(exc))

    async def _compare(self, queue: QueueState, limit: DeadLetterLimit | None) -> None:
        had_too_many = self._has_too_many.get(queue.name)
        if limit is None or queue.dead_letters < limit.threshold:
            if had_too_many:
                log.info("dead letters are few enough again", queue=queue.name, count=queue.dead_letters)
            if had_too_many is not False:  # this bridge may have begun after the alarm
                await self._alarms.end(queue.name)
            self._has_too_many[queue.name] = False
        elif not had_too_many:
            await self._raise_alarm(queue, limit)
            self._has_too_many[queue.name] = True

    async def _raise_alarm(self, queue: QueueState, limit: DeadLetterLimit) -> None:
        log.warning(
            "too many dead letters: mend the cause, then redrive or discard them",
            queue=queue.name,
            count=queue.dead_letters,
            threshold=limit.threshold,
            capacity=limit.capacity,
        )
        if limit.alert_function_id is not None:
            await self._alarms.begin(
                queue.name,
                limit.alert_function_id,
                count=queue.dead_letters,
                capacity=limit.capacity,
                threshold=limit.threshold,
                at_ms=self._now_ms(),
            )

    async def alert(self, alarm: AlarmStart) -> None:
        """Call an alert function.

        Raises:
            DeliveryFailedError: It failed, or nobody offers it here.
        """
        told = {
            "queue": alarm.queue,
            "count": alarm.count,
            "capacity": alarm.capacity,
            "threshold": alarm.threshold,
            "at_ms": alarm.at_ms,
        }
        outcome = await self._call(alarm.function_id, told)
        if outcome.error is not None:
            log.warning(
                "alert function not called or failed",
                function_id=alarm.function_id,
                queue=alarm.queue,
                code=outcome.error.code,
                error=outcome.error.message,
            )
            raise DeliveryFailedError(outcome.error.code, outcome.error.message)

    async def _call(self, function_id: str, told: dict[str, object]) -> Outcome:
        try:
            async with asyncio.timeout(_ALERT_TIMEOUT_S):
                return await self._engine.invoke(Call(function_id, payload.encode(told)))
        except TimeoutError as exc:
            raise DeliveryFailedError("TIMEOUT", f"No answer within {_ALERT_TIMEOUT_S} s") from exc
