"""The trace in the headers of an activity, as Temporal's OpenTelemetry interceptors write it."""

import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.trace_headers import TraceHeaders, trace_of_activity

TRACEPARENT = "00-11111111111111111111111111111111-2222222222222222-01"


class Activity(ActivityInboundInterceptor):
    """An activity that answers the trace it is in."""

    def __init__(self) -> None:
        """Be the last in the line."""

    async def execute_activity(self, _: ExecuteActivityInput) -> dict[str, str]:
        return trace_of_activity()


async def trace_with(headers: dict[str, Payload]) -> Any:
    asked = ExecuteActivityInput(fn=trace_of_activity, args=[], executor=None, headers=headers)
    return await TraceHeaders().intercept_activity(Activity()).execute_activity(asked)


async def test_an_activity_is_in_the_trace_of_its_headers() -> None:
    carrier = {"traceparent": TRACEPARENT, "baggage": "a=b"}
    header = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(carrier).encode())
    assert await trace_with({"_tracer-data": header}) == carrier


@pytest.mark.parametrize("data", [b"", b"[]", b'{"traceparent": 1}', b"\xff"])
async def test_headers_in_another_form_are_no_trace(data: bytes) -> None:
    assert await trace_with({"_tracer-data": Payload(data=data)}) == {}


async def test_one_activity_does_not_get_the_trace_of_another() -> None:
    header = Payload(data=json.dumps({"traceparent": TRACEPARENT}).encode())
    await trace_with({"_tracer-data": header})
    assert await trace_with({}) == {}
