"""`iii-temporal cron`: the schedules of cron triggers, seen and used from the command line."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import click
from temporalio.converter import DataConverter

from bridge.cli.cron_table import as_json, as_table
from bridge.cli.cron_times import count_fires, read_time
from bridge.cli.options import config_option, load_from, temporal_address_option, temporal_namespace_option
from bridge.cli.process import run_to_the_end
from bridge.config import TemporalBlock
from bridge.errors import ConfigError, EngineError
from bridge.settings import payload_settings, temporal_settings
from bridge.temporal.connection import TemporalConnection
from bridge.temporal.payload_codec import open_converter
from bridge.temporal.schedule_desk import CronEntry, ScheduleDesk
from workflows.contract import Tenancy

__all__ = ["command"]

_CONNECT_TIMEOUT_S = 10
_BEGIN_TIMEOUT_S = 10
_MANY = 100
_EPILOG = """\b
Examples:
  iii-temporal cron list
  iii-temporal cron list --json | jq '.[] | select(.last.outcome == "failed")'
  iii-temporal cron run reports::nightly --wait
  iii-temporal cron backfill reports::nightly --from 2026-11-01 --to 2026-11-08
\b
SCHEDULE is the id of the function, or the key that `cron list` shows when several triggers call it.
The commands talk to Temporal, so they work while no bridge runs. To pause and resume a schedule, use
Temporal's own tools: bridges leave alone what a person paused.
"""

Desks = Sequence[ScheduleDesk]
"""One for each namespace of Temporal that the configuration names."""
Work = Callable[[Desks], Awaitable[int]]


@click.group("cron", epilog=_EPILOG)
def command() -> None:
    """See the schedules of cron triggers, fire one now, or make up for times that have passed."""


@command.command("list")
@click.option(
    "--json", "wants_json", is_flag=True, help="Print a JSON array, with the next ten times of each."
)
@config_option
@temporal_address_option
@temporal_namespace_option
def list_command(
    wants_json: bool, config: Path | None, temporal_address: str | None, temporal_namespace: str | None
) -> None:
    """List every schedule: when it fires, what it calls, how the last fire ended, and who paused it.

    Times are UTC. LAST is `ran`, `skipped` (its condition objected, or no worker had the trigger in time),
    `failed`, or `running`.
    """

    async def show(desks: Desks) -> int:
        entries = [entry for desk in desks for entry in await desk.entries()]
        click.echo(as_json(entries) if wants_json else "\n".join(as_table(entries)))
        return 0

    _run(show, config, temporal_address, temporal_namespace)


@command.command("run")
@click.argument("schedule")
@click.option("--wait", is_flag=True, help="Wait for the end; exit with 1 if the function failed.")
@click.option("--overlap", is_flag=True, help="Fire although another fire of the schedule still runs.")
@config_option
@temporal_address_option
@temporal_namespace_option
def run_command(
    schedule: str,
    wait: bool,
    overlap: bool,
    config: Path | None,
    temporal_address: str | None,
    temporal_namespace: str | None,
) -> None:
    """Fire SCHEDULE now, also while it is paused.

    The function gets the event of a fire that was due now. If no worker has the trigger, the fire waits for
    one as long as the trigger's `catchup_window_ms`, and is skipped then.
    """

    async def fire(desks: Desks) -> int:
        desk, entry = await _chosen(schedule, desks)
        _warn_if_its_worker_is_away(entry)
        begun = await desk.run(entry.key, beside_others=overlap, timeout_s=_BEGIN_TIMEOUT_S)
        if begun is None:
            raise EngineError(
                f"{entry.key} did not begin to fire within {_BEGIN_TIMEOUT_S} s: a fire before it may still "
                "run. --overlap fires beside it."
            )
        click.echo(f"fired {entry.fire.function_id}: workflow {begun}")
        if not wait:
            return 0
        outcome, error = await desk.outcome(begun)
        click.echo(f"{outcome}: {error}" if error else outcome)
        return 1 if outcome == "failed" else 0

    _run(fire, config, temporal_address, temporal_namespace)


@command.command("backfill")
@click.argument("schedule")
@click.option("--from", "start", required=True, metavar="TIME", help="The first time that counts.")
@click.option("--to", "end", required=True, metavar="TIME", help="The last time that counts.")
@click.option("--parallel", is_flag=True, help="Fire all at once, and not one after the other.")
@click.option("--dry-run", is_flag=True, help="Only tell how often it would fire.")
@click.option("--yes", is_flag=True, help=f"Do not ask for consent to more than {_MANY} fires.")
@config_option
@temporal_address_option
@temporal_namespace_option
def backfill_command(
    schedule: str,
    start: str,
    end: str,
    parallel: bool,
    dry_run: bool,
    yes: bool,
    config: Path | None,
    temporal_address: str | None,
    temporal_namespace: str | None,
) -> None:
    """Fire SCHEDULE for every time it would have fired between two times, both included.

    A TIME is written as in ISO 8601, such as 2026-11-01 or 2026-11-01T09:30:00+01:00; without an offset it is
    UTC. The function gets the events of the past: `scheduled_time` is when each fire was due.
    """
    start_at, end_at = read_time("--from", start), read_time("--to", end)
    if end_at < start_at:
        raise click.UsageError("--to is before --from")

    async def fill(desks: Desks) -> int:
        desk, entry = await _chosen(schedule, desks)
        count, times = count_fires(entry.fire, start_at, end_at)
        if dry_run or not count:
            click.echo(f"{entry.key} would fire {times}")
            return 0
        _warn_if_its_worker_is_away(entry)
        if count > _MANY and not yes:
            await asyncio.to_thread(click.confirm, f"{entry.key} will fire {times}. Go on?", abort=True)
        await desk.backfill(entry.key, start_at, end_at, in_parallel=parallel)
        order = "all at once" if parallel else "one after the other"
        click.echo(f"{entry.key} fires {times}, {order}; `iii-temporal cron list` shows how far it is")
        return 0

    _run(fill, config, temporal_address, temporal_namespace)


def _run(
    work: Work, config: Path | None, temporal_address: str | None, temporal_namespace: str | None
) -> None:
    loaded = load_from(config, temporal_address=temporal_address, temporal_namespace=temporal_namespace)

    async def connected() -> int:
        # What keeps payloads is the same everywhere.
        async with open_converter(payload_settings(loaded.temporal)) as converter:
            return await work([await _desk(block, converter) for block in loaded.temporal.everywhere])

    run_to_the_end(connected())


async def _desk(block: TemporalBlock, converter: DataConverter) -> ScheduleDesk:
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            client = await TemporalConnection(temporal_settings(block).address, converter).connect_once()
    except TimeoutError as exc:
        raise EngineError(
            f"Temporal at {block.address} did not answer within {_CONNECT_TIMEOUT_S} s."
        ) from exc
    return ScheduleDesk(client, Tenancy(block.prefix))


async def _chosen(name: str, desks: Desks) -> tuple[ScheduleDesk, CronEntry]:
    entries = [(desk, entry) for desk in desks for entry in await desk.entries()]
    found = [each for each in entries if name in (each[1].key, each[1].fire.function_id)]
    if len(found) == 1:
        return found[0]
    keys = "\n  ".join(entry.key for _, entry in found or entries)
    if found:
        raise ConfigError(f"{len(found)} schedules call {name}. Name one by its key:\n  {keys}")
    known = f"There are:\n  {keys}" if entries else "There are none."
    raise ConfigError(f"No schedule is called {name}, nor calls it. {known}")


def _warn_if_its_worker_is_away(entry: CronEntry) -> None:
    if entry.pause is not None and entry.pause.by == "bridge":
        window_s = entry.fire.catchup_window_ms / 1000
        click.echo(
            f"warning: its worker is away; each fire waits {window_s:g} s for it and is skipped then",
            err=True,
        )
