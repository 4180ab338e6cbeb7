"""Dedupe markers: which values of a queue's `dedupe_field` are taken, and by which message."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from bridge.temporal.arguments import SUMMARY_LENGTH, raw_value
from bridge.temporal.connection import TemporalConnection
from workflows.attributes import message_attributes
from workflows.contract import DedupeStart, Message, Signal, Tenancy, WorkflowType
from workflows.names import dedupe_id, task_queue

__all__ = ["DedupeKey", "DedupeMarkers"]

log = structlog.get_logger("bridge.queue")

_RECEIPT = "receipt"


@dataclass(frozen=True, slots=True)
class DedupeKey:
    """What makes messages of a queue the same, and for how long."""

    value: str
    window_ms: int


class DedupeMarkers:
    """The markers in Temporal, which every bridge sees at once.

    Every method raises `RPCError` when Temporal refuses or does not answer.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use; read at every message.
        rpc_timeout: How long one call may take.
    """

    def __init__(
        self, connection: TemporalConnection, tenancy: Callable[[], Tenancy], rpc_timeout: timedelta
    ) -> None:
        self._connection = connection
        self._tenancy = tenancy
        self._rpc_timeout = rpc_timeout

    async def claim(self, message: Message, payload: bytes, key: DedupeKey) -> str:
        """Take a value for a message, which the marker holds from now on.

        Returns:
            The receipt of the message that has the value: its own if it is the first one.
        """
        tenancy = self._tenancy()
        client = self._connection.client
        workflow_id = dedupe_id(tenancy, message.queue, key.value)
        try:
            await client.start_workflow(
                WorkflowType.DEDUPE,
                args=[DedupeStart(tenancy, message, key.window_ms), raw_value(payload)],
                id=workflow_id,
                task_queue=task_queue(tenancy),
                memo={_RECEIPT: message.receipt},
                search_attributes=message_attributes(tenancy, message),
                static_summary=f"{message.queue}: {key.value}"[:SUMMARY_LENGTH],
                rpc_timeout=self._rpc_timeout,
            )
        except WorkflowAlreadyStartedError as taken:
            # This very run, even if its window has ended since.
            marker = client.get_workflow_handle(workflow_id, run_id=taken.run_id)
            description = await marker.describe(rpc_timeout=self._rpc_timeout)
            return str((await description.memo())[_RECEIPT])
        return message.receipt

    async def release(self, message: Message, key: DedupeKey) -> None:
        """Tell the marker that its message is on its way; a marker that is not told sends it itself."""
        marker = self._connection.client.get_workflow_handle(
            dedupe_id(self._tenancy(), message.queue, key.value)
        )
        try:
            await marker.signal(Signal.SENT, rpc_timeout=self._rpc_timeout)
        except RPCError as exc:
            log.warning("marker not told that its message is sent", step=message.receipt, reason=str(exc))
