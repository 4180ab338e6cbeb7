"""An annex that its lane has closed takes nobody any more, whatever else it is doing."""

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from bridge.temporal.workers import sandbox
from tests.support.waiting import eventually
from workflows.contract import (
    AnnexPage,
    AnnexStart,
    Pace,
    Query,
    Signal,
    Tenancy,
    Ticket,
    Update,
    WorkflowType,
)
from workflows.fifo_annex import FifoAnnex
from workflows.names import annex_id, task_queue

pytestmark = pytest.mark.integration


async def test_an_annex_ends_in_the_moment_it_is_closed_though_it_is_making_itself_known(
    temporal: Client, prefix: str
) -> None:
    tenancy = Tenancy(prefix, pace=Pace(lane_check_ms=1))
    start = AnnexStart(tenancy, "lines", "g", "key")
    async with Worker(
        temporal, task_queue=task_queue(tenancy), workflows=[FifoAnnex], workflow_runner=sandbox()
    ):
        annex = await temporal.start_workflow(
            WorkflowType.FIFO_ANNEX,
            start,
            id=annex_id(tenancy, "lines", "g", "key"),
            task_queue=task_queue(tenancy),
            start_signal=Signal.JOIN_TURN,
            start_signal_args=[Ticket("first", "lines", "g", "chain")],
        )

        async def is_making_itself_known() -> bool:  # for ever: nobody runs the activity
            history = await annex.fetch_history()
            return EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED in {
                each.event_type for each in history.events
            }

        await eventually(is_making_itself_known)
        assert [place["receipt"] for place in await annex.query(Query.READ_ANNEX, 0)] == ["first"]
        end = await annex.execute_update(Update.CLOSE_ANNEX, 1, result_type=AnnexPage)
        assert end.is_closed
        with pytest.raises(RPCError) as refused:
            await annex.signal(Signal.JOIN_TURN, Ticket("late", "lines", "g", "chain"))
        assert refused.value.status is RPCStatusCode.NOT_FOUND
        assert await temporal.get_workflow_handle(annex.id, result_type=AnnexPage).result() == end
