"""Moments that people write, and how often a schedule fires between two of them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import click

from bridge.builtins.cron.expression import parse
from workflows.contract import CronFire

__all__ = ["COUNTED", "count_fires", "read_time"]

COUNTED = 10_000
"""How far fires are counted: a larger number helps nobody to decide."""


def read_time(option: str, text: str) -> datetime:
    """Read a time as in ISO 8601; without an offset it is UTC.

    Raises:
        click.BadParameter: It is none; `option` is named.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise click.BadParameter(
            f"{text!r} is no time; write for example 2026-11-01 or 2026-11-01T09:30:00Z", param_hint=option
        ) from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def count_fires(fire: CronFire, start_at: datetime, end_at: datetime) -> tuple[int, str]:
    """Tell how often a schedule would have fired between two moments, both included.

    Returns:
        The number, at most one more than `COUNTED`, and the number in words.
    """
    expression, zone = parse(fire.expression), ZoneInfo(fire.timezone)
    count = 0
    moment: datetime | None = start_at - timedelta(microseconds=1)
    while moment is not None and count <= COUNTED:
        moment = expression.next_after(moment, zone=zone)
        if moment is None or moment > end_at:
            break
        count += 1
    if count > COUNTED:
        return count, f"more than {COUNTED:,} times"
    return count, "once" if count == 1 else f"{count:,} times"
