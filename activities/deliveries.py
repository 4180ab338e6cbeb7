"""Deliveries: one attempt to run a function for a message (docs/architecture.md)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import structlog
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.heartbeat import heartbeating
from workflows.contract import DELIVERY_POSTPONED, Attempt, AttemptFailed, Delivery, FailureDetails, Message
from workflows.results import COMPENSATION, DELIVERY_ID, OMITTED

__all__ = [
    "Answer",
    "Deliverer",
    "Deliveries",
    "DeliveryContext",
    "DeliveryFailedError",
    "DeliveryPostponedError",
    "Payloads",
    "ResultNotKeptError",
    "TellChain",
]

log = structlog.get_logger("bridge.queue")

_Done = TypeVar("_Done")

# What a failure says must fit beside the message in its dead letter, and Temporal takes 2 MB in all.
_LONGEST_CODE = 200
_LONGEST_ERROR = 4000
_LONGEST_STACK = 6000
_LONGEST_LISTED_ERROR = 500
_LISTED_ATTEMPTS = 20
_LONGEST_OMISSION = 500
_GRACE_S = 5.0
"""Temporal waits a little longer for an attempt than its handler may take; a result is kept in this time."""
_LONGEST_KEEPING_S = 60.0
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
    workflow_type: str = ""


class Deliverer(Protocol):
    """Runs functions for deliveries."""

    async def deliver(self, context: DeliveryContext, payload: bytes) -> Answer:
        """Run the function and return what it answered.

        Raises:
            DeliveryFailedError: The attempt failed.
            DeliveryPostponedError: There was no attempt.
        """


class ResultNotKeptError(Exception):
    """Temporal cannot keep a result, and nothing else can; the text says why."""


class Payloads(Protocol):
    """Where the payloads of deliveries are that Temporal itself does not keep."""

    async def load(self, payload: Payload) -> Payload:
        """Return a payload, wherever it is, for as long as it takes.

        Cancellation: safe.
        """

    async def keep(self, result: Payload, context: DeliveryContext, at_most_s: float) -> Payload:
        """Return what Temporal is to be given of a result.

        Raises:
            ResultNotKeptError: It cannot be kept, or not within the time.
        """


TellChain = Callable[[str, AttemptFailed], Awaitable[None]]
"""Tells the chain of a workflow id of a failed attempt, if it can."""


class Deliveries:
    """The activity behind every step: its type is the function id.

    Args:
        deliverer: Runs the functions.
        payloads: Where payloads are that Temporal does not keep.
        attempt_failed: Tells a chain that is watched of a failed attempt.
    """

    def __init__(self, deliverer: Deliverer, payloads: Payloads, attempt_failed: TellChain) -> None:
        self._deliverer = deliverer
        self._payloads = payloads
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
            workflow_type=info.workflow_type or "",
        )
        try:
            async with heartbeating([earlier]):
                return await self._attempt(context, args[1].payload)
        except DeliveryPostponedError as exc:
            raise _postponed(exc, context, earlier) from None
        except DeliveryFailedError as exc:
            failed = _failed(exc, context, earlier)
            if delivery.is_watched:
                await self._tell_chain(context, failed)
            raise failed from None

    async def _attempt(self, context: DeliveryContext, payload: Payload) -> RawValue:
        """Run the function; once it has answered, the step has completed, whatever becomes of the answer."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + context.delivery.message.rules.timeout_ms / 1000 + _GRACE_S
        try:
            answer = await self._answer_in_time(context, payload)
            left_s = min(deadline_s - loop.time(), _LONGEST_KEEPING_S)
            kept = await _in_spite_of_cancellation(self._keep(context, answer, left_s), "keep result")
        except asyncio.CancelledError as exc:
            details = activity.cancellation_details()
            if details is None or details.cancel_requested:
                raise
            # The server has given the attempt up, or its workflow was terminated: nobody listens.
            raise ApplicationError("given up by the server", category=_LOGGED_HERE) from exc
        return RawValue(kept)

    async def _keep(self, context: DeliveryContext, answer: Answer, at_most_s: float) -> Payload:
        metadata = {"encoding": b"json/plain"}
        if answer.delivery_id is not None:
            metadata[DELIVERY_ID] = answer.delivery_id.encode()
        if answer.compensation is not None:
            metadata[COMPENSATION] = activity.payload_converter().to_payload(answer.compensation).data
        result = Payload(metadata=metadata, data=answer.result)
        try:
            async with self._until_cut_off():
                return await self._payloads.keep(result, context, at_most_s)
        except TimeoutError:
            why = "The result could not be stored before the bridge stopped"
        except ResultNotKeptError as exc:
            why = str(exc)
        log.warning(
            "result not kept",
            function_id=context.delivery.message.function_id,
            step=context.delivery.message.receipt,
            size_bytes=len(answer.result),
            reason=why,
        )
        metadata[OMITTED] = why[:_LONGEST_OMISSION].encode()
        return Payload(metadata=metadata, data=b"null")

    @asynccontextmanager
    async def _until_cut_off(self, at_most_s: float | None = None) -> AsyncIterator[None]:
        """Bound the body by the end of the bridge, and by a time.

        Raises:
            TimeoutError: One of them came first.
        """
        async with asyncio.timeout(0 if self._is_cut_off else at_most_s) as deadline:
            self._deadlines.add(deadline)
            try:
                yield
            finally:
                self._deadlines.discard(deadline)

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

    async def _answer_in_time(self, context: DeliveryContext, stored: Payload) -> Answer:
        timeout_ms = context.delivery.message.rules.timeout_ms
        payload: Payload | None = None
        try:
            async with self._until_cut_off(timeout_ms / 1000):
                payload = await self._payloads.load(stored)
                delivering = self._deliverer.deliver(context, payload.data)
                return await _in_spite_of_cancellation(delivering, "delivery")
        except TimeoutError as exc:
            if self._is_cut_off:  # the handler is not to blame
                raise DeliveryPostponedError(
                    "The bridge stopped before the handler answered; the message goes on elsewhere",
                    waits_for_provider=False,
                ) from exc
            _log_timeout(context)
            if payload is None:
                text = f"The payload could not be read within {timeout_ms} ms; the bridge's log says why"
                raise DeliveryFailedError("payload_unreadable", text) from exc
            raise DeliveryFailedError("TIMEOUT", f"No answer within {timeout_ms} ms") from exc


async def _in_spite_of_cancellation(part: Coroutine[Any, Any, _Done], name: str) -> _Done:
    """Do a part of an attempt, which may finish if cancelled: what it has begun may have to be undone."""
    running = asyncio.create_task(part, name=name)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        details = activity.cancellation_details()
        waiting = asyncio.current_task()
        if details is None or not details.cancel_requested or waiting is None:
            raise
        waiting.uncancel()
        return await running
    finally:
        running.cancel()


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
