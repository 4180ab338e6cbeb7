"""The trace in which a function runs that a workflow calls."""

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from activities.functions import ActivityCall
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.protocol import payload
from bridge.temporal.function_caller import EngineFunctionCaller, FunctionActivitySettings

RUN_ID = "0f432646-6a10-4da7-8bfd-e59aa28d3227"
TRACE_ID = "1" * 32


@pytest.mark.parametrize(
    ("given", "trace_id", "flags"),
    [
        (f"00-{TRACE_ID}-{'2' * 16}-00", TRACE_ID, "00"),
        (None, uuid.UUID(RUN_ID).hex, "01"),
        ("nonsense", uuid.UUID(RUN_ID).hex, "01"),
    ],
    ids=["of the workflow", "none", "invalid"],
)
async def test_a_call_is_in_the_trace_of_its_workflow_or_of_its_run(
    given: str | None, trace_id: str, flags: str
) -> None:
    seen: list[str] = []
    running: list[Coroutine[Any, Any, None]] = []

    async def handler(call: Call) -> msgspec.Raw:
        seen.append(call.traceparent or "")
        return payload.NULL

    engine = Engine(spawn=lambda work, _: running.append(work), new_id=lambda: str(uuid.uuid4()))
    engine.add_builtin("f", handler, owner_name="test")
    caller = EngineFunctionCaller(engine, FunctionActivitySettings(), engine.new_id)
    calling = caller.call(ActivityCall("f", b"{}", RUN_ID, given, None, {}))
    assert await _run(calling, running) == b"null"
    ((_, seen_trace, span, seen_flags),) = (each.split("-") for each in seen)
    assert (seen_trace, seen_flags) == (trace_id, flags)
    assert span != "2" * 16


async def _run(calling: Coroutine[Any, Any, bytes], running: list[Coroutine[Any, Any, None]]) -> bytes:
    """Drive a call to the point where it waits for the function, run that, and return the answer."""
    task = asyncio.ensure_future(calling)
    await asyncio.sleep(0)
    for work in running:
        await work
    return await task
