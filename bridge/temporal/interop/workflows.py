"""What functions do with other people's workflows (docs/interop.md)."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
from temporalio.client import Client, WorkflowExecution, WorkflowHandle
from temporalio.common import (
    RawValue,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from bridge.engine.workflows import (
    End,
    FindWorkflows,
    ListWorkflows,
    Query,
    Result,
    SignalWorkflow,
    Started,
    StartWorkflow,
    Terminate,
    UpdateWorkflow,
    WhichWorkflow,
    WorkflowPage,
    WorkflowView,
)
from bridge.protocol.payload import NULL
from bridge.temporal.interop.access import (
    Namespaces,
    json_of,
    page_cursor,
    page_token,
    raw_values,
    retry_policy,
    span,
)
from bridge.temporal.interop.attributes import literal, typed_attributes
from bridge.temporal.interop.failures import failures
from bridge.temporal.interop.rules import WorkflowRules, term
from bridge.temporal.query_text import quoted

__all__ = ["TemporalWorkflows"]

_RPC_TIMEOUT = timedelta(seconds=10)
_CONFLICTS = {
    "fail": WorkflowIDConflictPolicy.FAIL,
    "use_existing": WorkflowIDConflictPolicy.USE_EXISTING,
    "terminate_existing": WorkflowIDConflictPolicy.TERMINATE_EXISTING,
}
_REUSES = {
    "allow": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    "allow_if_failed": WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
    "reject": WorkflowIDReusePolicy.REJECT_DUPLICATE,
}
_STATUS_QUERIES = {
    "running": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "canceled": "Canceled",
    "terminated": "Terminated",
    "continued_as_new": "ContinuedAsNew",
    "timed_out": "TimedOut",
}


class TemporalWorkflows:
    """Other people's workflows, as far as the rules allow.

    Args:
        namespaces: The way to them.
        rules: What is allowed.
    """

    def __init__(self, namespaces: Namespaces, rules: WorkflowRules) -> None:
        self._namespaces = namespaces
        self._rules = rules

    async def start(self, asked: StartWorkflow, workflow_id: str) -> Started:
        """Start a workflow; with `wait`, answer its result too.

        Cancellation: the workflow runs on.
        """
        self._rules.check(asked.workflow, asked.task_queue, asked.namespace or self._namespaces.home)
        self._rules.check_id(workflow_id)
        return await self._run(asked, workflow_id)

    async def run_declared(self, asked: StartWorkflow, workflow_id: str) -> msgspec.Raw:
        """Run a workflow that needs no other permission, and return its result.

        Cancellation: the workflow runs on.
        """
        return (await self._run(asked, workflow_id)).result or NULL

    async def signal(self, asked: SignalWorkflow) -> None:
        """Send a signal."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.signal(asked.signal, args=raw_values(asked.arguments), rpc_timeout=_RPC_TIMEOUT)

    async def query(self, asked: Query) -> msgspec.Raw:
        """Ask a workflow something."""
        handle = await self._permitted(asked)
        async with failures():
            return json_of(
                await handle.query(
                    asked.query,
                    args=raw_values(asked.arguments),
                    result_type=RawValue,
                    rpc_timeout=_RPC_TIMEOUT,
                )
            )

    async def update(self, asked: UpdateWorkflow) -> msgspec.Raw:
        """Update a workflow, and wait for what it answers.

        Cancellation: the update is made all the same.
        """
        handle = await self._permitted(asked)
        async with failures():
            return json_of(
                await handle.execute_update(
                    asked.update,
                    args=raw_values(asked.arguments),
                    id=asked.update_id,
                    result_type=RawValue,
                )
            )

    async def result(self, asked: Result) -> End:
        """Wait for the end of a workflow, or tell that it still runs.

        Cancellation: safe.
        """
        handle = await self._permitted(asked)
        async with failures():
            try:
                async with asyncio.timeout(asked.timeout_ms / 1000):
                    return End("completed", json_of(await handle.result()))
            except TimeoutError:
                return End("running")

    async def describe(self, asked: WhichWorkflow) -> WorkflowView:
        """Describe a workflow."""
        self._rules.check_id(asked.workflow_id)
        async with failures():
            found = await self._handle(asked).describe(rpc_timeout=_RPC_TIMEOUT)
        self._rules.check(found.workflow_type, found.task_queue, found.namespace)
        return _view(found)

    async def cancel(self, asked: WhichWorkflow) -> None:
        """Ask a workflow to end."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.cancel(rpc_timeout=_RPC_TIMEOUT)

    async def terminate(self, asked: Terminate) -> None:
        """End a workflow at once."""
        handle = await self._permitted(asked)
        async with failures():
            await handle.terminate(reason=asked.reason, rpc_timeout=_RPC_TIMEOUT)

    def check_namespace(self, namespace: str | None) -> None:
        """Make sure that functions may use some workflow of a namespace."""
        self._rules.of(namespace or self._namespaces.home)

    async def list(self, asked: ListWorkflows) -> WorkflowPage:
        """List workflows, newest first."""
        query = self._query(asked)
        async with failures():
            found = self._namespaces.client(asked.namespace).list_workflows(
                query,
                page_size=asked.limit,
                next_page_token=page_token(asked.cursor),
                rpc_timeout=_RPC_TIMEOUT,
            )
            await found.fetch_next_page()
        return WorkflowPage(
            [_view(each) for each in found.current_page or ()], page_cursor(found.next_page_token)
        )

    async def count(self, asked: FindWorkflows) -> int:
        """Count workflows."""
        query = self._query(asked)
        async with failures():
            client = self._namespaces.client(asked.namespace)
            return (await client.count_workflows(query, rpc_timeout=_RPC_TIMEOUT)).count

    async def _run(self, asked: StartWorkflow, workflow_id: str) -> Started:
        client = self._namespaces.client(asked.namespace)
        async with failures():
            try:
                handle = await self._start(client, asked, workflow_id)
                run_id = handle.result_run_id
            except WorkflowAlreadyStartedError as exc:
                if asked.id_conflict != "use_existing":
                    raise
                handle = client.get_workflow_handle(workflow_id, run_id=exc.run_id, result_type=RawValue)
                run_id = exc.run_id
            result = json_of(await handle.result()) if asked.wait else None
        return Started(workflow_id, run_id, result)

    async def _start(
        self, client: Client, asked: StartWorkflow, workflow_id: str
    ) -> WorkflowHandle[object, RawValue]:
        handle: WorkflowHandle[object, RawValue] = await client.start_workflow(
            asked.workflow,
            args=raw_values(asked.arguments),
            id=workflow_id,
            task_queue=asked.task_queue,
            result_type=RawValue,
            execution_timeout=span(asked.execution_timeout_ms),
            run_timeout=span(asked.run_timeout_ms),
            task_timeout=span(asked.task_timeout_ms),
            id_conflict_policy=_CONFLICTS[asked.id_conflict],
            id_reuse_policy=_REUSES[asked.id_reuse],
            retry_policy=retry_policy(asked.retry),
            memo=dict(zip(asked.memo, raw_values(asked.memo.values()), strict=True)),
            search_attributes=typed_attributes(asked.search_attributes),
            start_delay=span(asked.start_delay_ms),
            rpc_timeout=_RPC_TIMEOUT,
        )
        return handle

    def _handle(self, asked: WhichWorkflow) -> WorkflowHandle[object, RawValue]:
        client = self._namespaces.client(asked.namespace)
        return client.get_workflow_handle(asked.workflow_id, run_id=asked.run_id, result_type=RawValue)

    async def _permitted(self, asked: WhichWorkflow) -> WorkflowHandle[object, RawValue]:
        await self.describe(asked)
        return self._handle(asked)

    def _query(self, asked: FindWorkflows) -> str:
        terms = [self._rules.query(asked.namespace or self._namespaces.home)]
        texts = {
            "WorkflowType": asked.workflow,
            "TaskQueue": asked.task_queue,
            "WorkflowId": asked.workflow_id,
        }
        terms += [term(name, text) for name, text in texts.items() if text is not None]
        if asked.status is not None:
            terms.append(f"ExecutionStatus = '{_STATUS_QUERIES[asked.status]}'")
        if asked.workflow_id_prefix is not None:
            terms.append(f"WorkflowId STARTS_WITH {quoted(asked.workflow_id_prefix)}")
        times = (
            ("StartTime >", asked.started_after_ms),
            ("StartTime <", asked.started_before_ms),
            ("CloseTime >", asked.closed_after_ms),
            ("CloseTime <", asked.closed_before_ms),
        )
        terms += [f"{comparison} '{_time(at)}'" for comparison, at in times if at is not None]
        terms += [f"{name} = {literal(value)}" for name, value in asked.search_attributes.items()]
        return " AND ".join(terms)


def _view(found: WorkflowExecution) -> WorkflowView:
    return WorkflowView(
        workflow_id=found.id,
        run_id=found.run_id,
        workflow=found.workflow_type,
        task_queue=found.task_queue,
        namespace=found.namespace,
        status=found.status.name.lower() if found.status is not None else "unknown",
        started_at_ms=_unix_ms(found.start_time),
        ended_at_ms=_unix_ms(found.close_time) if found.close_time else None,
        history_length=found.history_length,
    )


def _unix_ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, tz=UTC).isoformat()
