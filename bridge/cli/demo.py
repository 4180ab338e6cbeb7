"""`iii-temporal demo`: one order through the order pipeline, from HTTP to the last step, before your eyes."""

import asyncio
import json
import logging
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click
import httpx
from temporalio.client import Client

from bridge.app import Addresses
from bridge.cli.demo_order import ORDER, Accepted, Order, chain_link, describe_event, follow, post_order
from bridge.cli.demo_worker import OrderWorker, find_checkout, run_worker
from bridge.cli.dev import dev_server_settings, namespaces_of, serve_with_dev_server
from bridge.cli.logs import LogFormat, configure_logs
from bridge.cli.options import config_option, dev_server_options, load_from, log_format_option
from bridge.cli.process import run_to_the_end, stop_requested
from bridge.config import BridgeConfig
from bridge.errors import ConfigError, EngineError
from bridge.temporal.dev_server import DevServerSettings
from workflows.contract import Tenancy
from workflows.names import chain_id

__all__ = ["command"]

_ORDER_TIMEOUT_S = 60
_WORKER_LOG = Path("data/demo-worker.log")
_EPILOG = """\b
Examples:
  iii-temporal demo                       then try the commands it shows; Ctrl-C ends it
  iii-temporal demo --once --ephemeral    exits with 0 if the order was fulfilled, and keeps nothing
"""


@click.command("demo", epilog=_EPILOG)
@config_option
@click.option("--once", is_flag=True, help="End after the order instead of serving on.")
@dev_server_options
@log_format_option
def command(
    config: Path | None,
    once: bool,
    temporal_port: int | None,
    ui_port: int | None,
    temporal_db: Path | None,
    ephemeral: bool,
    log_format: LogFormat,
) -> None:
    """Show an order pipeline at work: Temporal, the bridge, a worker, and one order.

    Runs the repository's examples/order_fulfillment with the real iii SDK, posts an order whose payment
    fails twice, and shows each step as it happens. Exits with 1 and a reason if it is not fulfilled.
    """
    configure_logs(log_format, level=logging.WARNING, silent=("bridge.queue", "bridge.calls", "bridge.logs"))
    checkout = find_checkout()
    config = config or checkout / "iii-config.yaml"
    loaded = load_from(config)
    settings = dev_server_settings(
        temporal_port=temporal_port,
        ui_port=ui_port,
        temporal_db=temporal_db,
        ephemeral=ephemeral,
        namespaces=namespaces_of(loaded),
    )
    run_to_the_end(_Demo(loaded, checkout, once=once).run(config, settings))


class _Demo:
    """One run of the demo.

    Args:
        config: What the bridge serves.
        checkout: Where the example is.
        once: Whether to end after the order.
    """

    def __init__(self, config: BridgeConfig, checkout: Path, *, once: bool) -> None:
        self._config = config
        self._checkout = checkout
        self._once = once
        self._is_fulfilled = False

    async def run(self, config: Path, settings: DevServerSettings) -> int:
        """Run everything, and stop it in order: the worker, then the bridge, then Temporal.

        Raises:
            BridgeError: The order was not fulfilled, or something could not run.
        """
        stop = asyncio.Event()
        ready: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
        click.echo("Starting Temporal, the bridge and a worker …")
        interrupted = asyncio.create_task(stop_requested().wait(), name="interrupted")
        serving = asyncio.create_task(serve_with_dev_server(config, settings, stop, ready), name="bridge")
        showing = asyncio.create_task(self._show(ready), name="demo")
        try:
            await asyncio.wait((interrupted, serving, showing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            interrupted.cancel()
            showing.cancel()
            await asyncio.wait((showing,))
            stop.set()
            await serving
        if not showing.cancelled():
            showing.result()
        elif not self._is_fulfilled:
            raise EngineError("Interrupted before the order was fulfilled.")
        return 0

    async def _show(self, ready: "asyncio.Future[Addresses]") -> None:
        addresses = await ready
        if addresses.http is None or not addresses.workers:
            raise ConfigError("The demo needs the blocks iii-http and iii-worker-manager; add them.")
        async with (
            run_worker(self._checkout, addresses.workers[0], _WORKER_LOG) as worker,
            httpx.AsyncClient(base_url=addresses.http, trust_env=False) as http,
        ):
            _print_addresses(addresses)
            accepted, order = await self._order(http, worker)
            self._is_fulfilled = order.is_fulfilled
            await self._print_end(addresses, accepted, order)
            if not order.is_fulfilled:
                raise EngineError(
                    f"The order is {order.status} and not fulfilled after {_ORDER_TIMEOUT_S} s. "
                    f"Its last error: {order.last_error}. The worker's log: {_WORKER_LOG}"
                )
            if not self._once:
                _print_suggestions(addresses, accepted)
                await asyncio.shield(worker.exited)
                worker.check()

    async def _order(self, http: httpx.AsyncClient, worker: OrderWorker) -> tuple[Accepted, Order]:
        click.echo(f"\nPOST {http.base_url}/orders {json.dumps(ORDER)}")
        accepted = await post_order(http)
        click.echo(f"accepted as order {accepted.order_id}\n")

        def show(order: Order, shown: int) -> None:
            worker.check()
            for event in order.history[shown:]:
                click.echo(describe_event(order, event))

        return accepted, await follow(http, accepted.order_id, show, timeout_s=_ORDER_TIMEOUT_S)

    async def _print_end(self, addresses: Addresses, accepted: Accepted, order: Order) -> None:
        temporal = self._config.temporal
        client = await Client.connect(addresses.temporal, namespace=temporal.namespace)
        workflow_id = chain_id(Tenancy(temporal.prefix), accepted.enqueue_receipt_id)
        tracking = f", tracking number {order.tracking_number}" if order.tracking_number else ""
        click.echo(f"\nState    {order.status}, {order.payment_attempts} payment attempts{tracking}")
        click.echo(f"Receipt  {accepted.enqueue_receipt_id}")
        if addresses.ui is not None:
            click.echo(f"Web UI   {await chain_link(addresses.ui, client, workflow_id)}")


def _print_addresses(addresses: Addresses) -> None:
    rows = {
        "Workers": addresses.workers[0],
        "HTTP": addresses.http,
        "Temporal": addresses.temporal,
        "Web UI": addresses.ui,
    }
    for name, address in rows.items():
        click.echo(f"  {name:<9} {address}")


def _print_suggestions(addresses: Addresses, accepted: Accepted) -> None:
    # `make run` runs a program that is not on the PATH.
    program = "iii-temporal" if shutil.which("iii-temporal") else sys.argv[0]
    trigger = f"{program} trigger --port {urlsplit(addresses.workers[0]).port}"
    post = f"curl {addresses.http}/orders -H 'content-type: application/json' -d"
    click.echo(
        f"""
Still serving; Ctrl-C ends it. In another terminal:
  curl {addresses.http}/orders/{accepted.order_id}
  {post} '{{"items": [], "total": 42}}'
  {trigger} engine::queue::dlq_messages topic=order-validate"""
    )
