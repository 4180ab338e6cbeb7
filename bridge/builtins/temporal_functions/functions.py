"""The functions under `temporal::` (docs/interop.md)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from bridge.builtins.temporal_functions.ids import id_for
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.engine.functions import FunctionSchema
from bridge.engine.workflow_schedules import (
    BackfillSchedule,
    ChangeSchedule,
    CreateSchedule,
    ListSchedules,
    PauseSchedule,
    Schedules,
    TriggerSchedule,
    WhichSchedule,
)
from bridge.engine.workflows import (
    FindWorkflows,
    ListWorkflows,
    Query,
    Result,
    SignalWorkflow,
    StartWorkflow,
    Terminate,
    UpdateWorkflow,
    WhichWorkflow,
    Workflows,
)
from bridge.protocol import payload

__all__ = ["OWNER_NAME", "TemporalFunctions"]

OWNER_NAME = "iii-temporal"


@dataclass(frozen=True, slots=True)
class _Function:
    """A function: what it takes and what answers it."""

    description: str
    takes: type[msgspec.Struct]
    run: Callable[[Any], Awaitable[object]]


class TemporalFunctions:
    """Lets functions use other people's workflows.

    Args:
        workflows: The workflows.
        schedules: Their schedules.
    """

    def __init__(self, workflows: Workflows, schedules: Schedules) -> None:
        self._workflows = workflows
        self._schedules = schedules

    def register(self, engine: Engine) -> None:
        """Offer the functions."""
        workflows, schedules = self._workflows, self._schedules
        functions = {
            "temporal::signal": _Function("Signals a workflow", SignalWorkflow, workflows.signal),
            "temporal::query": _Function("Queries a workflow", Query, workflows.query),
            "temporal::update": _Function("Updates a workflow", UpdateWorkflow, workflows.update),
            "temporal::result": _Function("Waits for a workflow's result", Result, workflows.result),
            "temporal::describe": _Function("Describes a workflow", WhichWorkflow, workflows.describe),
            "temporal::cancel": _Function("Asks a workflow to end", WhichWorkflow, workflows.cancel),
            "temporal::terminate": _Function("Ends a workflow at once", Terminate, workflows.terminate),
            "temporal::list": _Function("Lists workflows, newest first", ListWorkflows, workflows.list),
            "temporal::count": _Function("Counts workflows", FindWorkflows, self._count),
        }
        scheduling = {
            "create": _Function(
                "Creates a schedule that starts a workflow", CreateSchedule, schedules.create
            ),
            "update": _Function("Changes what is given of a schedule", ChangeSchedule, schedules.update),
            "describe": _Function("Describes a schedule", WhichSchedule, schedules.describe),
            "list": _Function("Lists schedules", ListSchedules, schedules.list),
            "pause": _Function("Pauses a schedule", PauseSchedule, schedules.pause),
            "resume": _Function("Resumes a schedule", PauseSchedule, schedules.resume),
            "trigger": _Function("Has a schedule start its workflow now", TriggerSchedule, schedules.trigger),
            "backfill": _Function(
                "Has a schedule start its workflow for times of the past",
                BackfillSchedule,
                schedules.backfill,
            ),
            "delete": _Function("Deletes a schedule", WhichSchedule, schedules.delete),
        }
        functions |= {f"temporal::schedule::{name}": each for name, each in scheduling.items()}
        for function_id, function in functions.items():
            engine.add_builtin(
                function_id,
                _handler(function),
                owner_name=OWNER_NAME,
                schema=_schema(function.description, function.takes),
            )
        engine.add_builtin(
            "temporal::start",
            self._starter(engine),
            owner_name=OWNER_NAME,
            schema=_schema("Starts a workflow, and waits for its result if asked to", StartWorkflow),
        )

    def _starter(self, engine: Engine) -> Callable[[Call], Awaitable[msgspec.Raw]]:
        decoder = msgspec.json.Decoder(StartWorkflow)

        async def start(call: Call) -> msgspec.Raw:
            asked = decode_input(call, decoder)
            workflow_id = asked.id
            if workflow_id is None:
                data = payload.encode(asked.arguments)
                workflow_id = id_for(call, asked.workflow, data, engine.new_id())
                if call.job is not None:  # the attempt before may have started it
                    asked = msgspec.structs.replace(
                        asked, id_conflict="use_existing", id_reuse="allow_if_failed"
                    )
            return payload.encode(await self._workflows.start(asked, workflow_id))

        return start

    async def _count(self, asked: FindWorkflows) -> dict[str, int]:
        return {"count": await self._workflows.count(asked)}


def _handler(function: _Function) -> Callable[[Call], Awaitable[msgspec.Raw]]:
    decoder = msgspec.json.Decoder(function.takes)

    async def handle(call: Call) -> msgspec.Raw:
        return payload.encode(await function.run(decode_input(call, decoder)))

    return handle


def _schema(description: str, takes: type[msgspec.Struct]) -> FunctionSchema:
    return FunctionSchema(description=description, request_format=payload.encode(msgspec.json.schema(takes)))
