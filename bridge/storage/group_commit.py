"""One thread for one SQLite file: work that piles up during a commit shares the next one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeAlias, TypeVar

from bridge.errors import StorageError
from bridge.storage.entry_table import EntryTable

__all__ = ["GroupCommitter"]

T = TypeVar("T")
_Batch: TypeAlias = "list[_Job]"


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[EntryTable], Any]
    writes: bool
    answer: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception


class GroupCommitter:
    """Runs work on an entry table, many pieces in one transaction, each answered once all are committed.

    All bookkeeping happens on the event loop; the thread is given one batch at a time.
    """

    def __init__(self, table: EntryTable, thread: ThreadPoolExecutor, *, max_pending: int) -> None:
        self._table = table
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        # Bounds what is waiting or running; who finds no room waits here, in order of arrival.
        self._room = asyncio.Semaphore(max_pending)
        self._waiting: _Batch = []
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._is_closing = False
        self._table_closed: asyncio.Future[None] | None = None

    @classmethod
    async def start(cls, open_table: Callable[[], EntryTable], *, max_pending: int) -> Self:
        """Start the thread and open the table on it; what `open_table` raises is passed on."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="entry-table")
        try:
            table = await asyncio.get_running_loop().run_in_executor(thread, open_table)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(table, thread, max_pending=max_pending)

    async def perform(self, work: Callable[[EntryTable], T], *, writes: bool) -> T:
        """Run a piece of work and return its result once it is committed.

        Work that raises fails alone, so it must raise before it writes, and write with one statement only.
        Pieces run in the order in which they were handed in.

        Raises:
            StorageError: The transaction failed, so none of its pieces took place, or the store is closed.

        Cancellation: safe; work that found room is done all the same.
        """
        await self._room.acquire()
        if self._is_closing:
            self._room.release()
            raise StorageError("the store is closed; the bridge is shutting down")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append(_Job(work, writes, answer))
        if self._is_idle.is_set():
            self._is_idle.clear()
            # Not at once: what other tasks hand in during this turn of the loop joins the batch.
            self._loop.call_soon(self._run_batch)
        return await answer

    async def close(self) -> None:
        """Finish all work that found room, then close the table and end the thread."""
        self._is_closing = True
        await self._is_idle.wait()
        if self._table_closed is None:
            self._table_closed = self._loop.run_in_executor(self._thread, self._table.close)
            self._thread.shutdown(wait=False)
        await asyncio.shield(self._table_closed)

    def _run_batch(self) -> None:
        batch, self._waiting = self._waiting, []
        running = self._loop.run_in_executor(self._thread, _commit, self._table, batch)
        running.add_done_callback(partial(self._settle, batch))

    def _settle(self, batch: _Batch, done: asyncio.Future[list[Any]]) -> None:
        error = done.exception()
        outcomes = [_Failure(_wrap(error)) for _ in batch] if error else done.result()
        for job, outcome in zip(batch, outcomes, strict=True):
            self._room.release()
            if job.answer.cancelled():
                continue
            if isinstance(outcome, _Failure):
                job.answer.set_exception(outcome.error)
            else:
                job.answer.set_result(outcome)
        if self._waiting:
            self._run_batch()
        else:
            self._is_idle.set()


def _wrap(error: BaseException) -> StorageError:
    wrapped = StorageError(str(error))
    wrapped.__cause__ = error
    return wrapped


def _commit(table: EntryTable, batch: _Batch) -> list[Any]:
    """Do a batch in one transaction and return one result or failure per job."""
    with table.transaction(writes=any(job.writes for job in batch)):
        return [_attempt(table, job) for job in batch]


def _attempt(table: EntryTable, job: _Job) -> Any:
    try:
        return job.work(table)
    except Exception as exc:
        if not table.in_transaction:
            raise  # SQLite has undone the whole transaction, so the other jobs have failed with this one.
        return _Failure(exc)
