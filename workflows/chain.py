"""A chain: everything one message led to, in one history (docs/architecture.md).

The first message is the workflow's argument; what its handlers enqueue arrives as signals and becomes the
next steps. The workflow's type is the first function's id, so that the Web UI reads like the pipeline.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError

from workflows.contract import (
    Activity,
    ChainStart,
    LaneStepEnd,
    Message,
    Signal,
    Ticket,
)
from workflows.delivery import DeliveryLostError, ProviderWatch, bury, deliver
from workflows.names import lane_id, task_queue

__all__ = ["Chain"]

_OWN_ACTIVITY_TIMEOUT = timedelta(seconds=30)
_FIRST_TURN_WAIT = timedelta(seconds=5)
_LONGEST_TURN_WAIT = timedelta(minutes=5)
_LANE_STEP_CHECK = timedelta(minutes=1)
_SHOWN_STEPS = 200


@workflow.defn(dynamic=True)
class Chain:
    """Runs the steps of one chain, each as an activity of its function's name on its queue."""

    def __init__(self) -> None:
        self._arrived: list[tuple[Message, RawValue]] = []
        self._active = 0
        self._turns: set[str] = set()
        self._lane_step_has_ended = False
        self._known: dict[str, int] = {}
        self._children: dict[str, list[str]] = {}
        self._lost: dict[str, str] = {}
        self._completed = 0
        self._shown: dict[str, str] = {}
        self._watch: ProviderWatch | None = None

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> str:
        """Run until no step is left.

        Returns:
            How many steps completed, in words.

        Raises:
            ApplicationError: A step was lost; its message is among the dead letters.
        """
        start: ChainStart = workflow.payload_converter().from_payload(args[0].payload, ChainStart)
        watch = self._watch = ProviderWatch(start.tenancy)
        self._adopt(start, args[1:])
        async with asyncio.TaskGroup() as steps:
            while not self._is_over(start) and not self._should_continue_as_new(start):
                self._start_arrived(start, watch, steps)
                await self._something_happens(start)
        if not self._is_over(start):
            await self._continue_as_new(start)
        if self._lost:
            raise ApplicationError("; ".join(self._lost.values()), type="iii.step_lost", non_retryable=True)
        return f"{self._completed} steps completed"

    @workflow.signal(name=Signal.ENQUEUE)
    def enqueue(self, message: Message, payload: RawValue) -> None:
        """Take a step that a handler of this chain enqueued, or that was redriven; a known one is ignored."""
        self._accept(message, payload)

    @workflow.signal(name=Signal.TURN)
    def turn(self, receipt: str) -> None:
        """Take the lane's word that a step is next in its group."""
        self._turns.add(receipt)

    @workflow.signal(name=Signal.LANE_STEP_ENDED)
    def lane_step_ended(self, end: LaneStepEnd) -> None:
        """Take the lane's word that the step that began this chain has ended."""
        self._lane_step_has_ended = True
        if end.lost is not None:
            self._lost[end.receipt] = end.lost

    @workflow.signal(name=Signal.PROVIDER_OFFERED)
    def provider_offered(self, function_id: str) -> None:
        """Take a bridge's word that somebody has begun to offer a function."""
        if self._watch is not None:
            self._watch.offered(function_id)

    def _adopt(self, start: ChainStart, payloads: Sequence[RawValue]) -> None:
        self._known.update(start.known)
        self._completed = start.completed
        self._lost = {str(index): text for index, text in enumerate(start.lost)}
        early, self._arrived = self._arrived, []
        for message, payload in zip(start.messages, payloads, strict=True):
            self._known[message.receipt] = message.redrives
            self._arrived.append((message, payload))
        self._arrived.extend(early)

    def _accept(self, message: Message, payload: RawValue) -> None:
        if self._known.get(message.receipt, -1) >= message.redrives:
            return
        self._known[message.receipt] = message.redrives
        if message.parent is not None:
            self._children.setdefault(message.parent, []).append(message.receipt)
        self._arrived.append((message, payload))

    def _is_over(self, start: ChainStart) -> bool:
        return not self._active and not self._arrived and not self._waits_for_lane(start)

    def _waits_for_lane(self, start: ChainStart) -> bool:
        return start.lane_step is not None and not self._lane_step_has_ended

    def _should_continue_as_new(self, start: ChainStart) -> bool:
        return workflow.info().is_continue_as_new_suggested() and not self._waits_for_lane(start)

    def _start_arrived(self, start: ChainStart, watch: ProviderWatch, steps: asyncio.TaskGroup) -> None:
        arrived, self._arrived = self._arrived, []
        for message, payload in arrived:
            self._active += 1
            steps.create_task(self._run_step(start, watch, message, payload), name=message.receipt)

    async def _something_happens(self, start: ChainStart) -> None:
        """Wait for a step to arrive or for the last one to end."""
        if self._active:
            await workflow.wait_condition(
                lambda: bool(self._arrived) or not self._active or self._should_continue_as_new(start)
            )
            return
        try:
            await workflow.wait_condition(
                lambda: bool(self._arrived) or not self._waits_for_lane(start), timeout=_LANE_STEP_CHECK
            )
        except TimeoutError:
            await self._check_lane(start)

    async def _check_lane(self, start: ChainStart) -> None:
        """Notice a lane that was terminated before it could report."""
        is_open: bool = await workflow.execute_activity(
            Activity.IS_OPEN,
            start.lane_id,
            task_queue=task_queue(start.tenancy),
            result_type=bool,
            start_to_close_timeout=_OWN_ACTIVITY_TIMEOUT,
            retry_policy=RetryPolicy(),
        )
        if not is_open:
            self._lane_step_has_ended = True

    async def _run_step(
        self, start: ChainStart, watch: ProviderWatch, message: Message, payload: RawValue
    ) -> None:
        self._show(message, "waits" if message.group is not None else "runs")
        try:
            if message.group is not None:
                await self._await_turn(start, message)
                self._show(message, "runs")
            await deliver(message, payload, tenancy=start.tenancy, watch=watch)
            self._completed += 1
            self._lost.pop(message.receipt, None)
            self._show(message, "completed")
        except DeliveryLostError as lost:
            children = (*message.children, *self._children.get(message.receipt, ()))
            await bury(message, payload, lost, tenancy=start.tenancy, children=children)
            self._lost[message.receipt] = f"{message.function_id} lost: {lost.error}"
            self._show(message, f"lost: {lost.error}")
        finally:
            if message.group is not None:
                await self._end_turn(start, message)
            self._active -= 1

    async def _await_turn(self, start: ChainStart, message: Message) -> None:
        """Wait for the lane; ask again in case the bridge was lost before it could join."""
        wait = _FIRST_TURN_WAIT
        while message.receipt not in self._turns:
            try:
                await workflow.wait_condition(lambda: message.receipt in self._turns, timeout=wait)
            except TimeoutError:
                await workflow.execute_activity(
                    Activity.JOIN_LANE,
                    Ticket(message, workflow.info().workflow_id),
                    task_queue=task_queue(start.tenancy),
                    start_to_close_timeout=_OWN_ACTIVITY_TIMEOUT,
                    retry_policy=RetryPolicy(),
                )
                wait = min(wait * 2, _LONGEST_TURN_WAIT)

    async def _end_turn(self, start: ChainStart, message: Message) -> None:
        self._turns.discard(message.receipt)
        lane = workflow.get_external_workflow_handle(
            lane_id(start.tenancy, message.queue, message.group or "")
        )
        try:
            await lane.signal(Signal.TURN_ENDED, message.receipt)
        except ApplicationError:
            workflow.logger.warning("lane is gone: %s", lane.id)

    async def _continue_as_new(self, start: ChainStart) -> None:
        """Go on in a fresh history; what has arrived and not begun goes along."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        next_start = ChainStart(
            tenancy=start.tenancy,
            messages=tuple(message for message, _ in self._arrived),
            known=self._known,
            lost=tuple(self._lost.values()),
            completed=self._completed,
        )
        workflow.continue_as_new(args=[next_start, *(payload for _, payload in self._arrived)])

    def _show(self, message: Message, status: str) -> None:
        self._shown[message.receipt] = f"- `{message.function_id}` on `{message.queue}` {status}"
        shown = list(self._shown.values())[-_SHOWN_STEPS:]
        workflow.set_current_details("\n".join(shown))
