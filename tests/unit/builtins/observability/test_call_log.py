"""Lines about calls and attempts carry ids and times, and no payload."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog

from bridge.builtins.observability.call_log import CallLog
from bridge.engine.calls import Call, Job, Outcome
from bridge.engine.functions import Function
from bridge.engine.observation import POSTPONED, CallStart, DeliveryStart, broken_off
from bridge.engine.workers import Worker
from bridge.protocol import payload
from bridge.protocol.inbound import ErrorBody

START = DeliveryStart("shop::pay", "pay", "chain", "receipt", "iii.chain/x", 2, 3, 0, None, "")
IDS = {
    "function_id": "shop::pay",
    "queue": "pay",
    "chain_id": "chain",
    "step": "receipt",
    "workflow_id": "iii.chain/x",
    "attempt": 2,
    "max_attempts": 3,
    "worker_id": None,
    "duration_ms": 0.0,
}


@pytest.fixture(autouse=True)
def debug() -> Iterator[None]:
    logger = logging.getLogger("bridge.calls")
    logger.setLevel(logging.DEBUG)
    yield
    logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, {"event": "attempt succeeded", "log_level": "debug"}),
        (
            ErrorBody("declined", "no funds"),
            {"event": "attempt failed", "log_level": "warning", "code": "declined", "error": "no funds"},
        ),
        (broken_off(), {"event": "attempt broken off", "log_level": "debug"}),
        (
            ErrorBody(POSTPONED, "later"),
            {"event": "attempt postponed", "log_level": "debug", "reason": "later"},
        ),
    ],
)
def test_an_attempt_is_a_line_with_its_chain_step_and_function(
    error: ErrorBody | None, expected: dict
) -> None:
    end = CallLog(lambda: 0).delivery_started(START)
    assert end is not None
    with structlog.testing.capture_logs() as lines:
        end(error)

    assert lines == [expected | IDS]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])
def test_the_line_of_an_attempt_names_the_worker_that_ran_it(level: int) -> None:
    logging.getLogger("bridge.calls").setLevel(level)
    told = CallLog(lambda: 0)
    worker = Worker(
        id="worker-1", send=lambda _: None, abort=lambda: None, reattach_token="", connected_at_ms=0
    )
    function = Function("shop::pay", "default", worker)
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    end = told.delivery_started(replace(START, traceparent=traceparent))
    other = told.delivery_started(replace(START, traceparent=f"00-{'a' * 32}-{'c' * 16}-01"))
    assert end is not None
    assert other is not None
    told.call_started(
        CallStart(Call("shop::pay", payload.encode({}), traceparent=traceparent), function, traceparent)
    )
    with structlog.testing.capture_logs() as lines:
        end(ErrorBody("declined", "no funds"))
        other(ErrorBody("declined", "no funds"))

    assert [line["worker_id"] for line in lines] == ["worker-1", None]


def test_a_call_is_a_line_without_its_payload() -> None:
    job = Job("chain", "home", "iii.chain/x", "receipt")
    call = Call("shop::pay", payload.encode({"card": "4111"}), job=job)
    end = CallLog(lambda: 0).call_started(CallStart(call, None, ""))
    assert end is not None
    with structlog.testing.capture_logs() as lines:
        end(Outcome(payload.encode({"card": "4111"})))

    (line,) = lines
    assert (line["function_id"], line["chain_id"], line["step"], line["worker_id"]) == (
        "shop::pay",
        "chain",
        "receipt",
        None,
    )
    assert "4111" not in str(line)


def test_without_debug_lines_calls_cost_nothing() -> None:
    logging.getLogger("bridge.calls").setLevel(logging.INFO)
    call = Call("shop::pay", payload.encode({}))

    assert CallLog(lambda: 0).call_started(CallStart(call, None, "")) is None
