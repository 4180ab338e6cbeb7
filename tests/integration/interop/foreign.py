"""Workflows of people who know Temporal, not the bridge."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.workflow import ActivityCancellationType


@dataclass
class FunctionCall:
    """A function to call as an activity."""

    task_queue: str
    function_id: str
    arguments: list[Any] = field(default_factory=list)
    with_bytes: bool = False
    attempts: int = 1
    start_to_close_s: float = 10
    heartbeat_s: float | None = None
    non_retryable: list[str] = field(default_factory=list)


@workflow.defn(name="CallsFunction")
class CallsFunction:
    """Calls one function as an activity and returns what it answers."""

    @workflow.run
    async def run(self, call: FunctionCall) -> Any:
        return await workflow.execute_activity(
            call.function_id,
            args=[b"\x00"] if call.with_bytes else call.arguments,
            task_queue=call.task_queue,
            start_to_close_timeout=timedelta(seconds=call.start_to_close_s),
            heartbeat_timeout=timedelta(seconds=call.heartbeat_s) if call.heartbeat_s else None,
            retry_policy=RetryPolicy(
                maximum_attempts=call.attempts,
                initial_interval=timedelta(milliseconds=50),
                non_retryable_error_types=call.non_retryable,
            ),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )


@workflow.defn(name="OrderWorkflow")
class Order:
    """Runs until approved, or ends at once in the way that its input says."""

    def __init__(self) -> None:
        self._name = "unnamed"
        self._is_approved = False

    @workflow.run
    async def run(self, order: dict[str, Any] | None = None) -> Any:
        asked = order or {}
        if code := asked.get("fail"):
            raise ApplicationError("as asked", "the stack", type=code, non_retryable=True)
        if asked.get("waits"):
            await workflow.wait_condition(lambda: self._is_approved)
        return {"order": order, "name": self._name}

    @workflow.signal
    def approve(self) -> None:
        self._is_approved = True

    @workflow.query
    def name(self, suffix: str = "") -> str:
        return self._name + suffix

    @workflow.update
    def rename(self, name: str) -> str:
        before, self._name = self._name, name
        return before


WORKFLOWS = [CallsFunction, Order]
