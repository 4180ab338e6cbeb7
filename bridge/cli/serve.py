"""`iii-temporal serve`: a bridge for the Temporal you have."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from bridge.app import Addresses
from bridge.cli.logs import LogFormat, configure_logs
from bridge.cli.options import (
    config_option,
    load_from,
    log_format_option,
    temporal_address_option,
    temporal_namespace_option,
)
from bridge.cli.process import announce, run_to_the_end, serve_until, stop_requested
from bridge.config import BridgeConfig

__all__ = ["command"]

_EPILOG = """\b
Examples:
  iii-temporal serve                                          the Temporal of iii-config.yaml
  iii-temporal serve --temporal-address temporal:7233
  iii-temporal serve --log-format json 2> bridge.log
"""


@click.command("serve", epilog=_EPILOG)
@config_option
@temporal_address_option
@temporal_namespace_option
@log_format_option
def command(
    config: Path | None,
    temporal_address: str | None,
    temporal_namespace: str | None,
    log_format: LogFormat,
) -> None:
    """Run a bridge against a Temporal server that is already there.

    Prints one line beginning with `ready` when every listener accepts connections and Temporal answers.
    While Temporal is away, sync calls, state and HTTP keep working; enqueue answers `enqueue_error`.

    A change of the configuration file takes effect at once, as far as that goes without a restart; SIGHUP
    loads the file too. An edit that cannot be used changes nothing and is logged.

    SIGTERM or Ctrl-C stops accepting, lets running deliveries finish within `drain_timeout_ms`, and
    exits with 0. A second signal exits at once.
    """
    configure_logs(log_format)
    load = partial(load_from, temporal_address=temporal_address, temporal_namespace=temporal_namespace)
    run_to_the_end(_serve(load(config), load))


async def _serve(config: BridgeConfig, load: Callable[[Path | None], BridgeConfig]) -> int:
    ready: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    ready.add_done_callback(lambda done: None if done.cancelled() else announce(done.result()))
    await serve_until(stop_requested(), config, load, ready)
    return 0
