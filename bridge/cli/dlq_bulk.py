"""`iii-temporal dlq redrive` and `discard`: one dead letter, some, or all of a queue."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import click
import msgspec
import uvloop

from bridge.cli.bridge_calls import BridgeAddress, as_json, bridge_options, call, in_time
from bridge.cli.client import BridgeClient, connected
from bridge.cli.dlq_filters import WORKER_NAME, filter_options
from bridge.protocol import payload

__all__ = ["describe", "discard_command", "redrive_command"]

_POLL_S = 0.5
_REDRIVE_EXAMPLES = """\b
Examples:
  iii-temporal dlq redrive orders 5ec7b4f5-e665-4926-b5d8-da5412c05745
  iii-temporal dlq redrive orders --function orders::charge --error declined --rate 20
  iii-temporal dlq redrive orders --all --limit 10        try the ten oldest first
"""
_DISCARD_EXAMPLES = """\b
Examples:
  iii-temporal dlq discard orders --older-than 30d --dry-run
  iii-temporal dlq discard orders --older-than 30d --yes --json
"""


@dataclass(frozen=True, slots=True)
class _Request:
    """What becomes of which dead letters, as the command line says."""

    verb: str
    queue: str
    message_ids: Sequence[str]
    filters: dict[str, Any]
    wants_all: bool
    limit: int | None
    rate_per_s: float | None
    dry_run: bool
    wait: bool
    wants_json: bool

    @property
    def done_key(self) -> str:
        return "redriven" if self.verb == "redrive" else "discarded"

    @property
    def bulk(self) -> dict[str, Any]:
        chosen = {"queue": self.queue, **self.filters}
        return chosen if self.limit is None else chosen | {"limit": self.limit}

    def check(self) -> None:
        """Refuse what is unclear, before anything is touched."""
        chooses = bool(self.filters) or self.limit is not None
        if self.message_ids and (chooses or self.wants_all or self.rate_per_s is not None):
            raise click.UsageError("give IDs, or filters, or --all")
        if self.message_ids and self.dry_run:
            raise click.UsageError("--dry-run counts what filters find; look at an ID with `dlq show`")
        if not (self.message_ids or chooses or self.wants_all):
            raise click.UsageError(
                f"say which dead letters to {self.verb}: IDs, filters such as --error TEXT, or --all"
            )


def _bulk_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what redrive and discard have in common."""
    decorators: tuple[Callable[[Any], Any], ...] = (
        click.argument("queue"),
        click.argument("message_ids", metavar="[ID]...", nargs=-1),
        filter_options,
        click.option("--all", "wants_all", is_flag=True, help="All of the queue."),
        click.option("--limit", type=click.IntRange(min=1), help="How many at most: the oldest."),
        click.option(
            "--rate",
            "rate_per_s",
            type=click.FloatRange(min=0.001, max=100_000),
            help="How many per second at most.",
        ),
        click.option("--dry-run", is_flag=True, help="Only count them."),
        click.option("--wait/--no-wait", default=True, help="Follow it to its end, or only begin it."),
        click.option("--json", "wants_json", is_flag=True, help="Print a JSON object."),
        bridge_options,
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


@click.command("redrive", epilog=_REDRIVE_EXAMPLES)
@_bulk_options
def redrive_command(bridge: BridgeAddress, **given: Any) -> None:
    """Send dead letters on their way again.

    The oldest first, each with all its attempts. Name them by ID, choose them by filters, or take --all.
    """
    request = _Request(verb="redrive", **given)
    request.check()
    _settle(bridge, request)


@click.command("discard", epilog=_DISCARD_EXAMPLES)
@click.option("--yes", is_flag=True, help="Do not ask for consent.")
@_bulk_options
def discard_command(bridge: BridgeAddress, yes: bool, **given: Any) -> None:
    """Let dead letters go for good.

    Name them by ID, choose them by filters, or take --all. Unless they are named, their number is shown and
    consent asked for.
    """
    request = _Request(verb="discard", **given)
    request.check()
    if not (yes or request.message_ids or request.dry_run):
        _ask_for_consent(bridge, request)
    _settle(bridge, request)


def describe(report: dict[str, Any]) -> str:
    """Return what a bulk operation has done, as text."""
    done_key = "redriven" if "redriven" in report else "discarded"
    counts = ", ".join(f"{report[key]} {key}" for key in (done_key, "skipped", "failed"))
    text = f"{report['queue']}: {report['matched']} matched, {counts}; {report['status']}"
    return "\n".join([text, *(f"  {error}" for error in report["errors"])])


def _ask_for_consent(bridge: BridgeAddress, request: _Request) -> None:
    if not _somebody_is_here():
        raise click.UsageError("nobody is here to consent; give --yes, or count first with --dry-run")
    counted = _one_call(bridge, "iii::queue::discard", {**request.bulk, "dry_run": True})
    count = msgspec.json.decode(counted)["matched"]
    click.confirm(f"Discard {count} dead letters of {request.queue} for good?", abort=True)


def _somebody_is_here() -> bool:
    return sys.stdin.isatty()


def _settle(bridge: BridgeAddress, request: _Request) -> None:
    if request.message_ids:
        code = uvloop.run(_settle_each(bridge, request))
    elif request.dry_run:
        counted = _one_call(bridge, f"iii::queue::{request.verb}", {**request.bulk, "dry_run": True})
        count = msgspec.json.decode(counted)["matched"]
        click.echo(
            as_json(counted) if request.wants_json else f"would {request.verb} {count} of {request.queue}"
        )
        code = 0
    else:
        code = _follow(bridge, request)
    click.get_current_context().exit(code)


async def _settle_each(bridge: BridgeAddress, request: _Request) -> int:
    """Settle the named ones; a name that is not there is a failure."""
    counts: dict[str, int] = {}
    async with connected(bridge.url, name=WORKER_NAME) as client:
        for message_id in request.message_ids:
            asked = {"queue": request.queue, "message_id": message_id}
            answer = await _call(client, bridge, f"iii::queue::{request.verb}_message", asked)
            counts[message_id] = msgspec.json.decode(answer)["redriven"]
    missing = [message_id for message_id, count in counts.items() if not count]
    done = sum(counts.values())
    if request.wants_json:
        report = {"queue": request.queue, request.done_key: done, "missing": missing}
        click.echo(as_json(payload.encode(report)))
    else:
        click.echo(f"{request.queue}: {done} {request.done_key}")
    for message_id in missing:
        click.echo(f"no dead letter {message_id} in queue {request.queue}", err=True)
    return 1 if missing else 0


def _follow(bridge: BridgeAddress, request: _Request) -> int:
    """Begin a bulk operation and show how far it is until it ends; Ctrl-C leaves it running."""
    begun = _one_call(bridge, f"iii::queue::{request.verb}", _bulk_call(request))
    operation_id = msgspec.json.decode(begun)["operation_id"]
    if not request.wait:
        click.echo(as_json(begun) if request.wants_json else operation_id)
        return 0
    try:
        ended = uvloop.run(_watch(bridge, operation_id, shows_progress=not request.wants_json))
    except KeyboardInterrupt:
        _leave_running(operation_id)
    report = msgspec.json.decode(ended)
    click.echo(as_json(ended) if request.wants_json else describe(report))
    return 0 if report["status"] == "done" and not report["failed"] else 1


def _bulk_call(request: _Request) -> dict[str, Any]:
    rate = {} if request.rate_per_s is None else {"rate_per_s": request.rate_per_s}
    return {**request.bulk, **rate, "wait": False}


def _leave_running(operation_id: str) -> NoReturn:
    click.echo(
        f"\nThe operation goes on. Follow it with `iii-temporal dlq status {operation_id}`, "
        f"or end it with `iii-temporal dlq cancel {operation_id}`.",
        err=True,
    )
    raise click.exceptions.Exit(130)


async def _watch(bridge: BridgeAddress, operation_id: str, *, shows_progress: bool) -> msgspec.Raw:
    """Look at an operation until it has ended; returns its report."""
    shown = ""
    async with connected(bridge.url, name=WORKER_NAME) as client:
        while True:
            found = await _call(client, bridge, "iii::queue::operation", {"operation_id": operation_id})
            report = msgspec.json.decode(found)
            if report["status"] != "running":
                return found
            line = describe({**report, "errors": []})
            if shows_progress and line != shown:
                click.echo(line, err=True)
                shown = line
            await asyncio.sleep(_POLL_S)


def _one_call(bridge: BridgeAddress, function_id: str, asked: dict[str, Any]) -> msgspec.Raw:
    return uvloop.run(call(bridge, function_id, payload.encode(asked), name=WORKER_NAME))


async def _call(
    client: BridgeClient, bridge: BridgeAddress, function_id: str, asked: dict[str, Any]
) -> msgspec.Raw:
    async with in_time(bridge, function_id):
        return await client.call(function_id, payload.encode(asked))
