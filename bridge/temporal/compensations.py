"""What undoes a completed step: said by the configuration, or where the function was registered."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import structlog

from bridge.engine.functions import FunctionRegistry
from bridge.engine.undoing import read_undoing
from bridge.temporal.messages import NamedQueue
from workflows.contract import Message
from workflows.names import receipt_at

__all__ = ["Compensation", "Compensations"]

log = structlog.get_logger("bridge.queue")


@dataclass(frozen=True, slots=True)
class Compensation:
    """How what a function did is undone.

    Attributes:
        function_id: The function that undoes it.
        queue: Whose rules it is delivered by; `None` for the queue of the step.
    """

    function_id: str
    queue: str | None = None


class Compensations:
    """Finds the compensation of a step that has completed.

    Args:
        functions: Where functions are registered; the entry `compensate` of a function's metadata is the id
            of the one that undoes it, or `{"function_id": …, "queue": …}`.
        configured: Compensations by function id; they win.
        queues: The named queues.
        now_ms: The Unix time.
    """

    def __init__(
        self,
        functions: FunctionRegistry,
        configured: Mapping[str, Compensation],
        queues: Mapping[str, NamedQueue],
        now_ms: Callable[[], int],
    ) -> None:
        self._functions = functions
        self._configured = configured
        self._queues = queues
        self._now_ms = now_ms

    def of(self, step: Message) -> Message | None:
        """Return the message that undoes a step, if there is one."""
        if step.compensates is not None:
            return None
        compensation = self._configured.get(step.function_id) or self._registered(step)
        return self.message(step, compensation) if compensation else None

    def message(self, step: Message, compensation: Compensation) -> Message:
        """Return the message of a declared compensation.

        Args:
            step: What it undoes.
            compensation: How.
        """
        queue, rules = step.queue, step.rules
        if compensation.queue is not None:
            named = self._queues.get(compensation.queue)
            if named is None:
                log.warning(
                    "queue of a compensation not found, that of the step is used; correct the name",
                    function_id=compensation.function_id,
                    queue=compensation.queue,
                )
            else:
                queue, rules = compensation.queue, named.rules
        key = f"compensate/{compensation.function_id}"
        if step.restarts:  # the one of the time before may still be a dead letter
            key += f"/{step.restarts}"
        return Message(
            receipt=receipt_at(step.home, str(uuid.uuid5(uuid.UUID(step.receipt), key))),
            chain_id=step.chain_id,
            home=step.home,
            function_id=compensation.function_id,
            queue=queue,
            rules=rules,
            namespace=step.namespace,
            parent=step.receipt,
            traceparent=step.traceparent,
            baggage=step.baggage,
            enqueued_at_ms=self._now_ms(),
            restarts=step.restarts,
            compensates=step.receipt,
            is_unwatched=step.is_unwatched,
        )

    def _registered(self, step: Message) -> Compensation | None:
        function = self._functions.find(step.function_id, step.namespace)
        try:
            declared = read_undoing(function.schema.metadata) if function else None
        except msgspec.MsgspecError as exc:
            log.warning(
                "compensation not understood; give a function id or {function_id, queue}",
                function_id=step.function_id,
                reason=str(exc),
            )
            return None
        return Compensation(declared.function_id, declared.queue) if declared else None
