"""The Temporal workers of a bridge: for workflows and functions, for our own activities, one per queue."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.alerts import AlertActivities
from activities.annexes import Annexes
from activities.bulk import BulkActivities
from activities.functions import FunctionActivities
from activities.operations import Operations
from activities.trace_headers import TraceHeaders
from bridge.temporal.connection import TemporalConnection
from bridge.temporal.queue_workers import HEARTBEAT_THROTTLE, QueueWorkers
from workflows.alarm import Alarm
from workflows.bulk import Bulk
from workflows.chain import Chain
from workflows.contract import Tenancy
from workflows.cron_fire import CronFireWorkflow
from workflows.dead_letter import DeadLetterBox
from workflows.dedupe import Dedupe
from workflows.fifo_annex import FifoAnnex
from workflows.fifo_lane import FifoLane
from workflows.names import cron_task_queue, operations_task_queue, task_queue
from workflows.seal_key import SealKey
from workflows.topic import Topic

__all__ = ["WORKFLOWS", "run_workers", "sandbox"]

WORKFLOWS = [
    Chain,
    FifoLane,
    DeadLetterBox,
    CronFireWorkflow,
    Bulk,
    Dedupe,
    FifoAnnex,
    Alarm,
    Topic,
    SealKey,
]
_CRON_FIRES = 1000
"""How many run on this bridge at once; each waits for its function, and costs nothing else."""
_STICKY_TIMEOUT = timedelta(seconds=5)
"""How long a workflow waits for the bridge that has it in memory before another one replays it."""


def sandbox() -> SandboxedWorkflowRunner:
    """Return the runner for our workflows: they are small and pure, so they are imported once."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules("workflows")
    )


async def run_workers(
    connection: TemporalConnection,
    tenancy: Tenancy,
    queues: QueueWorkers,
    *,
    operations: Operations,
    annexes: Annexes,
    bulk: BulkActivities,
    alerts: AlertActivities,
    functions: FunctionActivities,
    function_concurrency: int,
    stop: asyncio.Event,
    drain_timeout: timedelta,
) -> None:
    """Poll for work until told to stop, then let what runs finish.

    Args:
        connection: The way to Temporal, once it has been reached.
        tenancy: The names to poll under.
        queues: The queues of deliveries.
        operations: Runs the activities of our own workflows.
        annexes: Runs those of lanes whose line overflows.
        bulk: Runs that of bulk operations.
        alerts: Runs that of alarms.
        functions: Runs the functions that other people's workflows call.
        function_concurrency: How many of those run at once.
        stop: Set to stop.
        drain_timeout: How long running deliveries may take to finish; then they are cut off.

    Cancellation: running deliveries are cut off and tried again later.
    """
    own: list[Callable[..., Any]] = [
        operations.join_lane,
        operations.lane_holds,
        operations.dead_letter_is_open,
        operations.move_to_chain,
        operations.send_apart,
        operations.redrive,
        operations.watch,
        operations.publish_chain_events,
        annexes.leave_in_annex,
        annexes.read_annex,
        annexes.announce_annex,
        bulk.settle_dead_letters,
        alerts.call_alert_function,
    ]
    client = connection.client
    for_0_1_0 = [*own, operations.fire_cron]  # which ran its activities where its workflows were
    workers = (
        Worker(
            client,
            task_queue=task_queue(tenancy),
            workflows=WORKFLOWS,
            workflow_runner=sandbox(),
            sticky_queue_schedule_to_start_timeout=_STICKY_TIMEOUT,
            activities=[*for_0_1_0, functions.call_function],
            interceptors=[TraceHeaders()],
            max_concurrent_activities=function_concurrency,
            graceful_shutdown_timeout=drain_timeout,
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        ),
        Worker(
            client,
            task_queue=operations_task_queue(tenancy),
            activities=own,
            graceful_shutdown_timeout=drain_timeout,
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        ),
        _cron_worker(client, tenancy, operations, drain_timeout),
    )
    async with asyncio.TaskGroup() as tasks:
        for worker in workers:
            connection.workers.add(worker)
            tasks.create_task(worker.run(), name=f"temporal worker {worker.task_queue}")
        tasks.create_task(
            queues.run(connection, tenancy, stop=stop, drain_timeout=drain_timeout), name="queue workers"
        )
        await stop.wait()
        for worker in workers:
            tasks.create_task(worker.shutdown(), name=f"stop temporal worker {worker.task_queue}")


def _cron_worker(
    client: Client, tenancy: Tenancy, operations: Operations, drain_timeout: timedelta
) -> Worker:
    return Worker(
        client,
        task_queue=cron_task_queue(tenancy),
        activities=[operations.fire_cron],
        max_concurrent_activities=_CRON_FIRES,
        graceful_shutdown_timeout=drain_timeout,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
    )
