"""Durations as people write and read them: 30s, 5m, 2h, 7d."""

import re
from datetime import timedelta
from typing import Any

import click

__all__ = ["Duration", "short_duration"]

_TEXT = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_SHOWN = ("d", "h", "m", "s")


class Duration(click.ParamType[timedelta]):
    """A duration on the command line, such as 90s or 7d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read a duration."""
        if isinstance(value, timedelta):
            return value
        found = _TEXT.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no duration; write for example 30s, 5m, 2h or 7d", param, ctx)
        number, unit = found.groups()
        try:
            return int(number) * _UNITS[unit]
        except OverflowError:
            self.fail(f"{value!r} is too long", param, ctx)


def short_duration(duration: timedelta) -> str:
    """Return a duration in its largest unit, rounded down."""
    for unit in _SHOWN:
        if duration >= _UNITS[unit]:
            return f"{duration // _UNITS[unit]}{unit}"
    return "0s"
