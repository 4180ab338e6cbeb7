"""Deliveries: one attempt to run a function for a message (docs/architecture.md)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.heartbeat import heartbeating
from workflows.contract import DELIVERY_POSTPONED, Attempt, AttemptFailed, Delivery, FailureDetails, Message
from workflows.delivery import DELIVERY_ID
from workflows.saga import COMPENSATION

__all__ = [
    "Answer",
    "Deliverer",
    "Deliveries",
    "DeliveryContext",
    "DeliveryFailedError",
    "DeliveryPostponedError",
    "TellChain",
]

log = structlog.get_logger("bridge.queue")

# What a failure says must fit beside the message in its dead letter, and Temporal takes 2 MB in all.
_LONGEST_CODE = 200
_LONGEST_ERROR = 4000
_LONGEST_STACK = 6000
_LONGEST_LISTED_ERROR = 500
_LISTED_ATTEMPTS = 20
_MOST_RESULT_BYTES = 1024 * 1024
_LOGGED_HERE = ApplicationErrorCategory.BENIGN
"""Keeps the SDK from logging a traceback of ours for every error of a user's handler."""


class DeliveryFailedError(Exception):
    """The function ran, or began to, and did not succeed."""

    def __init__(self, code: str, message: str, stacktrace: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.stacktrace = stacktrace


@dataclass(frozen=True)
class Answer:
    """What a function answered.

    Attributes:
        result: JSON.
        compensation: The message that undoes what the function did, if it has one.
        delivery_id: Names the attempt.
    """

    result: bytes
    compensation: Message | None = None
    delivery_id: str | None = None


class DeliveryPostponedError(Exception):
    """The delivery could not begin through no fault of the message; it does not count as an attempt."""

    def __init__(self, reason: str, *, waits_for_provider: bool) -> None:
        super().__init__(reason)
        self.waits_for_provider = waits_for_provider


@dataclass(frozen=True)
class DeliveryContext:
    """Where an attempt runs, as its handler may see it.

    Attributes:
        attempt: Counts from 1 over the whole life of the message since it was enqueued or redriven.
    """

    delivery: Delivery
    attempt: int
    workflow_id: str
    run_id: str


class Deliverer(Protocol):
    """Runs functions for deliveries."""

    async def deliver(self, context: DeliveryContext, payload: bytes) -> Answer:
        """Run the function and return what it answered.

        Raises:
            DeliveryFailedError: The attempt failed.
            DeliveryPostponedError: There was no attempt.
        """


TellChain = Callable[[str, AttemptFailed], Awaitable[None]]
"""Tells the chain of a workflow id of a failed attempt, if it can."""


class Deliveries:
    """The activity behind every step: its type is the function id.

    Args:
        deliverer: Runs the functions.
        attempt_failed: Tells a chain that is watched of a failed attempt.
    """

    def __init__(self, deliverer: Deliverer, attempt_failed: TellChain) -> None:
        self._deliverer = deliverer
        self._attempt_failed = attempt_failed
        self._deadlines: set[asyncio.Timeout] = set()
        self._is_cut_off = False

    def cut_off(self) -> None:
        """End every attempt that runs, and every one to come, as postponed: it does not count."""
        self._is_cut_off = True
        now_s = asyncio.get_running_loop().time()
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(now_s)

    @activity.defn(dynamic=True)
    async def deliver(self, args: Sequence[RawValue]) -> RawValue:
        """Make one attempt.

        Raises:
            ApplicationError: The attempt failed; the type is the iii error code.
        """
        converter = activity.payload_converter()
        delivery: Delivery = converter.from_payload(args[0].payload, Delivery)
        info = activity.info()
        earlier = _earlier_attempts(delivery)
        context = DeliveryContext(
            delivery=delivery,
            attempt=delivery.attempts_before + info.attempt,
            workflow_id=info.workflow_id or "",
            run_id=info.workflow_run_id or "",
        )
        try:
            async with heartbeating([earlier]):
                answer = await self._answer_in_time(context, args[1].payload.data)
        except DeliveryPostponedError as exc:
            raise _postponed(exc, context, earlier) from None
        except DeliveryFailedError as exc:
            failed = _failed(exc, context, earlier)
            if delivery.is_watched:
                await self._tell_chain(context, failed)
            raise failed from None
        result = answer.result
        if len(result) > _MOST_RESULT_BYTES:
            log.warning(
                "result not kept: it is too large for Temporal",
                function_id=delivery.message.function_id,
                size_bytes=len(result),
                limit_bytes=_MOST_RESULT_BYTES,
            )
            result = b"null"
        metadata = {"encoding": b"json/plain"}
        if answer.delivery_id is not None:
            metadata[DELIVERY_ID] = answer.delivery_id.encode()
        if answer.compensation is not None:
            metadata[COMPENSATION] = converter.to_payload(answer.compensation).data
        return RawValue(Payload(metadata=metadata, data=result))

    async def _tell_chain(self, context: DeliveryContext, failed: ApplicationError) -> None:
        rules, code = context.delivery.message.rules, failed.type or ""
        is_retried = context.attempt < rules.attempts and code not in rules.non_retryable_errors
        word = AttemptFailed(
            context.delivery.message.receipt,
            context.attempt,
            code,
            failed.message[:_LONGEST_LISTED_ERROR],
            is_retried,
        )
        await self._attempt_failed(context.workflow_id, word)

    async def _answer_in_time(self, context: DeliveryContext, payload: bytes) -> Answer:
        timeout_ms = context.delivery.message.rules.timeout_ms
        running = asyncio.create_task(self._deliverer.deliver(context, payload), name="delivery")
        try:
            async with asyncio.timeout(0 if self._is_cut_off else timeout_ms / 1000) as deadline:
                self._deadlines.add(deadline)
                try:
                    return await _in_spite_of_cancellation(running)
                finally:
                    self._deadlines.discard(deadline)
        except TimeoutError as exc:
            if self._is_cut_off:  # the handler is not to blame
                raise DeliveryPostponedError(
                    "The bridge stopped before the handler answered; the message goes on elsewhere",
                    waits_for_provider=False,
                ) from exc
            _log_timeout(context)
            raise DeliveryFailedError("TIMEOUT", f"No answer within {timeout_ms} ms") from exc
        except asyncio.CancelledError as exc:
            details = activity.cancellation_details()
            if details is None or details.cancel_requested:
                raise
            # The server has given the attempt up, or its workflow was terminated: nobody listens.
            raise ApplicationError("given up by the server", category=_LOGGED_HERE) from exc
        finally:
            running.cancel()


async def _in_spite_of_cancellation(running: asyncio.Task[Answer]) -> Answer:
    """Wait for an attempt; one that is cancelled may finish, for what it has begun may have to be undone."""
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        details = activity.cancellation_details()
        waiting = asyncio.current_task()
        if details is None or not details.cancel_requested or waiting is None:
            raise
        waiting.uncancel()
        return await running


def _log_timeout(context: DeliveryContext) -> None:
    message = context.delivery.message
    log.warning(
        "attempt timed out",
        function_id=message.function_id,
        queue=message.queue,
        chain_id=message.chain_id,
        step=message.receipt,
        workflow_id=context.workflow_id,
        attempt=context.attempt,
        max_attempts=message.rules.attempts,
        timeout_ms=message.rules.timeout_ms,
    )


def _earlier_attempts(delivery: Delivery) -> list[Attempt]:
    """Collect the attempts that failed: an activity passes its own on through heartbeat details."""
    recorded = activity.info().heartbeat_details
    if not recorded:
        return list(delivery.earlier)
    converter = activity.payload_converter()
    attempts: list[Attempt] = converter.from_payload(converter.to_payload(recorded[0]), list[Attempt])
    return attempts


def _postponed(
    exc: DeliveryPostponedError, context: DeliveryContext, earlier: list[Attempt]
) -> ApplicationError:
    details = FailureDetails(
        attempts_made=context.attempt - 1,
        attempts=tuple(earlier),
        waits_for_provider=exc.waits_for_provider,
    )
    return ApplicationError(
        str(exc), details, type=DELIVERY_POSTPONED, non_retryable=True, category=_LOGGED_HERE
    )


def _failed(exc: DeliveryFailedError, context: DeliveryContext, earlier: list[Attempt]) -> ApplicationError:
    rules = context.delivery.message.rules
    code = "invocation_failed" if exc.code in ("", DELIVERY_POSTPONED) else exc.code[:_LONGEST_CODE]
    now_ms = time.time_ns() // 1_000_000
    attempt = Attempt(context.attempt, now_ms, code, exc.message[:_LONGEST_LISTED_ERROR])
    attempts = [*earlier, attempt][-_LISTED_ATTEMPTS:]
    activity.heartbeat(attempts)  # where the next attempt finds them
    stacktrace = exc.stacktrace and exc.stacktrace[-_LONGEST_STACK:]
    details = FailureDetails(attempts_made=context.attempt, stacktrace=stacktrace, attempts=tuple(attempts))
    delay: timedelta | None = None
    if rules.backoff_type == "linear":
        delay = timedelta(milliseconds=rules.backoff_after_ms(context.attempt))
    return ApplicationError(
        exc.message[:_LONGEST_ERROR],
        details,
        type=code,
        next_retry_delay=delay,
        category=_LOGGED_HERE,
    )
