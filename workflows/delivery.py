"""One message delivered until it succeeds or is lost: what chains and lanes have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import (
    RawValue,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from workflows.contract import (
    DELIVERY_POSTPONED,
    Attempt,
    DeadLetter,
    Delivery,
    FailureDetails,
    Message,
    SearchAttribute,
    Tenancy,
    WorkflowType,
)
from workflows.names import dead_letter_id, queue_task_queue, task_queue

__all__ = ["DeliveryLostError", "ProviderWatch", "bury", "deliver"]

_FIRST_WAIT = timedelta(seconds=1)
_LONGEST_WAIT = timedelta(minutes=5)
_LISTED_ERROR_LENGTH = 500
_SUMMARY_LENGTH = 200
_FUNCTION_NOT_FOUND = "function_not_found"


class DeliveryLostError(Exception):
    """The message is out of attempts."""

    def __init__(self, code: str, error: str, details: FailureDetails) -> None:
        super().__init__(error)
        self.code = code
        self.error = error
        self.details = details


class ProviderWatch:
    """Which functions this workflow waits for, shown in a search attribute so that bridges find it."""

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy
        self._waiting: list[str] = []
        self._offers: dict[str, int] = {}

    def offered(self, function_id: str) -> None:
        """Note that somebody has begun to offer a function."""
        self._offers[function_id] = self._offers.get(function_id, 0) + 1

    async def wait(self, function_id: str, at_most: timedelta) -> None:
        """Wait until the function is offered, or until it is time to look again."""
        seen = self._offers.get(function_id, 0)
        self._show(add=function_id)
        try:
            await workflow.wait_condition(lambda: self._offers.get(function_id, 0) > seen, timeout=at_most)
        except TimeoutError:
            pass
        finally:
            self._show(remove=function_id)

    def _show(self, *, add: str | None = None, remove: str | None = None) -> None:
        if add is not None:
            self._waiting.append(add)
        if remove is not None:
            self._waiting.remove(remove)
        if self._tenancy.has_search_attributes:
            key = SearchAttributeKey.for_keyword_list(SearchAttribute.WAITING)
            workflow.upsert_search_attributes([key.value_set(sorted(set(self._waiting)))])


@dataclass
class _Progress:
    attempts_made: int = 0
    attempts: tuple[Attempt, ...] = ()


async def deliver(message: Message, payload: RawValue, *, tenancy: Tenancy, watch: ProviderWatch) -> RawValue:
    """Deliver a message, with its retries, and return the handler's result.

    A delivery that finds nobody offering the function does not count: the message waits here, in the
    workflow, where it occupies no slot of the queue.

    Raises:
        DeliveryLostError: The attempts are used up.
    """
    progress = _Progress()
    wait = _FIRST_WAIT
    waited = timedelta()
    while True:
        try:
            return await _attempt(message, payload, tenancy, progress)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            details = _details(error, progress, message)
            progress.attempts_made = details.attempts_made
            progress.attempts = details.attempts
            if not _is_postponed(error):
                raise _lost(error, details) from error
        if details.waits_for_provider:
            limit = message.rules.provider_timeout_ms
            if limit is not None and waited >= timedelta(milliseconds=limit):
                raise DeliveryLostError(
                    _FUNCTION_NOT_FOUND, f"Nobody offered {message.function_id} within {limit} ms", details
                )
            await watch.wait(message.function_id, wait)
            waited += wait
            wait = min(wait * 2, _LONGEST_WAIT)


async def _attempt(message: Message, payload: RawValue, tenancy: Tenancy, progress: _Progress) -> RawValue:
    rules = message.rules
    longest_ms = max(rules.max_backoff_ms, 1)
    exponential = rules.backoff_type == "exponential"
    first_ms = rules.backoff_ms * (2**progress.attempts_made if exponential else 1)
    result: RawValue = await workflow.execute_activity(
        message.function_id,
        args=[Delivery(message, progress.attempts_made, progress.attempts), payload],
        task_queue=queue_task_queue(tenancy, message.queue),
        result_type=RawValue,
        start_to_close_timeout=timedelta(milliseconds=rules.timeout_ms),
        heartbeat_timeout=timedelta(milliseconds=rules.heartbeat_timeout_ms),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(milliseconds=min(max(first_ms, 1), longest_ms)),
            backoff_coefficient=2.0 if exponential else 1.0,
            maximum_interval=timedelta(milliseconds=longest_ms),
            maximum_attempts=max(rules.attempts - progress.attempts_made, 1),
            non_retryable_error_types=[*rules.non_retryable_errors, DELIVERY_POSTPONED],
        ),
        summary=f"queue {message.queue}" + (f", group {message.group}" if message.group else ""),
    )
    return result


def _is_postponed(error: ActivityError) -> bool:
    return isinstance(error.cause, ApplicationError) and error.cause.type == DELIVERY_POSTPONED


def _details(error: ActivityError, progress: _Progress, message: Message) -> FailureDetails:
    """Read what the activity said of its failure; a bridge that was lost said nothing."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.details:
        payloads = workflow.payload_converter().to_payloads(cause.details)
        details: FailureDetails = workflow.payload_converter().from_payloads(payloads, [FailureDetails])[0]
        return details
    return FailureDetails(attempts_made=message.rules.attempts, attempts=progress.attempts)


def _lost(error: ActivityError, details: FailureDetails) -> DeliveryLostError:
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return DeliveryLostError(cause.type or "invocation_failed", cause.message, details)
    if isinstance(cause, TemporalTimeoutError):
        kind = cause.type.name.lower().replace("_", " ") if cause.type else "unknown"
        return DeliveryLostError("TIMEOUT", f"The attempt ended by a timeout ({kind})", details)
    return DeliveryLostError("invocation_failed", str(cause or error), details)


async def bury(
    message: Message,
    payload: RawValue,
    lost: DeliveryLostError,
    *,
    tenancy: Tenancy,
    children: Sequence[str],
) -> None:
    """Start the dead letter that keeps a lost message until somebody redrives or discards it."""
    now_ms = int(workflow.now().timestamp() * 1000)
    letter = DeadLetter(
        tenancy=tenancy,
        message=message,
        code=lost.code,
        error=lost.error,
        failed_at_ms=now_ms,
        attempts_made=lost.details.attempts_made,
        workflow_id=workflow.info().workflow_id,
        run_id=workflow.info().run_id,
        stacktrace=lost.details.stacktrace,
        attempts=lost.details.attempts,
        children=tuple(children),
    )
    pause = _FIRST_WAIT
    while True:
        try:
            await _start_dead_letter(letter, payload)
        except WorkflowAlreadyStartedError:
            # The same message died again before its redriven dead letter had closed.
            await workflow.sleep(pause)
            pause = min(pause * 2, _LONGEST_WAIT)
        else:
            return


async def _start_dead_letter(letter: DeadLetter, payload: RawValue) -> None:
    message, tenancy = letter.message, letter.tenancy
    await workflow.start_child_workflow(
        WorkflowType.DEAD_LETTER,
        args=[letter, payload],
        id=dead_letter_id(tenancy, message.queue, message.receipt),
        task_queue=task_queue(tenancy),
        parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        memo={
            "queue": message.queue,
            "function_id": message.function_id,
            "receipt": message.receipt,
            "chain_id": message.chain_id,
            "code": letter.code,
            "error": letter.error[:_LISTED_ERROR_LENGTH],
            "attempts": letter.attempts_made,
            "failed_at_ms": letter.failed_at_ms,
            "size_bytes": len(payload.payload.data),
        },
        search_attributes=_search_attributes(message) if tenancy.has_search_attributes else None,
        static_summary=f"{message.function_id}: {letter.error}"[:_SUMMARY_LENGTH],
    )


def _search_attributes(message: Message) -> TypedSearchAttributes:
    pairs: Sequence[SearchAttributePair[str]] = [
        SearchAttributePair(SearchAttributeKey.for_keyword(SearchAttribute.QUEUE), message.queue),
        SearchAttributePair(SearchAttributeKey.for_keyword(SearchAttribute.FUNCTION), message.function_id),
        SearchAttributePair(SearchAttributeKey.for_keyword(SearchAttribute.CHAIN), message.chain_id),
    ]
    return TypedSearchAttributes(pairs)
