"""What tests of both ways share: somebody's own workflows, on a worker of somebody's own."""

import uuid
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.integration.interop.foreign import WORKFLOWS


@pytest.fixture
async def foreign_queue(temporal: Client) -> AsyncIterator[str]:
    """The task queue of a worker with the workflows of `foreign`, which is no part of the bridge."""
    worker = Worker(
        temporal,
        task_queue=f"foreign-{uuid.uuid4()}",
        workflows=WORKFLOWS,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with worker:
        yield worker.task_queue
