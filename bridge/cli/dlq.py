"""`iii-temporal dlq`: dead letters, seen and decided about from the command line."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec
import uvloop

from bridge.cli.bridge_calls import BridgeAddress, as_json, bridge_options, call
from bridge.cli.dlq_bulk import describe, discard_command, redrive_command
from bridge.cli.dlq_filters import WORKER_NAME, filter_options
from bridge.cli.durations import short_duration
from bridge.cli.table import aligned
from bridge.protocol import payload

__all__ = ["command"]

_LONGEST_ERROR = 60
_QUEUES_HEAD = ("QUEUE", "DEAD LETTERS")
_LETTERS_HEAD = ("ID", "DIED", "FUNCTION", "ATTEMPTS", "ERROR")
_EPILOG = """\b
Examples:
  iii-temporal dlq list                                        how many are there?
  iii-temporal dlq list orders --error declined --newer-than 2h
  iii-temporal dlq show orders 5ec7b4f5-e665-4926-b5d8-da5412c05745
  iii-temporal dlq redrive orders --function orders::charge --rate 20
  iii-temporal dlq redrive orders --all --dry-run
  iii-temporal dlq discard orders --older-than 30d --yes
  iii-temporal dlq status 0b0c6d0e-6c5a-4a7e-9d0e-1b9f5a6f0c11
\b
Bulk operations run in Temporal: they go on when the command or a bridge ends.
Exit codes: 0 done, 1 something failed, 2 the arguments cannot be used.
"""


@click.group("dlq", epilog=_EPILOG)
def command() -> None:
    """See dead letters, send them on their way again, or let them go."""


command.add_command(redrive_command)
command.add_command(discard_command)


@command.command("list")
@click.argument("queue", required=False)
@filter_options
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="How many to pass over.")
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON array with everything that is known.")
@bridge_options
def list_command(
    queue: str | None,
    filters: dict[str, Any],
    limit: int,
    offset: int,
    wants_json: bool,
    bridge: BridgeAddress,
) -> None:
    """List dead letters, the newest first.

    Without QUEUE, count those of every queue.
    """
    if queue is None:
        if filters:
            raise click.UsageError("filters need a QUEUE")
        found = _ask(bridge, "engine::queue::dlq_topics", {})
        rows = {row["topic"]: row["message_count"] for row in msgspec.json.decode(found)}
        table: list[tuple[str, ...]] = [
            _QUEUES_HEAD,
            *((name, str(count)) for name, count in sorted(rows.items())),
        ]
    else:
        asked = {"topic": queue, "limit": limit, "offset": offset, "details": True, **filters}
        found = _ask(bridge, "engine::queue::dlq_messages", asked)
        table = [_LETTERS_HEAD, *map(_row, msgspec.json.decode(found))]
    if wants_json:
        click.echo(as_json(found))
        return
    for line in aligned(table):
        click.echo(line)


@command.command("show")
@click.argument("queue")
@click.argument("message_id", metavar="ID")
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON object.")
@bridge_options
def show_command(queue: str, message_id: str, wants_json: bool, bridge: BridgeAddress) -> None:
    """Tell everything about one dead letter.

    Its payload, every attempt with its error, the stack of the last one, and where to look in the Web UI.
    """
    asked = {"topic": queue, "message_id": message_id, "details": True}
    found = msgspec.json.decode(
        _ask(bridge, "engine::queue::dlq_messages", asked), type=list[dict[str, msgspec.Raw]]
    )
    if not found:
        raise click.ClickException(f"queue '{queue}' has no dead letter {message_id}")
    for letter in found:
        if wants_json:
            click.echo(as_json(payload.encode(letter)))
        else:
            click.echo("\n".join(_story(letter)))


@command.command("status")
@click.argument("operation_id", metavar="OPERATION")
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON object.")
@bridge_options
def status_command(operation_id: str, wants_json: bool, bridge: BridgeAddress) -> None:
    """Tell how far a bulk operation has come."""
    found = _ask(bridge, "iii::queue::operation", {"operation_id": operation_id})
    click.echo(as_json(found) if wants_json else describe(msgspec.json.decode(found)))


@command.command("cancel")
@click.argument("operation_id", metavar="OPERATION")
@bridge_options
def cancel_command(operation_id: str, bridge: BridgeAddress) -> None:
    """Have a bulk operation begin no more.

    What it has done stays done.
    """
    found = _ask(bridge, "iii::queue::cancel_operation", {"operation_id": operation_id})
    if not msgspec.json.decode(found)["cancelled"]:
        raise click.ClickException(f"no bulk operation {operation_id} runs")
    click.echo(f"{operation_id} begins no more; `iii-temporal dlq status {operation_id}` shows what it did")


def _ask(bridge: BridgeAddress, function_id: str, asked: dict[str, Any]) -> msgspec.Raw:
    return uvloop.run(call(bridge, function_id, payload.encode(asked), name=WORKER_NAME))


def _row(letter: dict[str, Any]) -> tuple[str, ...]:
    age = datetime.now(UTC) - datetime.fromtimestamp(letter["failed_at"], UTC)
    error = " ".join(letter["error"].split())
    short = error if len(error) <= _LONGEST_ERROR else f"{error[: _LONGEST_ERROR - 1]}…"
    died = f"{short_duration(max(age, timedelta()))} ago"
    return letter["id"], died, letter["function_id"], str(letter["retries"]), short


def _story(letter: dict[str, msgspec.Raw]) -> list[str]:
    """Return the lines that tell a dead letter: short facts, then what takes several lines."""
    told = {key: msgspec.json.decode(value) for key, value in letter.items() if key != "payload"}
    facts = {
        "id": told["id"],
        "queue": told["queue"] + (f", group {told['group']}" if told["group"] else ""),
        "function": told["function_id"]
        + ("" if told["namespace"] == "default" else f" in {told['namespace']}"),
        "error": f"{told['code']}: {told['error']}",
        "enqueued": _moment(told["enqueued_at_ms"]),
        "died": _moment(told["failed_at_ms"]),
        "attempts": f"{told['retries']}, redriven {told['redrives']} times",
        "chain": told["chain_id"],
        "workflow": told["web_url"] or f"{told['workflow_id']} run {told['run_id']}",
        "dead letter": told["dead_letter_url"] or told["dead_letter_id"],
    }
    lines = [f"{name + ':':<13}{value}" for name, value in facts.items()]
    lines += ["", "payload:", msgspec.json.format(bytes(letter["payload"]), indent=2).decode()]
    lines += ["", "attempts:"]
    lines += [
        f"  {attempt['number']}  {_moment(attempt['failed_at_ms'])}  {attempt['code']}: {attempt['error']}"
        for attempt in told["attempts"]
    ]
    if told["stacktrace"]:
        lines += ["", "stack:", told["stacktrace"]]
    return lines


def _moment(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
