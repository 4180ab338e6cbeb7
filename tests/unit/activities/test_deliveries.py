"""One attempt: what Temporal is told of its end (design: retries and time)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.activity import ActivityCancellationDetails
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.deliveries import (
    Answer,
    Deliveries,
    DeliveryContext,
    DeliveryFailedError,
    DeliveryPostponedError,
    Payloads,
    ResultNotKeptError,
)
from workflows.contract import (
    DELIVERY_POSTPONED,
    Attempt,
    AttemptFailed,
    Delivery,
    FailureDetails,
    Message,
    RetryRules,
)
from workflows.results import OMITTED

convert = DataConverter.default.payload_converter
Behaviour = Callable[[DeliveryContext, bytes], Awaitable[bytes]]


class Scripted:
    """A deliverer that does what the test says."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def deliver(self, context: DeliveryContext, payload: bytes) -> Answer:
        return Answer(await self._behaviour(context, payload))


class InMemory:
    """Keeps payloads where the test can see them, or says why it does not."""

    def __init__(self, refusal: str | None = None) -> None:
        self._refusal = refusal

    async def load(self, payload: Payload) -> Payload:
        return payload

    async def keep(self, result: Payload, context: DeliveryContext, at_most_s: float) -> Payload:
        del context, at_most_s
        if self._refusal is not None:
            raise ResultNotKeptError(self._refusal)
        return result


class Slow(InMemory):
    """Keeps a result when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.is_back = asyncio.Event(), asyncio.Event()

    async def keep(self, result: Payload, context: DeliveryContext, at_most_s: float) -> Payload:
        self.is_asked.set()
        await self.is_back.wait()
        return await super().keep(result, context, at_most_s)


class Elsewhere(InMemory):
    """Has a payload that never arrives."""

    async def load(self, payload: Payload) -> Payload:
        await asyncio.Event().wait()
        return payload


async def nobody_hears(workflow_id: str, word: AttemptFailed) -> None:
    raise AssertionError(f"{workflow_id} is not watched: {word}")


def message(**rules: Any) -> Message:
    return Message(receipt="r", chain_id="c", home="c", function_id="f", queue="q", rules=RetryRules(**rules))


async def result_of(
    behaviour: Behaviour,
    delivery: Delivery | None = None,
    environment: ActivityEnvironment | None = None,
    payloads: Payloads | None = None,
) -> Payload:
    """Make one attempt and return its result."""
    arguments = [RawValue(convert.to_payload(value)) for value in (delivery or Delivery(message()), {"n": 1})]
    deliveries = Deliveries(Scripted(behaviour), payloads or InMemory(), nobody_hears)
    result: RawValue = await (environment or ActivityEnvironment()).run(deliveries.deliver, arguments)
    return result.payload


async def attempt(
    behaviour: Behaviour, delivery: Delivery | None = None, environment: ActivityEnvironment | None = None
) -> bytes:
    """Make one attempt and return its result as JSON."""
    return (await result_of(behaviour, delivery, environment)).data


def failing(code: str, text: str = "boom", stack: str | None = None) -> Behaviour:
    async def fail(_: DeliveryContext, __: bytes) -> bytes:
        raise DeliveryFailedError(code, text, stack)

    return fail


async def failure(behaviour: Behaviour, delivery: Delivery | None = None) -> tuple[ApplicationError, Any]:
    """Make an attempt that fails, and return its error with the details."""
    with pytest.raises(ApplicationError) as failed:
        await attempt(behaviour, delivery)
    return failed.value, failed.value.details[0]


async def test_payload_and_result_pass_as_they_are() -> None:
    async def echo(_: DeliveryContext, payload: bytes) -> bytes:
        return payload

    assert await attempt(echo) == b'{"n":1}'


async def test_a_result_that_cannot_be_kept_completes_the_step_and_says_why() -> None:
    async def talk(_: DeliveryContext, __: bytes) -> bytes:
        return b'"far too much"'

    result = await result_of(talk, payloads=InMemory(refusal="no room"))
    assert result.data == b"null"
    assert result.metadata[OMITTED] == b"no room"


@asynccontextmanager
async def being_kept(
    payloads: Slow, environment: ActivityEnvironment
) -> AsyncIterator[tuple[Deliveries, asyncio.Task[RawValue]]]:
    """Make an attempt, up to the moment when its result is to be kept."""

    async def talk(_: DeliveryContext, __: bytes) -> bytes:
        return b'"much"'

    deliveries = Deliveries(Scripted(talk), payloads, nobody_hears)
    arguments = [RawValue(convert.to_payload(value)) for value in (Delivery(message()), {"n": 1})]
    running = asyncio.create_task(environment.run(deliveries.deliver, arguments))
    await payloads.is_asked.wait()
    yield deliveries, running


async def test_a_bridge_that_stops_does_not_wait_for_a_result_to_be_stored() -> None:
    async with being_kept(Slow(), ActivityEnvironment()) as (deliveries, running):
        deliveries.cut_off()
        result = await running
    assert b"before the bridge stopped" in result.payload.metadata[OMITTED]


async def test_a_cancelled_attempt_still_has_its_result_kept() -> None:
    slow, environment = Slow(), ActivityEnvironment()
    async with being_kept(slow, environment) as (_, running):
        environment.cancel(ActivityCancellationDetails(cancel_requested=True))
        await asyncio.sleep(0)
        slow.is_back.set()
        result = await running
    assert result.payload.data == b'"much"'


async def test_an_attempt_that_the_server_gave_up_keeps_nothing() -> None:
    environment = ActivityEnvironment()
    async with being_kept(Slow(), environment) as (_, running):
        environment.cancel(ActivityCancellationDetails(not_found=True))
        with pytest.raises(ApplicationError, match="given up by the server"):
            await running


async def test_a_payload_that_cannot_be_read_in_time_fails_the_attempt_without_calling_the_function() -> None:
    async def never(_: DeliveryContext, __: bytes) -> bytes:
        raise AssertionError("called without a payload")

    with pytest.raises(ApplicationError, match="could not be read within 20 ms") as failed:
        await result_of(never, Delivery(message(timeout_ms=20)), payloads=Elsewhere())
    assert failed.value.type == "payload_unreadable"


async def test_attempts_count_over_the_activities_of_one_step() -> None:
    seen: list[int] = []

    async def note(context: DeliveryContext, _: bytes) -> bytes:
        seen.append(context.attempt)
        return b"null"

    await attempt(note, Delivery(message(), attempts_before=4))
    assert seen == [5]


async def test_a_failure_keeps_code_text_and_the_attempts_before_it() -> None:
    earlier = (Attempt(1, 10, "invocation_failed", "first"),)
    error, details = await failure(
        failing("card_declined", "no money", "at charge()"), Delivery(message(), 1, earlier)
    )
    assert (error.type, error.message, error.non_retryable) == ("card_declined", "no money", False)
    assert isinstance(details, FailureDetails)
    assert (details.attempts_made, details.stacktrace) == (2, "at charge()")
    assert [(each.number, each.error) for each in details.attempts] == [(1, "first"), (2, "no money")]


async def test_only_a_linear_backoff_tells_temporal_its_delay() -> None:
    linear, _ = await failure(
        failing("x"), Delivery(message(backoff_ms=100, backoff_type="linear"), attempts_before=2)
    )
    assert linear.next_retry_delay is not None
    assert linear.next_retry_delay.total_seconds() == 0.3
    exponential, _ = await failure(failing("x"))
    assert exponential.next_retry_delay is None


async def test_what_a_failure_says_is_kept_short() -> None:
    earlier = tuple(Attempt(number, 0, "x", "e") for number in range(1, 31))
    error, details = await failure(
        failing("c" * 999, "t" * 99_999, "s" * 99_999), Delivery(message(), 30, earlier)
    )
    assert len(error.type or "") == 200
    assert len(error.message) == 4000
    assert len(details.stacktrace) == 6000
    assert [each.number for each in details.attempts] == list(range(12, 32))
    assert len(details.attempts[-1].error) == 500


@pytest.mark.parametrize("code", ["", DELIVERY_POSTPONED])
async def test_a_handler_cannot_make_its_failures_free(code: str) -> None:
    error, details = await failure(failing(code))
    assert error.type == "invocation_failed"
    assert details.attempts_made == 1


@pytest.mark.parametrize("waits", [True, False])
async def test_a_postponed_delivery_is_no_attempt(waits: bool) -> None:
    async def postpone(_: DeliveryContext, __: bytes) -> bytes:
        raise DeliveryPostponedError("not now", waits_for_provider=waits)

    error, details = await failure(postpone, Delivery(message(), attempts_before=2))
    assert (error.type, error.non_retryable) == (DELIVERY_POSTPONED, True)
    assert (details.attempts_made, details.waits_for_provider) == (2, waits)


async def test_a_handler_that_never_answers_is_given_up() -> None:
    async def hang(_: DeliveryContext, __: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    late = message(timeout_ms=1)
    with capture_logs() as lines:
        error, details = await failure(hang, Delivery(late))
    assert (error.type, error.message) == ("TIMEOUT", "No answer within 1 ms")
    assert details.attempts_made == 1
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("attempt timed out", "warning")
    assert (line["chain_id"], line["step"], line["function_id"]) == (
        late.chain_id,
        late.receipt,
        late.function_id,
    )


async def cut_off(**details: bool) -> BaseException:
    """Cancel an attempt while its handler runs, and return what it ends with."""
    environment, begun = ActivityEnvironment(), asyncio.Event()

    async def hang(_: DeliveryContext, __: bytes) -> bytes:
        begun.set()
        await asyncio.Event().wait()
        return b""

    running = asyncio.create_task(attempt(hang, environment=environment))
    await begun.wait()
    environment.cancel(ActivityCancellationDetails(**details))
    (end,) = await asyncio.gather(running, return_exceptions=True)
    assert isinstance(end, BaseException)
    return end


async def test_the_end_of_the_bridge_does_not_cost_an_attempt() -> None:
    begun = asyncio.Event()

    async def hang(_: DeliveryContext, __: bytes) -> bytes:
        begun.set()
        await asyncio.Event().wait()
        return b""

    deliveries = Deliveries(Scripted(hang), InMemory(), nobody_hears)
    arguments = [RawValue(convert.to_payload(value)) for value in (Delivery(message()), {})]
    running = asyncio.create_task(ActivityEnvironment().run(deliveries.deliver, arguments))
    await begun.wait()
    deliveries.cut_off()
    late = ActivityEnvironment().run(deliveries.deliver, arguments)
    for end in await asyncio.gather(running, late, return_exceptions=True):
        assert isinstance(end, ApplicationError)
        assert end.type == DELIVERY_POSTPONED
        assert end.details[0].attempts_made == 0


async def test_an_attempt_that_has_begun_finishes_although_its_workflow_is_cancelled() -> None:
    environment, begun, going_on = ActivityEnvironment(), asyncio.Event(), asyncio.Event()

    async def answer_late(_: DeliveryContext, __: bytes) -> bytes:
        begun.set()
        await going_on.wait()
        return b'"late"'

    running = asyncio.create_task(attempt(answer_late, environment=environment))
    await begun.wait()
    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    going_on.set()
    assert await running == b'"late"'


async def test_a_cancelled_attempt_that_never_answers_is_still_given_up() -> None:
    environment, begun = ActivityEnvironment(), asyncio.Event()

    async def hang(_: DeliveryContext, __: bytes) -> bytes:
        begun.set()
        await asyncio.Event().wait()
        return b""

    running = asyncio.create_task(attempt(hang, Delivery(message(timeout_ms=100)), environment=environment))
    await begun.wait()
    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(ApplicationError) as given_up:
        await running
    assert given_up.value.type == "TIMEOUT"


async def test_an_attempt_that_the_server_gave_up_ends_quietly() -> None:
    end = await cut_off(not_found=True)
    assert isinstance(end, ApplicationError)
    assert end.type != DELIVERY_POSTPONED
