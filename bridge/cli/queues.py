"""`iii-temporal queues`: how the queues of a bridge are."""

from datetime import timedelta

import click
import msgspec
import uvloop

from bridge.cli.bridge_calls import BridgeAddress, as_json, bridge_options, call
from bridge.cli.durations import short_duration
from bridge.cli.table import aligned
from bridge.protocol import payload

__all__ = ["command"]

_WORKER_NAME = "iii-cli:queues"
_HEAD = ("QUEUE", "DEPTH", "OLDEST", "IN FLIGHT", "WAITING", "DEAD", "CONCURRENCY")
_EPILOG = """\b
Examples:
  iii-temporal queues
  iii-temporal queues --json | jq '.[] | select(.dead_letters > 0).name'
\b
DEPTH        attempts that wait for a free slot, over all bridges
OLDEST       how long the oldest of them has waited
IN FLIGHT    attempts that run on this bridge
WAITING      workflows that wait for somebody to offer a function, by the queue they began on
DEAD         dead letters, and of how many you are ready to have; ! where they are too many
CONCURRENCY  attempts that may run at once, for each bridge
"""


class _Queue(msgspec.Struct, frozen=True):
    name: str
    subscriber_count: int
    depth: int
    oldest_ms: int
    in_flight: int
    waiting_for_provider: int | None
    dead_letters: int
    dead_letter_capacity: int | None
    dead_letter_threshold: int | None

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            str(self.depth),
            short_duration(timedelta(milliseconds=self.oldest_ms)) if self.depth else "-",
            str(self.in_flight),
            "?" if self.waiting_for_provider is None else str(self.waiting_for_provider),
            self._dead,
            str(self.subscriber_count),
        )

    @property
    def _dead(self) -> str:
        if self.dead_letter_capacity is None or self.dead_letter_threshold is None:
            return str(self.dead_letters)
        mark = " !" if self.dead_letters >= self.dead_letter_threshold else ""
        return f"{self.dead_letters}/{self.dead_letter_capacity}{mark}"


@click.command("queues", epilog=_EPILOG)
@click.option("--json", "wants_json", is_flag=True, help="Print a JSON array.")
@bridge_options
def command(wants_json: bool, bridge: BridgeAddress) -> None:
    """Show how the queues are: what waits, what runs, and what is dead."""
    asked = payload.encode({"details": True})
    found = uvloop.run(call(bridge, "engine::queue::list_topics", asked, name=_WORKER_NAME))
    if wants_json:
        click.echo(as_json(found))
        return
    queues = sorted(msgspec.json.decode(found, type=list[_Queue]), key=lambda queue: queue.name)
    for line in aligned([_HEAD, *(queue.cells for queue in queues)]):
        click.echo(line)
