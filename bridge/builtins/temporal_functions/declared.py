"""Workflows that the configuration declares as functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import msgspec

from bridge.builtins.temporal_functions.functions import OWNER_NAME
from bridge.builtins.temporal_functions.ids import id_for
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.engine.functions import FunctionSchema
from bridge.engine.workflows import StartWorkflow, Workflows
from bridge.protocol import payload

__all__ = ["DeclaredWorkflow", "DeclaredWorkflows"]

_CALLER = "_caller_worker_id"
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class DeclaredWorkflow:
    """A workflow that is called as a function.

    Attributes:
        workflow: Its type.
        task_queue: Where its workers are.
        namespace: Temporal's namespace; `None` is the one of the bridge.
        execution_timeout_ms: How long it may take in all; `None` is for ever.
    """

    workflow: str
    task_queue: str
    namespace: str | None = None
    execution_timeout_ms: int | None = None


class DeclaredWorkflows:
    """Offers workflows as functions.

    A call starts the workflow with the payload and answers its result. A retried attempt of a message waits
    for the workflow that the attempt before it has started, and starts another only if that has failed.

    Args:
        workflows: Runs them.
        declared: What is offered, by function id.
    """

    def __init__(self, workflows: Workflows, declared: Mapping[str, DeclaredWorkflow]) -> None:
        self._workflows = workflows
        self._declared = declared

    def register(self, engine: Engine) -> None:
        """Offer the functions."""
        for function_id, declared in self._declared.items():
            text = f"Runs the workflow {declared.workflow} of Temporal"
            engine.add_builtin(
                function_id,
                partial(self._run, declared, engine),
                owner_name=OWNER_NAME,
                schema=FunctionSchema(description=text),
            )

    async def _run(self, declared: DeclaredWorkflow, engine: Engine, call: Call) -> msgspec.Raw:
        data = _without_caller(call.data)
        asked = StartWorkflow(
            workflow=declared.workflow,
            task_queue=declared.task_queue,
            namespace=declared.namespace,
            execution_timeout_ms=declared.execution_timeout_ms,
            input=data if payload.is_present(data) else payload.ABSENT,
            id_conflict="use_existing",
            id_reuse="allow_if_failed",
            wait=True,
        )
        return await self._workflows.run_declared(
            asked, id_for(call, call.function_id, data, engine.new_id())
        )


def _without_caller(data: msgspec.Raw) -> msgspec.Raw:
    """Return a payload as its sender made it: handlers get their caller's id in it, workflows do not."""
    if not payload.is_object(data):
        return data
    entries = _object.decode(data)
    if entries.pop(_CALLER, None) is None:
        return data
    return payload.encode(entries)
