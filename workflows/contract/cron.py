"""Fires of cron triggers."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CronFire", "CronResult", "CronTick"]


class CronResult(StrEnum):
    """How a cron fire ended, unless its function failed.

    `NOBODY` is an answer of one bridge: no trigger of the schedule is bound to it now.
    """

    RAN = "ran"
    SKIPPED = "skipped"
    NOBODY = "nobody"


@dataclass(frozen=True)
class CronFire:
    """The argument of a cron fire: which schedule it belongs to.

    Attributes:
        key: Names the schedule among those of the bridges.
        expression: The expression, shown in the Web UI, as are the condition and the time zone.
        catchup_window_ms: How long after its start a fire may still begin to run the function.
    """

    key: str
    function_id: str
    expression: str
    timezone: str = "UTC"
    namespace: str = "default"
    condition_function_id: str | None = None
    catchup_window_ms: int = 60_000
    heartbeat_timeout_ms: int = 10_000


@dataclass(frozen=True)
class CronTick:
    """One fire of a cron trigger.

    Attributes:
        scheduled_at_ms: When it was due.
        started_at_ms: When Temporal started it: later, if the fire before it took long.
    """

    fire: CronFire
    scheduled_at_ms: int
    started_at_ms: int
