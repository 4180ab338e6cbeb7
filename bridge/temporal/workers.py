"""The Temporal workers of a bridge: one for workflows, one per queue."""

import asyncio
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.alerts import AlertActivities
from activities.annexes import Annexes
from activities.bulk import BulkActivities
from activities.operations import Operations
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
from workflows.names import cron_task_queue, task_queue
from workflows.topic import Topic

__all__ = ["WORKFLOWS", "run_workers", "sandbox"]

WORKFLOWS = [Chain, FifoLane, DeadLetterBox, CronFireWorkflow, Bulk, Dedupe, FifoAnnex, Alarm, Topic]
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
    client: Client,
    tenancy: Tenancy,
    queues: QueueWorkers,
    *,
    operations: Operations,
    annexes: Annexes,
    bulk: BulkActivities,
    alerts: AlertActivities,
    stop: asyncio.Event,
    drain_timeout: timedelta,
) -> None:
    """Poll for work until told to stop, then let what runs finish.

    Args:
        client: The connection to Temporal.
        tenancy: The names to poll under.
        queues: The queues of deliveries.
        operations: Runs the activities of our own workflows.
        annexes: Runs those of lanes whose line overflows.
        bulk: Runs that of bulk operations.
        alerts: Runs that of alarms.
        stop: Set to stop.
        drain_timeout: How long running deliveries may take to finish; then they are cut off.

    Cancellation: running deliveries are cut off and tried again later.
    """
    workers = (
        _workflow_worker(client, tenancy, operations, annexes, bulk, alerts, drain_timeout),
        _cron_worker(client, tenancy, operations, drain_timeout),
    )
    async with asyncio.TaskGroup() as tasks:
        for worker in workers:
            tasks.create_task(worker.run(), name=f"temporal worker {worker.task_queue}")
        tasks.create_task(
            queues.run(client, tenancy, stop=stop, drain_timeout=drain_timeout), name="queue workers"
        )
        await stop.wait()
        for worker in workers:
            tasks.create_task(worker.shutdown(), name=f"stop temporal worker {worker.task_queue}")


def _workflow_worker(
    client: Client,
    tenancy: Tenancy,
    operations: Operations,
    annexes: Annexes,
    bulk: BulkActivities,
    alerts: AlertActivities,
    drain_timeout: timedelta,
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
            operations.dead_letter_is_open,
            operations.move_to_chain,
            operations.send_apart,
            operations.redrive,
            operations.fire_cron,  # for fires that 0.1.0 began
            operations.watch,
            operations.publish_chain_events,
            annexes.leave_in_annex,
            annexes.read_annex,
            annexes.announce_annex,
            bulk.settle_dead_letters,
            alerts.call_alert_function,
        ],
        graceful_shutdown_timeout=drain_timeout,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
    )


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
