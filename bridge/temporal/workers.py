"""The Temporal workers of a bridge: one for workflows, one per named queue."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.deliveries import Deliveries
from activities.operations import Operations
from workflows.chain import Chain
from workflows.contract import Tenancy
from workflows.cron_fire import CronFireWorkflow
from workflows.dead_letter import DeadLetterBox
from workflows.fifo_lane import FifoLane
from workflows.names import queue_task_queue, task_queue

__all__ = ["WORKFLOWS", "QueueWorker", "run_workers", "sandbox"]

log = structlog.get_logger("bridge.temporal")

WORKFLOWS = [Chain, FifoLane, DeadLetterBox, CronFireWorkflow]
_POLLS_PER_QUEUE = 5
_HEARTBEAT_THROTTLE = timedelta(seconds=2)
_STICKY_TIMEOUT = timedelta(seconds=5)
"""How long a workflow waits for the bridge that has it in memory before another one replays it."""


@dataclass(frozen=True, slots=True)
class QueueWorker:
    """How much of a queue this bridge takes at once.

    Attributes:
        concurrency: Deliveries that run at the same time.
        rate_per_s: Deliveries started per second over all bridges; `None` is unlimited.
    """

    concurrency: int
    rate_per_s: float | None = None


def sandbox() -> SandboxedWorkflowRunner:
    """Return the runner for our workflows: they are small and pure, so they are imported once."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules("workflows")
    )


async def run_workers(
    client: Client,
    tenancy: Tenancy,
    queues: Mapping[str, QueueWorker],
    *,
    deliveries: Deliveries,
    operations: Operations,
    stop: asyncio.Event,
    drain_timeout: timedelta,
) -> None:
    """Poll for work until told to stop, then let what runs finish.

    Args:
        client: The connection to Temporal.
        tenancy: The names to poll under.
        queues: The named queues.
        deliveries: Runs users' functions.
        operations: Runs the activities of our own workflows.
        stop: Set to stop.
        drain_timeout: How long running deliveries may take to finish; then they are cancelled.

    Cancellation: running deliveries are cut off and tried again later.
    """
    workers = [
        _workflow_worker(client, tenancy, operations, drain_timeout),
        *(
            _queue_worker(client, queue_task_queue(tenancy, name), queue, deliveries, drain_timeout)
            for name, queue in queues.items()
        ),
    ]
    async with asyncio.TaskGroup() as tasks:
        for worker in workers:
            tasks.create_task(worker.run(), name=f"temporal worker {worker.task_queue}")
        log.info("polling temporal", namespace=client.namespace, queues=sorted(queues))
        await stop.wait()
        for worker in workers:
            tasks.create_task(worker.shutdown(), name=f"stop temporal worker {worker.task_queue}")


def _workflow_worker(
    client: Client, tenancy: Tenancy, operations: Operations, drain_timeout: timedelta
) -> Worker:
    return Worker(
        client,
        task_queue=task_queue(tenancy),
        workflows=WORKFLOWS,
        workflow_runner=sandbox(),
        sticky_queue_schedule_to_start_timeout=_STICKY_TIMEOUT,
        activities=[
            operations.join_lane,
            operations.lane_holds,
            operations.move_to_chain,
            operations.redrive,
            operations.fire_cron,
        ],
        graceful_shutdown_timeout=drain_timeout,
        max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
    )


def _queue_worker(
    client: Client, on: str, queue: QueueWorker, deliveries: Deliveries, drain_timeout: timedelta
) -> Worker:
    return Worker(
        client,
        task_queue=on,
        activities=[deliveries.deliver],
        max_concurrent_activities=queue.concurrency,
        max_concurrent_activity_task_polls=min(queue.concurrency, _POLLS_PER_QUEUE),
        max_task_queue_activities_per_second=queue.rate_per_s,
        graceful_shutdown_timeout=drain_timeout,
        max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
    )
