"""The command line: one module per command, each with a click command named `command`.

Exit codes: 0 done, 1 it failed while running, 2 the arguments or the configuration cannot be used.
"""

from importlib import import_module
from typing import Any

import click

from bridge.cli.errors import exit_code, report
from bridge.errors import BridgeError

__all__ = ["main"]

# The way to a command: a module here, with an attribute `command`, and one line below.
_COMMANDS = {
    "check": "bridge.cli.check",
    "cron": "bridge.cli.cron",
    "demo": "bridge.cli.demo",
    "dev": "bridge.cli.dev",
    "dlq": "bridge.cli.dlq",
    "queues": "bridge.cli.queues",
    "serve": "bridge.cli.serve",
    "trigger": "bridge.cli.trigger",
}
_ALIASES = {"t": "trigger"}  # iii's own short form (spec 05 §8.1)
_EPILOG = """\b
Examples:
  iii-temporal demo --once                                 see an order pipeline run
  iii-temporal dev                                         Temporal and a bridge, for this machine
  iii-temporal serve --temporal-address temporal:7233      a bridge for the Temporal you have
  iii-temporal trigger orders::get id=42                   call one function
  iii-temporal cron list                                   which schedules are there?
  iii-temporal queues                                      what waits, what runs, what is dead?
  iii-temporal dlq list orders                             why did messages die?
  iii-temporal dlq redrive orders --error declined         send them on their way again
  iii-temporal check                                       is the configuration right?
  iii-temporal check --config /etc/iii/iii-config.yaml
  III_TEMPORAL_ADDRESS=temporal:7233 iii-temporal check
"""


class _Commands(click.Group):
    """Imports a command when it is used, and ends every command the same way."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        name = _ALIASES.get(cmd_name, cmd_name)
        if name not in _COMMANDS:
            return None
        command = import_module(_COMMANDS[name]).command
        assert isinstance(command, click.Command)  # noqa: S101 - the type of an attribute found by name
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BridgeError as exc:
            report(exc)
            ctx.exit(exit_code(exc))


@click.group(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "--version", "-v", package_name="iii-temporal", message="%(version)s")
def main() -> None:
    """Serve the iii worker API with every durable promise kept by Temporal."""
