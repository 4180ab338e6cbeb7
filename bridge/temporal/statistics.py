"""What Temporal knows of the queues, for those who watch them."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from bridge.engine.observation import QueueState
from bridge.errors import EngineError
from bridge.temporal.connection import TemporalConnection
from bridge.temporal.dead_letters import DeadLetters
from bridge.temporal.query_text import quoted
from workflows.contract import LetterFilter, SearchAttribute, Tenancy, WorkflowType
from workflows.names import queue_task_queue

__all__ = ["QueueStatistics"]

_AT_ONCE = 8
_TIMEOUT_S = 3
_NANOSECONDS = 1e9


class QueueStatistics:
    """Counts messages by asking Temporal; no worker is asked.

    Args:
        connection: The way to Temporal.
        tenancy: The names to use.
        dead_letters: Counts dead letters.
    """

    def __init__(
        self,
        connection: TemporalConnection,
        tenancy: Callable[[], Tenancy],
        dead_letters: DeadLetters,
    ) -> None:
        self._connection = connection
        self._tenancy = tenancy
        self._dead_letters = dead_letters

    async def read(self, queues: Collection[str]) -> Sequence[QueueState]:
        """Look at queues, each in its place.

        Raises:
            BridgeError: Temporal did not answer in time, or not at all.

        Cancellation: safe.
        """
        client = self._connection.client
        slots = asyncio.Semaphore(_AT_ONCE)

        async def look(queue: str) -> QueueState:
            async with slots:
                return await self._look(client, queue)

        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await asyncio.gather(*(look(queue) for queue in queues))
        except TimeoutError as exc:
            raise EngineError(f"Temporal did not answer within {_TIMEOUT_S} s") from exc
        except RPCError as exc:
            raise EngineError(f"Temporal did not answer ({exc.status.name}): {exc.message}") from exc

    async def _look(self, client: Client, queue: str) -> QueueState:
        depth, oldest_s = await self._backlog(client, queue)
        return QueueState(
            name=queue,
            depth=depth,
            oldest_s=oldest_s,
            waiting=await self._waiting(client, queue),
            dead_letters=await self._dead_letters.count(LetterFilter((queue,))),
        )

    async def _backlog(self, client: Client, queue: str) -> tuple[int, float]:
        description = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queue_task_queue(self._tenancy(), queue)),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
                report_stats=True,
            )
        )
        age = description.stats.approximate_backlog_age
        return description.stats.approximate_backlog_count, age.seconds + age.nanos / _NANOSECONDS

    async def _waiting(self, client: Client, queue: str) -> int | None:
        tenancy = self._tenancy()
        if not tenancy.has_search_attributes:
            return None
        query = (
            f"{SearchAttribute.WAITING} IS NOT NULL AND {SearchAttribute.QUEUE} = {quoted(queue)} "
            f"AND WorkflowType != '{WorkflowType.FIFO_LANE}' "
            f"AND ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '{tenancy.prefix}.'"
        )
        return (await client.count_workflows(query)).count
