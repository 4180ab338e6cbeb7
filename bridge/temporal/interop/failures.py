"""How what Temporal and workflows fail with reads for functions: a code, and the text of its cause."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.client import (
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from temporalio.exceptions import (
    TimeoutError as WorkflowTimeoutError,
)
from temporalio.service import RPCError, RPCStatusCode

from bridge.errors import EngineError, FunctionFailedError

__all__ = ["failed", "failures"]

_CODES = {
    CancelledError: "workflow_canceled",
    TerminatedError: "workflow_terminated",
    WorkflowTimeoutError: "workflow_timed_out",
}
_CALLERS_FAULT = (
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.OUT_OF_RANGE,
)


@asynccontextmanager
async def failures() -> AsyncIterator[None]:
    """Translate what the body fails with.

    Raises:
        FunctionFailedError: The workflow failed, or what was asked cannot be done.
        EngineError: Temporal did not answer.
    """
    try:
        yield
    except (WorkflowFailureError, WorkflowUpdateFailedError) as exc:
        raise failed(exc.cause) from exc
    except WorkflowAlreadyStartedError as exc:
        raise FunctionFailedError(
            "workflow_already_started",
            f"There is a workflow {exc.workflow_id} already; give another `id`, or say what to do with "
            "`id_conflict` and `id_reuse`",
        ) from exc
    except WorkflowQueryFailedError as exc:
        raise FunctionFailedError("query_failed", str(exc)) from exc
    except WorkflowUpdateRPCTimeoutOrCancelledError as exc:
        raise EngineError("Temporal did not answer in time; the update may still be made.") from exc
    except RPCError as exc:
        if exc.status is RPCStatusCode.NOT_FOUND:
            raise FunctionFailedError("not_found", exc.message) from exc
        if exc.status is RPCStatusCode.ALREADY_EXISTS:  # of workflows the SDK says so itself
            raise FunctionFailedError(
                "schedule_already_exists",
                "There is a schedule of this id already; update it, or delete it first",
            ) from exc
        if exc.status in _CALLERS_FAULT:
            raise FunctionFailedError("invalid_arguments", exc.message) from exc
        raise EngineError(
            f"Temporal did not answer ({exc.status.name}): {exc.message}. Try again when it is back."
        ) from exc


def failed(cause: BaseException | None) -> FunctionFailedError:
    """Return a failure of a workflow as one of a function: the type of the innermost error is its code."""
    while isinstance(cause, ActivityError | ChildWorkflowError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, ApplicationError):
        details = [each for each in cause.details if isinstance(each, str)]
        return FunctionFailedError(cause.type or "workflow_failed", cause.message, *details[:1])
    code = next((code for kind, code in _CODES.items() if isinstance(cause, kind)), "workflow_failed")
    return FunctionFailedError(code, str(cause) or "The workflow failed")
