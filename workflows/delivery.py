"""One message delivered until it succeeds or is lost: what a chain does for each of its steps."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from temporalio import workflow
from temporalio.common import Priority, RawValue, RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.exceptions import TimeoutError as TemporalTimeoutError
from temporalio.workflow import ActivityCancellationType

from workflows.calls import now_ms, run_activity, wait_until
from workflows.contract import (
    DELIVERY_POSTPONED,
    Attempt,
    Delivery,
    FailureDetails,
    LostDelivery,
    Message,
    Progress,
    SearchAttribute,
    Tenancy,
)
from workflows.names import queue_task_queue, search_text

__all__ = ["Courier", "DeliveryInterruptedError", "DeliveryLostError", "attempt", "progress_after"]

Decoded = TypeVar("Decoded")

_FUNCTION_NOT_FOUND = "function_not_found"
_TIMEOUT = "TIMEOUT"
_ANSWER_GRACE = timedelta(seconds=10)
"""The bridge ends an attempt at `timeout_ms`; the server does it this much later, should the bridge not."""


class DeliveryLostError(Exception):
    """The message is out of attempts."""

    def __init__(self, progress: Progress, lost: LostDelivery) -> None:
        super().__init__(lost.error)
        self.progress = progress
        self.lost = lost


class DeliveryInterruptedError(Exception):
    """The workflow continues as new while the message waits; the next run takes over from here."""

    def __init__(self, progress: Progress) -> None:
        super().__init__("the workflow continues as new")
        self.progress = progress


class Courier:
    """Delivers the messages of one workflow.

    What it waits for is shown in a search attribute, so that bridges find the workflow.

    Args:
        tenancy: The names to use.
        cancellation: Whether an attempt that is cancelled is waited for.
        is_watched: Whether the workflow wants to hear of every failed attempt.

    Attributes:
        delivering: Attempts that run now, or wait for their retry: what cannot be interrupted.
        is_leaving: Set to interrupt what waits, because the workflow is about to continue as new.
    """

    def __init__(
        self,
        tenancy: Tenancy,
        cancellation: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
        *,
        is_watched: bool = False,
    ) -> None:
        self.delivering = 0
        self.is_leaving = False
        self._tenancy = tenancy
        self._cancellation = cancellation
        self._is_watched = is_watched
        self._waiting: Counter[str] = Counter()
        self._offers: Counter[str] = Counter()

    def provider_offered(self, function_id: str) -> None:
        """Note that somebody has begun to offer a function."""
        self._offers[function_id] += 1

    def forget_waiting(self) -> None:
        """Stop showing what the workflow waits for: what waited is dropped."""
        if +self._waiting:
            self._waiting.clear()
            self._upsert_waiting()

    async def deliver(self, message: Message, payload: RawValue, progress: Progress) -> RawValue:
        """Deliver a message, with its retries, and return what its function answered.

        A delivery that finds nobody offering the function does not count: the message waits here, in the
        workflow, where it occupies no slot of the queue.

        Raises:
            DeliveryLostError: The attempts are used up.
            DeliveryInterruptedError: The workflow is leaving and the message waits.
        """
        offers_seen = self._offers[message.function_id]
        while True:
            if progress.lost is not None:
                raise DeliveryLostError(progress, progress.lost)
            progress = await self._wait_for_provider(message, progress, offers_seen)
            await self.wait_until_due(message, progress)
            offers_seen = self._offers[message.function_id]
            attempts = max(message.rules.attempts - progress.attempts_made, 1)
            self.delivering += 1
            try:
                return await attempt(
                    message,
                    payload,
                    progress,
                    tenancy=self._tenancy,
                    attempts=attempts,
                    cancellation=self._cancellation,
                    is_watched=self._is_watched,
                )
            except ActivityError as error:
                progress = progress_after(error, message, progress, attempts=attempts)
            finally:
                self.delivering -= 1

    async def _wait_for_provider(self, message: Message, progress: Progress, offers_seen: int) -> Progress:
        """Wait for an offer made since the last look, or until it is time to look again."""
        if progress.waiting_since_ms is None:
            return progress
        pace = self._tenancy.pace
        waited_ms = now_ms() - progress.waiting_since_ms
        wait_ms = min(max(waited_ms, pace.provider_check_ms), pace.longest_check_ms)
        limit_ms = message.rules.provider_timeout_ms
        if limit_ms is not None:
            if waited_ms >= limit_ms:
                _lose(progress, message.function_id, limit_ms)
            wait_ms = min(wait_ms, limit_ms - waited_ms)
        self._show_waiting(message.function_id, 1)
        await wait_until(
            lambda: self.is_leaving or self._offers[message.function_id] > offers_seen,
            timedelta(milliseconds=wait_ms),
        )
        self._show_waiting(message.function_id, -1)
        return progress

    async def wait_until_due(self, message: Message, progress: Progress) -> None:
        """Wait until the next attempt may begin.

        Raises:
            DeliveryInterruptedError: The workflow is leaving.
        """
        wait_ms = max(progress.not_before_ms, message.not_before_ms) - now_ms()
        if wait_ms > 0:
            await wait_until(lambda: self.is_leaving, timedelta(milliseconds=wait_ms))
        if self.is_leaving:
            raise DeliveryInterruptedError(progress)

    def _show_waiting(self, function_id: str, change: int) -> None:
        self._waiting[function_id] += change
        self._upsert_waiting()

    def _upsert_waiting(self) -> None:
        if not self._tenancy.has_search_attributes:
            return
        key = SearchAttributeKey.for_keyword_list(SearchAttribute.WAITING)
        waiting = sorted({search_text(function_id) for function_id in +self._waiting})
        workflow.upsert_search_attributes([key.value_set(waiting) if waiting else key.value_unset()])


def _lose(progress: Progress, function_id: str, limit_ms: int) -> NoReturn:
    raise DeliveryLostError(
        progress, LostDelivery(_FUNCTION_NOT_FOUND, f"Nobody offered {function_id} within {limit_ms} ms")
    )


async def attempt(
    message: Message,
    payload: RawValue,
    progress: Progress,
    *,
    tenancy: Tenancy,
    attempts: int,
    cancellation: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    is_watched: bool = False,
) -> RawValue:
    """Deliver a message, with Temporal's own retries, and return what its function answered.

    Raises:
        ActivityError: The attempts are used up, or there was none.
    """
    rules = message.rules
    first_ms = max(rules.backoff_after_ms(progress.attempts_made + 1), 1)
    answer: RawValue = await run_activity(
        message.function_id,
        Delivery(message, progress.attempts_made, progress.attempts, is_watched),
        payload,
        task_queue=queue_task_queue(tenancy, message.queue),
        start_to_close_timeout=timedelta(milliseconds=rules.timeout_ms) + _ANSWER_GRACE,
        heartbeat_timeout=timedelta(milliseconds=rules.heartbeat_timeout_ms),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(milliseconds=first_ms),
            backoff_coefficient=2.0 if rules.backoff_type == "exponential" else 1.0,
            maximum_interval=timedelta(milliseconds=max(rules.max_backoff_ms, first_ms)),
            maximum_attempts=attempts,
            non_retryable_error_types=[*rules.non_retryable_errors, DELIVERY_POSTPONED],
        ),
        priority=Priority(priority_key=message.priority_key),
        summary=f"queue {message.queue}" + (f", group {message.group}" if message.group else ""),
        cancellation_type=cancellation,
        result_type=RawValue,
    )
    return answer


def progress_after(error: ActivityError, message: Message, before: Progress, *, attempts: int) -> Progress:
    """Tell how far a message has come after an activity that failed.

    Args:
        error: How it failed.
        message: What was delivered.
        before: How far it had come.
        attempts: How many attempts the activity could make.
    """
    details, failed = _details(error, before, attempts), _failure(error)
    progress = replace(before, attempts_made=details.attempts_made, attempts=details.attempts)
    if failed.code == DELIVERY_POSTPONED:
        since_ms = before.waiting_since_ms
        if since_ms is None or details.attempts_made > before.attempts_made:
            since_ms = now_ms()
        return replace(progress, waiting_since_ms=since_ms if details.waits_for_provider else None)
    progress = replace(progress, waiting_since_ms=None)
    rules = message.rules
    if progress.attempts_made >= rules.attempts or failed.code in rules.non_retryable_errors:
        return replace(progress, lost=replace(failed, stacktrace=details.stacktrace))
    return replace(progress, not_before_ms=now_ms() + rules.backoff_after_ms(progress.attempts_made))


def _details(error: ActivityError, before: Progress, attempts: int) -> FailureDetails:
    """Read what the activity said of its attempts; a bridge that was lost left it in its last heartbeat."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.details:
        return _decode(cause.details, FailureDetails)
    earlier = before.attempts
    if isinstance(cause, TemporalTimeoutError) and cause.last_heartbeat_details:
        earlier = tuple(_decode(cause.last_heartbeat_details, list[Attempt]))
    made = before.attempts_made + attempts
    failed = _failure(error)
    return FailureDetails(made, attempts=(*earlier, Attempt(made, now_ms(), failed.code, failed.error)))


def _failure(error: ActivityError) -> LostDelivery:
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return LostDelivery(cause.type or "invocation_failed", cause.message)
    if isinstance(cause, TemporalTimeoutError):
        kind = cause.type.name.lower().replace("_", " ") if cause.type else "unknown"
        return LostDelivery(_TIMEOUT, f"The bridge that ran the attempt did not answer ({kind} timeout)")
    return LostDelivery("invocation_failed", str(cause or error))


def _decode(values: Sequence[Any], kind: type[Decoded]) -> Decoded:
    """Give the first of some untyped values its type."""
    converter = workflow.payload_converter()
    decoded: Decoded = converter.from_payload(converter.to_payload(values[0]), kind)
    return decoded
