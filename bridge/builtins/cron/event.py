"""What a cron trigger's function is given (spec 05 §1.4)."""

from datetime import UTC, datetime

import msgspec

from bridge.protocol import payload

__all__ = ["cron_event"]

_NS_PER_S = 1_000_000_000
_FRACTIONS = ((1_000_000, 3), (1_000, 6), (1, 9))
"""How many nanoseconds the last digit stands for, with the number of digits."""


def cron_event(*, job_id: str, scheduled_at_ms: int, actual_at_ns: int) -> msgspec.Raw:
    """Return the event of one fire.

    Args:
        job_id: The id of the trigger.
        scheduled_at_ms: When it was due, in Unix time.
        actual_at_ns: When it fires, in Unix time.
    """
    return payload.encode(
        {
            "trigger": "cron",
            "job_id": job_id,
            "scheduled_time": _rfc3339(scheduled_at_ms // 1000),
            "actual_time": _rfc3339(actual_at_ns // _NS_PER_S, nanoseconds=actual_at_ns % _NS_PER_S),
        }
    )


def _rfc3339(seconds: int, *, nanoseconds: int = 0) -> str:
    """Format a time in UTC, with as many groups of three digits as its fraction needs."""
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}{_fraction(nanoseconds)}+00:00"


def _fraction(nanoseconds: int) -> str:
    if nanoseconds == 0:
        return ""
    unit, digits = next(each for each in _FRACTIONS if nanoseconds % each[0] == 0)
    return f".{nanoseconds // unit:0{digits}}"
