"""Finding dead letters: what visibility is asked, and what is left to compare with their memos."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.client import WorkflowExecution as Execution

from bridge.temporal.answers import answering
from bridge.temporal.query_text import quoted
from workflows.contract import LetterFilter, SearchAttribute, Tenancy, WorkflowType
from workflows.names import dead_letter_prefix, search_text

__all__ = ["FoundLetter", "is_exact", "letters_at", "open_letters", "search"]

_PAGE = 500
OPEN = "ExecutionStatus = 'Running'"


@dataclass(frozen=True, slots=True)
class FoundLetter:
    """A dead letter that a search found.

    Attributes:
        memo: What lists show of it.
    """

    execution: Execution
    memo: Mapping[str, Any]

    @property
    def is_open(self) -> bool:
        """Tell whether nobody has decided about it yet."""
        return self.execution.status is WorkflowExecutionStatus.RUNNING

    @property
    def line(self) -> str:
        """Return what must stay in order: letters of one FIFO group, any other letter alone."""
        group = self.memo.get("group")
        return self.execution.id if group is None else f"{self.memo['queue']}/{group}"


def open_letters(tenancy: Tenancy, letters: LetterFilter) -> str:
    """Return the query for dead letters that nobody has decided about."""
    return _query(tenancy, letters, OPEN)


def letters_at(tenancy: Tenancy, letters: LetterFilter, moment_ms: int) -> str:
    """Return the query for dead letters that were open at a moment, whatever has become of them."""
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return _query(tenancy, letters, f"StartTime <= '{moment}' AND ({OPEN} OR CloseTime >= '{moment}')")


def is_exact(letters: LetterFilter) -> bool:
    """Tell whether a query finds what fits and nothing else, so that counting needs no look at memos."""
    return letters == LetterFilter(letters.queues)


async def search(client: Client, query: str, letters: LetterFilter) -> AsyncIterator[FoundLetter]:
    """Yield the dead letters that fit, the newest first.

    Raises:
        EngineError: Temporal did not answer in time.
    """
    pages = client.list_workflows(query, page_size=_PAGE)
    while pages.current_page is None or pages.next_page_token is not None:
        async with answering():
            await pages.fetch_next_page()
        for execution in pages.current_page or ():
            memo = await execution.memo()
            if _fits(letters, memo):
                yield FoundLetter(execution, memo)


def _query(tenancy: Tenancy, letters: LetterFilter, when: str) -> str:
    conditions = [f"WorkflowType = '{WorkflowType.DEAD_LETTER}'", when, _in_queues(tenancy, letters.queues)]
    if letters.function_id is not None and tenancy.has_search_attributes:
        # Letters that are older than the search attributes have none.
        name, value = SearchAttribute.FUNCTION, quoted(search_text(letters.function_id))
        conditions.append(f"({name} = {value} OR {name} IS NULL)")
    return " AND ".join(conditions)


def _in_queues(tenancy: Tenancy, queues: Sequence[str]) -> str:
    prefixes = (quoted(dead_letter_prefix(tenancy, queue)) for queue in queues)
    return "(" + " OR ".join(f"WorkflowId STARTS_WITH {prefix}" for prefix in prefixes) + ")"


def _fits(letters: LetterFilter, memo: Mapping[str, Any]) -> bool:
    failed_at_ms: int = memo["failed_at_ms"]
    return (
        letters.function_id in (None, memo["function_id"])
        and (letters.error is None or letters.error in memo["error"])
        and (letters.failed_from_ms is None or failed_at_ms >= letters.failed_from_ms)
        and (letters.failed_until_ms is None or failed_at_ms <= letters.failed_until_ms)
    )
