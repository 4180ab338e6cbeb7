"""Cron schedules as text, for people and for programs."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.cli.table import aligned
from bridge.temporal.schedule_desk import CronEntry, Fire, Pause

__all__ = ["as_json", "as_table"]

_HEAD = ("SCHEDULE", "EXPRESSION", "NEXT (UTC)", "LAST (UTC)", "STATE")
_LONGEST_ERROR = 60


def as_table(entries: Sequence[CronEntry]) -> Iterator[str]:
    """Give the lines of a table; one that says so when there is nothing to show."""
    if not entries:
        yield "No cron trigger has a schedule. One is made when a worker registers a trigger of type `cron`."
        return
    yield from aligned([_HEAD, *map(_row, entries)])


def as_json(entries: Sequence[CronEntry]) -> str:
    """Write everything that is known; times are ISO 8601 in UTC."""
    return json.dumps([_object(entry) for entry in entries], indent=2)


def _row(entry: CronEntry) -> tuple[str, ...]:
    fire = entry.fire
    zone = "" if fire.timezone == "UTC" else f" {fire.timezone}"
    due = entry.next_at[0] if entry.next_at and entry.pause is None else None
    return (entry.key, fire.expression + zone, _short(due), _last(entry.last), _state(entry))


def _last(last: Fire | None) -> str:
    if last is None:
        return "never"
    error = f": {_cut(last.error)}" if last.error else ""
    return f"{last.outcome} {_short(last.scheduled_at)}{error}"


def _state(entry: CronEntry) -> str:
    if entry.pause is not None:
        return _paused(entry.pause)
    return f"on, kept by {entry.keeper}" if entry.keeper else "on"


def _paused(pause: Pause) -> str:
    if pause.by == "bridge":
        return f"paused: its worker is away since {_short(pause.since)}"
    return "paused by hand" + (f": {pause.note}" if pause.note else "")


def _object(entry: CronEntry) -> dict[str, Any]:
    fire, pause, last = entry.fire, entry.pause, entry.last
    return {
        "key": entry.key,
        "function_id": fire.function_id,
        "namespace": fire.namespace,
        "expression": fire.expression,
        "timezone": fire.timezone,
        "condition_function_id": fire.condition_function_id,
        "next": [_iso(each) for each in entry.next_at],
        "paused": pause and {"by": pause.by, "note": pause.note, "since": _iso(pause.since)},
        "kept_by": entry.keeper,
        "last": last
        and {
            "scheduled_at": _iso(last.scheduled_at),
            "outcome": last.outcome,
            "error": last.error,
            "workflow_id": last.workflow_id,
        },
        "running": entry.running,
        "fired": entry.fired,
        "missed": entry.missed,
        "skipped": entry.skipped,
    }


def _short(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else "-"


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_ERROR else line[: _LONGEST_ERROR - 1] + "…"
