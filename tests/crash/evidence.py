"""What is left to judge by: histories, what chains say of themselves, dead letters, and the journals."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import RawValue

from tests.crash.journal import Line, read_lines
from tests.crash.load import Sent
from tests.crash.plan import QUEUES
from tests.crash.site import PREFIX, Site
from tests.support.fake_sdk import connected
from workflows.contract import Activity, ChainState, Delivery, Query, StepRecord

__all__ = ["ChainSeen", "DeliverySeen", "Evidence", "gather"]

CHAINS = f"{PREFIX}.chain/"
LANES = f"{PREFIX}.fifo/"
PAGE = 200
READ_AT_ONCE = 8


@dataclass
class DeliverySeen:
    """One activity of a user's function; a message has several if it moved between workflows.

    Attributes:
        group: Its queue and FIFO group; `None` on a standard queue.
        compensates: The receipt of the step that it undoes.
        data: Its payload.
        scheduled_s: When Temporal noted it; Unix time, as all of them are.
        completed_s: When Temporal noted that its function had succeeded; `None` if that did not happen.
        closed_s: When Temporal noted its end, however it was.
    """

    workflow_id: str
    receipt: str
    function_id: str
    scheduled_s: float
    group: str | None = None
    compensates: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    completed_s: float | None = None
    closed_s: float | None = None


@dataclass(frozen=True)
class ChainSeen:
    """A chain, in its own words.

    Attributes:
        is_undone: Whether it has compensated what it had completed.
        is_open: Whether it still runs.
    """

    workflow_id: str
    steps: tuple[StepRecord, ...]
    is_undone: bool = False
    is_open: bool = False


@dataclass(frozen=True)
class Evidence:
    """Everything together.

    Attributes:
        sent: What the driver has receipts of.
        lines: What the workers noted.
        dead_letters: The receipts in the DLQ.
        open_lanes: Workflow ids of lanes that still run.
    """

    sent: Sequence[Sent] = ()
    lines: Sequence[Line] = ()
    deliveries: Sequence[DeliverySeen] = ()
    chains: Sequence[ChainSeen] = ()
    dead_letters: frozenset[str] = frozenset()
    open_lanes: Sequence[str] = ()


async def gather(site: Site, client: Client, sent: Sequence[Sent]) -> Evidence:
    """Read all there is."""
    found = client.list_workflows(f"WorkflowId STARTS_WITH '{CHAINS}' OR WorkflowId STARTS_WITH '{LANES}'")
    runs = [run async for run in found]
    slots = asyncio.Semaphore(READ_AT_ONCE)
    deliveries = await asyncio.gather(*(_deliveries(client, run, slots) for run in runs))
    # A chain that went on in a fresh run has several runs, and its latest one knows of all steps.
    latest = {
        run.id: run for run in sorted(runs, key=lambda run: run.start_time) if run.id.startswith(CHAINS)
    }
    return Evidence(
        sent=sent,
        lines=list(read_lines(site.journals)),
        deliveries=[delivery for run in deliveries for delivery in run],
        chains=await asyncio.gather(*(_chain(client, run, slots) for run in latest.values())),
        dead_letters=frozenset([receipt async for receipt in _dead_letters(site)]),
        open_lanes=[
            run.id
            for run in runs
            if run.id.startswith(LANES) and run.status is WorkflowExecutionStatus.RUNNING
        ],
    )


async def _deliveries(
    client: Client, run: WorkflowExecution, slots: asyncio.Semaphore
) -> Sequence[DeliverySeen]:
    async with slots:
        history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
    seen: dict[int, DeliverySeen] = {}
    for event in history.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            if event.activity_task_scheduled_event_attributes.activity_type.name not in set(Activity):
                seen[event.event_id] = await _delivery(client, run.id, event)
        elif (scheduled_id := _closed_activity(event)) in seen:
            delivery = seen[scheduled_id]
            delivery.closed_s = _at_s(event)
            if event.HasField("activity_task_completed_event_attributes"):
                delivery.completed_s = delivery.closed_s
    return list(seen.values())


async def _delivery(client: Client, workflow_id: str, event: HistoryEvent) -> DeliverySeen:
    scheduled = event.activity_task_scheduled_event_attributes
    told: Delivery
    told, payload = await client.data_converter.decode(scheduled.input.payloads, [Delivery, RawValue])
    message = told.message
    return DeliverySeen(
        workflow_id=workflow_id,
        receipt=message.receipt,
        function_id=message.function_id,
        scheduled_s=_at_s(event),
        group=f"{message.queue}/{message.group}" if message.group is not None else None,
        compensates=message.compensates,
        data=msgspec.json.decode(payload.payload.data),
    )


def _closed_activity(event: HistoryEvent) -> int:
    for name in ("completed", "failed", "timed_out", "canceled"):
        attributes = f"activity_task_{name}_event_attributes"
        if event.HasField(attributes):
            return int(getattr(event, attributes).scheduled_event_id)
    return 0


def _at_s(event: HistoryEvent) -> float:
    return float(event.event_time.seconds + event.event_time.nanos / 1e9)


async def _chain(client: Client, run: WorkflowExecution, slots: asyncio.Semaphore) -> ChainSeen:
    handle = client.get_workflow_handle(run.id, run_id=run.run_id)
    async with slots:
        state: ChainState = await handle.query(Query.CHAIN, result_type=ChainState)
    is_open = run.status is WorkflowExecutionStatus.RUNNING
    return ChainSeen(run.id, state.steps, is_undone=state.is_undoing, is_open=is_open)


async def _dead_letters(site: Site) -> AsyncIterator[str]:
    """Ask a bridge for the DLQ, as an operator does."""
    async with connected(site.urls[0]) as sdk:
        for queue in QUEUES:
            offset = 0
            while True:
                asked = {"topic": queue, "offset": offset, "limit": PAGE}
                page = await sdk.trigger("engine::queue::dlq_messages", asked)
                for letter in page:
                    yield letter["id"]
                offset += len(page)
                if len(page) < PAGE:
                    break
