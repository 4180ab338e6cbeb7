"""Other people's workflows, as functions see them: what `temporal::*` takes and answers (docs/interop.md).

Times are Unix times, spans are spans, both in milliseconds.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Protocol

import msgspec

from bridge.protocol.payload import ABSENT, absent

__all__ = [
    "Arguments",
    "Attributes",
    "End",
    "FindWorkflows",
    "ListWorkflows",
    "Query",
    "Result",
    "Retry",
    "Scalar",
    "SignalWorkflow",
    "Span",
    "StartWorkflow",
    "Started",
    "Status",
    "Terminate",
    "Text",
    "UnixMilliseconds",
    "UpdateWorkflow",
    "WhichWorkflow",
    "WorkflowPage",
    "WorkflowView",
    "Workflows",
]

_LONGEST_WAIT_MS = 600_000
_TEN_YEARS_MS = 10 * 365 * 24 * 3600 * 1000
_YEAR_3000_MS = 32_503_680_000_000

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Span = Annotated[int, msgspec.Meta(ge=1, le=_TEN_YEARS_MS)]
UnixMilliseconds = Annotated[int, msgspec.Meta(ge=0, le=_YEAR_3000_MS)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Scalar = str | int | float | bool
Attributes = Mapping[Name, Scalar | tuple[Text, ...]]
Status = Literal["running", "completed", "failed", "canceled", "terminated", "continued_as_new", "timed_out"]


class Arguments:
    """What a workflow is given: `input` is the only argument, `args` are several."""

    __slots__ = ()

    input: msgspec.Raw
    args: tuple[msgspec.Raw, ...] | None

    def __post_init__(self) -> None:
        if self.input != ABSENT and self.args is not None:
            raise ValueError("give `input` or `args`, not both")

    @property
    def arguments(self) -> tuple[msgspec.Raw, ...]:
        """The arguments."""
        return self.args or () if self.input == ABSENT else (self.input,)


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How often a workflow that fails is run again."""

    max_attempts: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    initial_interval_ms: Span = 1000
    backoff_coefficient: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 2.0
    max_interval_ms: Span | None = None
    non_retryable_errors: tuple[Text, ...] = ()


class StartWorkflow(Arguments, msgspec.Struct, frozen=True, kw_only=True):
    """A workflow to start: where, with what, within which limits; with `wait` the answer has its result."""

    input: msgspec.Raw = msgspec.field(default_factory=absent)
    args: tuple[msgspec.Raw, ...] | None = None

    workflow: Text
    task_queue: Text
    namespace: Text | None = None
    execution_timeout_ms: Span | None = None
    run_timeout_ms: Span | None = None
    task_timeout_ms: Span | None = None
    retry: Retry | None = None
    memo: Mapping[str, msgspec.Raw] = {}
    search_attributes: Attributes = {}
    id: Text | None = None
    id_conflict: Literal["fail", "use_existing", "terminate_existing"] = "fail"
    id_reuse: Literal["allow", "allow_if_failed", "reject"] = "allow"
    start_delay_ms: Span | None = None
    wait: bool = False


class WhichWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow: its latest run, or the given one."""

    workflow_id: Text
    run_id: Text | None = None
    namespace: Text | None = None


class _Message(Arguments, WhichWorkflow, frozen=True, kw_only=True):
    """What a workflow is sent."""

    input: msgspec.Raw = msgspec.field(default_factory=absent)
    args: tuple[msgspec.Raw, ...] | None = None


class SignalWorkflow(_Message, frozen=True, kw_only=True):
    """A signal to send."""

    signal: Text


class Query(_Message, frozen=True, kw_only=True):
    """A query to answer."""

    query: Text


class UpdateWorkflow(_Message, frozen=True, kw_only=True):
    """An update to make; the same `update_id` makes it once."""

    update: Text
    update_id: Text | None = None


class Result(WhichWorkflow, frozen=True, kw_only=True):
    """A workflow whose end is waited for."""

    timeout_ms: Annotated[int, msgspec.Meta(ge=1, le=_LONGEST_WAIT_MS)] = 30_000


class Terminate(WhichWorkflow, frozen=True, kw_only=True):
    """A workflow to end at once."""

    reason: str | None = None


class FindWorkflows(msgspec.Struct, frozen=True, kw_only=True):
    """Which workflows are meant, of those that functions may use."""

    workflow: Text | None = None
    task_queue: Text | None = None
    status: Status | None = None
    workflow_id: Text | None = None
    workflow_id_prefix: Text | None = None
    started_after_ms: UnixMilliseconds | None = None
    started_before_ms: UnixMilliseconds | None = None
    closed_after_ms: UnixMilliseconds | None = None
    closed_before_ms: UnixMilliseconds | None = None
    search_attributes: Mapping[Name, Scalar] = {}
    namespace: Text | None = None


class ListWorkflows(FindWorkflows, frozen=True, kw_only=True):
    """A page of workflows; `cursor` is the `next` of the page before."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    cursor: str | None = None


class Started(msgspec.Struct, frozen=True, omit_defaults=True):
    """A workflow that was started, or found; with its result if that was waited for."""

    workflow_id: str
    run_id: str | None
    result: msgspec.Raw | None = None


class End(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a workflow has completed, and with what; one that failed is an error."""

    status: str
    result: msgspec.Raw | None = None


class WorkflowView(msgspec.Struct, frozen=True):
    """A workflow as it is."""

    workflow_id: str
    run_id: str
    workflow: str
    task_queue: str
    namespace: str
    status: str
    started_at_ms: int
    ended_at_ms: int | None
    history_length: int


class WorkflowPage(msgspec.Struct, frozen=True):
    """Workflows, newest first, and where the next page begins."""

    workflows: list[WorkflowView]
    next: str | None


class Workflows(Protocol):
    """Other people's workflows. Everything raises `FunctionFailedError` with a code of its own."""

    async def start(self, asked: StartWorkflow, workflow_id: str) -> Started:
        """Start one."""

    async def signal(self, asked: SignalWorkflow) -> None:
        """Signal one."""

    async def query(self, asked: Query) -> msgspec.Raw:
        """Ask one."""

    async def update(self, asked: UpdateWorkflow) -> msgspec.Raw:
        """Update one, and wait for what it answers."""

    async def result(self, asked: Result) -> End:
        """Wait for the end of one."""

    async def describe(self, asked: WhichWorkflow) -> WorkflowView:
        """Describe one."""

    async def cancel(self, asked: WhichWorkflow) -> None:
        """Ask one to end."""

    async def terminate(self, asked: Terminate) -> None:
        """End one."""

    def check_namespace(self, namespace: str | None) -> None:
        """Make sure that functions may use some workflow of a namespace."""

    async def list(self, asked: ListWorkflows) -> WorkflowPage:
        """List some."""

    async def count(self, asked: FindWorkflows) -> int:
        """Count some."""

    async def run_declared(self, asked: StartWorkflow, workflow_id: str) -> msgspec.Raw:
        """Run a workflow that the configuration declares as a function, or wait for the one that runs."""
