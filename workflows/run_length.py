"""When a history is long enough to go on in a fresh one."""

from temporalio import workflow

from workflows.contract import Pace

__all__ = ["is_long", "is_too_long"]

_TOO_MANY_EVENTS = 20_000
"""Of the 51,200 at which Temporal ends a workflow: what runs now still needs room to finish."""
_TOO_MANY_BYTES = 20 * 1024 * 1024
"""Of the 50 MiB at which Temporal ends a workflow."""
_TOO_LONG = 4


def is_long(pace: Pace) -> bool:
    """Tell whether to continue as new at the next opportunity."""
    info = workflow.info()
    if pace.events_per_run:
        return info.get_current_history_length() >= pace.events_per_run
    return info.is_continue_as_new_suggested()


def is_too_long(pace: Pace) -> bool:
    """Tell whether to begin nothing more, so that an opportunity comes."""
    info = workflow.info()
    return (
        info.get_current_history_length() >= (pace.events_per_run * _TOO_LONG or _TOO_MANY_EVENTS)
        or info.get_current_history_size() >= _TOO_MANY_BYTES
    )
