"""Options that choose among dead letters."""

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from bridge.cli.durations import Duration

__all__ = ["WORKER_NAME", "filter_options"]

WORKER_NAME = "iii-cli:dlq"


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets what the bridge's functions take as `filters`."""

    @functools.wraps(command)
    def with_filters(
        *,
        function_id: str | None,
        error: str | None,
        older_than: timedelta | None,
        newer_than: timedelta | None,
        **others: Any,
    ) -> Any:
        filters = {
            "function_id": function_id,
            "error": error,
            "older_than_ms": _milliseconds(older_than),
            "newer_than_ms": _milliseconds(newer_than),
        }
        given = {key: value for key, value in filters.items() if value is not None}
        return command(filters=given, **others)

    for option in reversed(_OPTIONS):
        option(with_filters)
    return with_filters


_OPTIONS: tuple[Callable[[Callable[..., Any]], Any], ...] = (
    click.option("--function", "function_id", metavar="ID", help="Only those of this function."),
    click.option("--error", metavar="TEXT", help="Only those whose error contains this text."),
    click.option("--older-than", type=Duration(), help="Only those that died longer ago, such as 7d."),
    click.option("--newer-than", type=Duration(), help="Only those that died since, such as 2h."),
)


def _milliseconds(duration: timedelta | None) -> int | None:
    return None if duration is None else duration // timedelta(milliseconds=1)
