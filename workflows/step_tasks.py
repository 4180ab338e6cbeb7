"""The tasks of a chain's steps: a bounded number runs, the others wait for their begin."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from temporalio import workflow

__all__ = ["StepTasks"]

_MOST_AT_ONCE = 500
"""Temporal takes 2,000 pending activities of one workflow."""

Work = Callable[[], Coroutine[Any, Any, None]]


class StepTasks:
    """Runs what a chain has to do at the same time.

    Not a `TaskGroup`, which awaits while it is closed: Temporal closes what a stopping worker remembers. The
    tasks are kept in a dict, because the order of a set differs in a replay.
    """

    def __init__(self) -> None:
        self._not_begun: deque[Work] = deque()
        self._running: dict[asyncio.Task[None], None] = {}
        self._protected: set[asyncio.Task[Any] | None] = set()
        self._failure: BaseException | None = None

    def __len__(self) -> int:
        return len(self._running)

    @property
    def can_begin(self) -> bool:
        """Whether something waits that may begin now."""
        return bool(self._not_begun) and len(self._running) < _MOST_AT_ONCE

    @property
    def has_failed(self) -> bool:
        """Whether a task has failed, which is a bug."""
        return self._failure is not None

    def add(self, work: Work) -> None:
        """Have something begin when there is room."""
        self._not_begun.append(work)

    def begin(self) -> None:
        """Begin what may begin."""
        while self.can_begin:
            task = asyncio.create_task(self._not_begun.popleft()())
            self._running[task] = None
            task.add_done_callback(self._has_run)

    def drop_not_begun(self) -> None:
        """Let what has not begun never begin."""
        self._not_begun.clear()

    def protect(self) -> None:
        """Let the task that calls this end in spite of a cancellation."""
        self._protected.add(asyncio.current_task())

    def cancel(self) -> None:
        """Cancel what runs, except what is protected."""
        for task in self._running:
            if task not in self._protected:
                task.cancel()

    async def all_end(self) -> None:
        """Wait until nothing runs.

        Raises:
            BaseException: What made a task fail.
        """
        await workflow.wait_condition(lambda: not self._running or self.has_failed)
        self.raise_failure()

    def raise_failure(self) -> None:
        """Fail the workflow task because of a bug: it is tried again with the next version of this code."""
        if self._failure is not None:
            raise self._failure

    def _has_run(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task)
        self._protected.discard(task)
        if not task.cancelled():
            self._failure = self._failure or task.exception()
