"""Deliveries, seen from the bridge: hand a message's payload to whoever offers its function."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from activities.deliveries import Answer, DeliveryContext, DeliveryFailedError, DeliveryPostponedError
from bridge.engine.calls import Call, Job, Outcome
from bridge.engine.engine import Engine
from bridge.engine.observation import POSTPONED, DeliveryStart, OnEnd, all_of, broken_off
from bridge.engine.tracing import baggage_without_tags, continue_trace, new_traceparent
from bridge.errors import WorkerGoneError
from bridge.protocol import payload
from bridge.protocol.inbound import ErrorBody
from bridge.protocol.payload import absent
from workflows.contract import Message

__all__ = ["METADATA_KEY", "EngineDeliverer"]

METADATA_KEY = "iii-temporal"
"""Where handlers find the durable context, beside the enqueuer's own metadata."""

_NOTHING = b"null"


class EngineDeliverer:
    """Delivers through the engine.

    Args:
        engine: Routes the call.
        new_id: Makes fresh UUIDs.
        compensation_of: Tells what undoes a step once it has completed.
        keeper: Who keeps the chains that the deliveries come from.
        namespace: Its namespace of Temporal.
    """

    def __init__(
        self,
        engine: Engine,
        new_id: Callable[[], str],
        compensation_of: Callable[[Message], Message | None],
        *,
        keeper: str,
        namespace: str,
    ) -> None:
        self._engine = engine
        self._keeper = keeper
        self._namespace = namespace
        self._compensation_of = compensation_of
        self._new_id = new_id
        self._is_stopping = False

    def stop(self) -> None:
        """Begin no more deliveries; those that end with the connections do not count as attempts."""
        self._is_stopping = True

    async def deliver(self, context: DeliveryContext, data: bytes) -> Answer:
        """Run the function and return what it answered, and how that is undone.

        Raises:
            DeliveryFailedError: The attempt failed.
            DeliveryPostponedError: Nobody offers the function now, or the bridge is stopping.

        Cancellation: the handler keeps running, its answer is dropped.
        """
        job = self._job(context)
        call = self._call(context, job, msgspec.Raw(data))
        end = self._observe(context, call)
        error: ErrorBody | None = broken_off()
        try:
            answer = await self._deliver(context.delivery.message, call)
            error = None
        except DeliveryFailedError as exc:
            error = ErrorBody(exc.code, exc.message)
            raise
        except DeliveryPostponedError as exc:
            error = ErrorBody(POSTPONED, str(exc))
            raise
        finally:
            job.is_doubtful = error is not None  # the handler may go on, beside the next attempt's
            end(error)
        return replace(answer, delivery_id=job.delivery_id)

    async def _deliver(self, message: Message, call: Call) -> Answer:
        if self._is_stopping:
            raise _stopping()
        if not self._engine.has_provider(message.function_id, message.namespace):
            raise DeliveryPostponedError(
                f"Nobody offers {message.function_id} now; the message waits for a worker that does",
                waits_for_provider=True,
            )
        if message.condition_function_id is not None and not await self._is_wanted(message, call):
            return Answer(_NOTHING)
        # Before it runs: when it has, its worker may be gone, and with it what is registered.
        compensation = self._compensation_of(message)
        result = self._result(await self._engine.invoke(call))
        return Answer(result, compensation)

    async def _is_wanted(self, message: Message, call: Call) -> bool:
        """Ask the condition: only the answer `false` skips the message (spec 02 §5.5)."""
        condition = message.condition_function_id or ""
        outcome = await self._engine.invoke(replace(call, function_id=condition, metadata=absent()))
        if outcome.error is not None:
            failed = outcome.error
            text = f"Condition function error: {failed.message}"
            outcome = Outcome(error=ErrorBody(failed.code, text, failed.stacktrace))
        return self._result(outcome).strip() != b"false"

    def _observe(self, context: DeliveryContext, call: Call) -> OnEnd:
        message = context.delivery.message
        start = DeliveryStart(
            function_id=message.function_id,
            queue=message.queue,
            chain_id=message.chain_id,
            receipt=message.receipt,
            workflow_id=context.workflow_id,
            attempt=context.attempt,
            max_attempts=message.rules.attempts,
            enqueued_at_ms=message.enqueued_at_ms,
            parent=message.traceparent,
            traceparent=call.traceparent or "",
        )
        return all_of(each.delivery_started(start) for each in self._engine.observers)

    def _job(self, context: DeliveryContext) -> Job:
        message = context.delivery.message
        return Job(
            chain_id=message.chain_id,
            home=message.home,
            workflow_id=context.workflow_id,
            receipt=message.receipt,
            delivery_id=self._new_id(),
            children=frozenset(message.children),
            restarts=message.restarts,
            is_undoing=message.compensates is not None,
            is_unwatched=message.is_unwatched,
            keeper=self._keeper,
            context=_facts(context, self._namespace),
        )

    def _call(self, context: DeliveryContext, job: Job, data: msgspec.Raw) -> Call:
        message = context.delivery.message
        return Call(
            function_id=message.function_id,
            data=data,
            namespace=message.namespace,
            metadata=_metadata(message, job.context),
            # A fresh span in the trace of the enqueuer: it tells this attempt from every other one.
            traceparent=continue_trace(_trace_of(message), self._new_id()),
            baggage=baggage_without_tags(message.baggage),
            job=job,
        )

    def _result(self, outcome: Outcome) -> bytes:
        error = outcome.error
        if error is None:
            return bytes(outcome.result) or _NOTHING
        if error.code == WorkerGoneError.code and self._is_stopping:
            raise _stopping()
        raise DeliveryFailedError(error.code, error.message, error.stacktrace)


def _stopping() -> DeliveryPostponedError:
    return DeliveryPostponedError(
        "The bridge is stopping; the message goes on elsewhere", waits_for_provider=False
    )


def _trace_of(message: Message) -> str:
    return message.traceparent or new_traceparent(message.receipt, uuid.UUID(message.chain_id).hex)


def _facts(context: DeliveryContext, namespace: str) -> dict[str, object]:
    message = context.delivery.message
    facts: dict[str, object] = {
        "chain_id": message.chain_id,
        "workflow_id": context.workflow_id,
        "run_id": context.run_id,
        "namespace": namespace,
        "step": message.function_id,
        "receipt": message.receipt,
        "queue": message.queue,
        "attempt": context.attempt,
        "max_attempts": message.rules.attempts,
        # What a compensated chain did is undone, so that it has to be done again when the chain restarts.
        "idempotency_key": f"{message.receipt}/{message.restarts}" if message.restarts else message.receipt,
    }
    if message.compensates is not None:
        facts["compensates"] = message.compensates
    return facts


def _metadata(message: Message, facts: Mapping[str, object]) -> msgspec.Raw:
    """Put the durable context beside the enqueuer's own metadata, which stays as it was."""
    own = msgspec.Raw((message.metadata or "{}").encode())
    if not payload.is_object(own):
        own = payload.encode({"value": own})
    return payload.with_entry(own, METADATA_KEY, facts)
