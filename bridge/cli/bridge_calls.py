"""Commands that ask a bridge: where it is, one call, and how its errors are told."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click
import msgspec

from bridge.cli.client import connected
from bridge.errors import FunctionFailedError, InvocationTimeoutError
from bridge.protocol import payload
from bridge.protocol.inbound import Enqueue, Void

__all__ = ["BridgeAddress", "as_json", "bridge_options", "call", "failure", "in_time"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class BridgeAddress:
    """A bridge's worker socket, and how long it may take to answer."""

    url: str
    timeout_ms: int


def bridge_options(command: _Command) -> Callable[..., Any]:
    """Add the options that say where the bridge is; the command gets them as `bridge`."""

    @functools.wraps(command)
    def with_bridge(*, address: str, port: int, tls: bool, timeout_ms: int, **others: Any) -> Any:
        bridge = BridgeAddress(f"{'wss' if tls else 'ws'}://{address}:{port}", timeout_ms)
        return command(bridge=bridge, **others)

    for option in reversed(_OPTIONS):
        option(with_bridge)
    return with_bridge


_OPTIONS: tuple[Callable[[Callable[..., Any]], Any], ...] = (
    click.option(
        "--address",
        default="localhost",
        show_default=True,
        envvar="III_TEMPORAL_TRIGGER_ADDRESS",
        show_envvar=True,
        help="Where the bridge is.",
    ),
    click.option(
        "--port",
        type=click.IntRange(1, 65535),
        default=49134,
        show_default=True,
        envvar="III_TEMPORAL_TRIGGER_PORT",
        show_envvar=True,
        help="Its worker port.",
    ),
    click.option(
        "--tls",
        is_flag=True,
        envvar="III_TEMPORAL_TRIGGER_TLS",
        show_envvar=True,
        help="The port is encrypted. SSL_CERT_FILE names an authority that the system does not know.",
    ),
    click.option(
        "--timeout-ms",
        type=click.IntRange(min=1),
        default=30_000,
        show_default=True,
        envvar="III_TEMPORAL_TRIGGER_TIMEOUT_MS",
        show_envvar=True,
        help="How long to wait, in milliseconds.",
    ),
)


async def call(
    bridge: BridgeAddress,
    function_id: str,
    data: msgspec.Raw,
    *,
    name: str,
    action: Void | Enqueue | None = None,
    namespace: str | None = None,
) -> msgspec.Raw:
    """Connect, call one function and return its result.

    Args:
        bridge: Where.
        function_id: The function.
        data: Its payload.
        name: How the caller is listed.
        action: `Void` does not wait for a result; `Enqueue` waits for the receipt only.
        namespace: Where the function is, if not where the bridge finds it by itself.

    Raises:
        BridgeError: There is no bridge, no answer in time, or the function failed.
    """
    async with in_time(bridge, function_id), connected(bridge.url, name=name) as client:
        return await client.call(function_id, data, action=action, namespace=namespace)


@asynccontextmanager
async def in_time(bridge: BridgeAddress, function_id: str) -> AsyncIterator[None]:
    """Bound the time that the body waits for the answer of a function.

    Raises:
        InvocationTimeoutError: The time is over.
    """
    try:
        async with asyncio.timeout(bridge.timeout_ms / 1000):
            yield
    except TimeoutError as exc:
        raise InvocationTimeoutError(
            f"Timed out waiting for the engine at {bridge.url}: no answer from {function_id} within "
            f"{bridge.timeout_ms} ms. It may still be running; --timeout-ms waits longer."
        ) from exc


def failure(error: FunctionFailedError) -> str:
    """Return a function's error as indented JSON."""
    body = {"code": error.failure_code, "message": error.message, "stacktrace": error.stacktrace}
    return as_json(payload.encode(body))


def as_json(value: msgspec.Raw) -> str:
    """Return a result as indented JSON."""
    return msgspec.json.format(bytes(value), indent=2).decode()
