"""Functions as activities: what workflows of other people call, by function id (docs/interop.md)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.heartbeat import heartbeating
from activities.trace_headers import trace_of_activity

__all__ = ["ActivityCall", "FunctionActivities", "FunctionCallFailedError", "FunctionCaller"]

_OURS = "iii."
_LONGEST_CODE = 200
_LONGEST_ERROR = 4000
_LONGEST_STACK = 6000
_JSON_ENCODINGS = ("json/plain", "json/protobuf")
_EMPTY = "binary/null"
_NOTHING = b"null"
_LOGGED_HERE = ApplicationErrorCategory.BENIGN
"""Keeps the SDK from logging a traceback of ours for every error of a user's handler."""


@dataclass(frozen=True)
class ActivityCall:
    """A function that a workflow calls.

    Attributes:
        function_id: The type of the activity.
        data: The payload, JSON.
        run_id: The run of the workflow; without a trace of its own, all calls of a run are one trace.
        traceparent: The trace context of the workflow.
        baggage: W3C baggage of the workflow.
        facts: What the handler is told of its caller.
    """

    function_id: str
    data: bytes
    run_id: str
    traceparent: str | None
    baggage: str | None
    facts: Mapping[str, object]


class FunctionCallFailedError(Exception):
    """The function did not succeed, or was not called.

    Attributes:
        code: The iii error code.
        is_final: Whether trying again cannot help.
    """

    def __init__(
        self, code: str, message: str, stacktrace: str | None = None, *, is_final: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.stacktrace = stacktrace
        self.is_final = is_final


class FunctionCaller(Protocol):
    """Calls functions for workflows."""

    async def call(self, call: ActivityCall) -> bytes:
        """Return what the function answers, JSON.

        Raises:
            FunctionCallFailedError: It did not succeed.
        """


@dataclass(frozen=True)
class FunctionActivities:
    """The activity behind every function: its type is the function id, its one argument the payload.

    Attributes:
        caller: Calls the functions.
        most_bytes: The largest result that Temporal, or what stores large ones for it, takes.
    """

    caller: FunctionCaller
    most_bytes: int

    @activity.defn(dynamic=True)
    async def call_function(self, args: Sequence[RawValue]) -> RawValue:
        """Call the function once; whether it is called again is up to the workflow's retry policy.

        Raises:
            ApplicationError: It did not succeed; the type is the iii error code, the detail the stack.

        Cancellation: the handler keeps running, its answer is dropped: iii knows no cancellation.
        """
        try:
            call = _call(args)
            async with heartbeating():
                result = await self.caller.call(call)
            if len(result) > self.most_bytes:
                raise _too_large(call.function_id, len(result), self.most_bytes)
        except FunctionCallFailedError as exc:
            raise _failure(exc) from None
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details is None or details.cancel_requested:
                raise
            if details.worker_shutdown:
                stopped = "The bridge stopped before the function answered; the next attempt runs elsewhere"
                raise _failure(FunctionCallFailedError("bridge_stopping", stopped)) from None
            # The server has given the attempt up, or its workflow has ended: nobody listens.
            raise ApplicationError("given up by the server", category=_LOGGED_HERE) from None
        return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=result))


def _call(args: Sequence[RawValue]) -> ActivityCall:
    info = activity.info()
    if info.activity_type.startswith(_OURS):
        raise FunctionCallFailedError(
            "function_not_found",
            f"{info.activity_type} is no activity of this release; a bridge of a newer one takes it",
        )
    trace = trace_of_activity()
    run_id = info.workflow_run_id or ""
    return ActivityCall(
        function_id=info.activity_type,
        data=_payload(info.activity_type, args),
        run_id=run_id,
        traceparent=trace.get("traceparent"),
        baggage=trace.get("baggage"),
        facts={
            "workflow_id": info.workflow_id,
            "run_id": run_id,
            "workflow_type": info.workflow_type,
            "namespace": info.namespace,
            "task_queue": info.task_queue,
            "activity_id": info.activity_id,
            "attempt": info.attempt,
            "idempotency_key": f"{run_id}/{info.activity_id}",
        },
    )


def _payload(function_id: str, args: Sequence[RawValue]) -> bytes:
    if not args:
        return _NOTHING
    if len(args) > 1:
        raise FunctionCallFailedError(
            "invalid_arguments",
            f"{function_id} was called with {len(args)} arguments; a function takes one payload: "
            "put them into one object",
            is_final=True,
        )
    encoding = args[0].payload.metadata.get("encoding", b"").decode(errors="replace")
    if encoding == _EMPTY:
        return _NOTHING
    if encoding not in _JSON_ENCODINGS:
        raise FunctionCallFailedError(
            "invalid_arguments",
            f"The payload of {function_id} is {encoding or 'of no known encoding'}; functions take JSON: "
            "call with the SDK's default payload converter, and give the bridge the codec of the workflow",
            is_final=True,
        )
    return args[0].payload.data


def _too_large(function_id: str, size_bytes: int, most_bytes: int) -> FunctionCallFailedError:
    return FunctionCallFailedError(
        "result_too_large",
        f"{function_id} has run, and its result of {size_bytes} bytes cannot be returned: at most "
        f"{most_bytes}. Set up `iii-temporal.payloads.storage` or raise its `limit_bytes`, or have the "
        "function keep the data elsewhere and answer where",
        is_final=True,
    )


def _failure(exc: FunctionCallFailedError) -> ApplicationError:
    details = [exc.stacktrace[-_LONGEST_STACK:]] if exc.stacktrace else []
    return ApplicationError(
        exc.message[:_LONGEST_ERROR],
        *details,
        type=exc.code[:_LONGEST_CODE],
        non_retryable=exc.is_final,
        category=_LOGGED_HERE,
    )
