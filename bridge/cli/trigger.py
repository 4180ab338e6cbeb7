"""`iii-temporal trigger`: call one function, as iii's own command does (spec 05 §8.2)."""

import asyncio
from collections.abc import Iterable

import click
import msgspec
import uvloop

from bridge.cli.client import connected
from bridge.cli.trigger_help import describe_function
from bridge.errors import BridgeError, FunctionFailedError, InvocationTimeoutError
from bridge.protocol import payload
from bridge.protocol.inbound import Enqueue, Void

__all__ = ["command", "read_payload"]

_WORKER_NAME = "iii-cli:trigger"
_EPILOG = """\b
Examples:
  iii-temporal trigger orders::get id=42
  iii-temporal trigger state::set scope=users key=ada value='{"age": 36}'
  iii-temporal trigger orders::validate order_id=42 --queue order-validate
  iii-temporal trigger iii::queue::redrive queue=order-payment
  iii-temporal trigger state::set --help            what this function takes
"""


@click.command("trigger", epilog=_EPILOG, add_help_option=False)
@click.argument("function_path", required=False)
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "json_text", metavar="JSON", help="The payload; pairs are added to it and win.")
@click.option("--queue", metavar="NAME", help="Enqueue durably and print the receipt.")
@click.option("--void", is_flag=True, help="Do not wait for a result.")
@click.option(
    "--address",
    default="localhost",
    show_default=True,
    envvar="III_TEMPORAL_TRIGGER_ADDRESS",
    show_envvar=True,
    help="Where the bridge is.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=49134,
    show_default=True,
    envvar="III_TEMPORAL_TRIGGER_PORT",
    show_envvar=True,
    help="Its worker port.",
)
@click.option(
    "--tls",
    is_flag=True,
    envvar="III_TEMPORAL_TRIGGER_TLS",
    show_envvar=True,
    help="The port is encrypted. SSL_CERT_FILE names an authority that the system does not know.",
)
@click.option(
    "--timeout-ms",
    type=click.IntRange(min=1),
    default=30_000,
    show_default=True,
    envvar="III_TEMPORAL_TRIGGER_TIMEOUT_MS",
    show_envvar=True,
    help="How long to wait, in milliseconds.",
)
@click.option("-n", "--namespace", metavar="NAME", help="The function's namespace.")
@click.option("-h", "--help", "wants_help", is_flag=True, help="Show this, or what FUNCTION_PATH takes.")
@click.pass_context
def command(
    ctx: click.Context,
    function_path: str | None,
    pairs: tuple[str, ...],
    json_text: str | None,
    queue: str | None,
    void: bool,
    address: str,
    port: int,
    tls: bool,
    timeout_ms: int,
    namespace: str | None,
    wants_help: bool,
) -> None:
    """Call a function and print its result as JSON.

    A VALUE is read as JSON if it is JSON, and as text otherwise: `a=10 b=true c=hello`.
    The token of a port that demands one is taken from III_TOKEN.
    """
    _check_encoding(function_path, *pairs, json_text, queue, namespace)
    url = f"{'wss' if tls else 'ws'}://{address}:{port}"
    if wants_help:
        click.echo(_help(ctx, url, function_path, namespace, timeout_ms))
        return
    if function_path is None:
        raise click.ClickException(
            "missing FUNCTION_PATH, for example: iii-temporal trigger orders::get id=42"
        )
    if queue is not None and void:
        raise click.ClickException("--queue waits for a receipt and --void for nothing; choose one")
    data = read_payload(pairs, json_text)
    action = Enqueue(queue) if queue is not None else Void() if void else None
    try:
        result = uvloop.run(_call(url, function_path, data, action, namespace, timeout_ms=timeout_ms))
    except FunctionFailedError as exc:
        raise click.ClickException(_failure(exc)) from exc
    except BridgeError as exc:
        raise click.ClickException(str(exc)) from exc
    if payload.is_present(result):
        click.echo(_pretty(result))


def read_payload(pairs: Iterable[str], json_text: str | None) -> msgspec.Raw:
    """Return the payload that the arguments describe, every JSON value exactly as it was written.

    Raises:
        click.ClickException: An argument does not fit.
    """
    added = dict(_read_pair(pair) for pair in pairs)
    if json_text is None:
        return payload.encode(added)
    try:
        given = _read_json(json_text)
    except msgspec.DecodeError as exc:
        raise click.ClickException(f"--json: invalid JSON: {exc}") from exc
    if not added:
        return given
    if not payload.is_object(given):
        raise click.ClickException("--json must be an object when KEY=VALUE pairs are added to it")
    return payload.encode(msgspec.json.decode(given, type=dict[str, msgspec.Raw]) | added)


def _check_encoding(*texts: str | None) -> None:
    try:
        "".join(filter(None, texts)).encode()
    except UnicodeEncodeError as exc:
        raise click.ClickException("the arguments must be valid UTF-8, as all JSON is") from exc


def _read_pair(pair: str) -> tuple[str, msgspec.Raw]:
    key, separator, value = pair.partition("=")
    if not separator:
        raise click.ClickException(f"`{pair}`: expected key=value")
    if not key:
        raise click.ClickException(f"`{pair}`: the key must not be empty")
    try:
        return key, _read_json(value)
    except msgspec.DecodeError:
        return key, payload.encode(value)


def _read_json(text: str) -> msgspec.Raw:
    return msgspec.Raw(bytes(msgspec.json.decode(text, type=msgspec.Raw)))


def _help(
    ctx: click.Context, url: str, function_path: str | None, namespace: str | None, timeout_ms: int
) -> str:
    general = ctx.get_help()
    if function_path is None:
        return general
    asked = {"function_id": function_path} | ({} if namespace is None else {"namespace": namespace})
    try:
        info = uvloop.run(_call(url, "engine::functions::info", payload.encode(asked), timeout_ms=timeout_ms))
    except FunctionFailedError as exc:
        raise click.ClickException(exc.message) from exc
    except BridgeError as exc:
        click.echo(f"Warning: {exc}", err=True)
        return general
    return describe_function(info) + "\n\n" + general


async def _call(
    url: str,
    function_id: str,
    data: msgspec.Raw,
    action: Void | Enqueue | None = None,
    namespace: str | None = None,
    *,
    timeout_ms: int,
) -> msgspec.Raw:
    try:
        async with asyncio.timeout(timeout_ms / 1000), connected(url, name=_WORKER_NAME) as bridge:
            return await bridge.call(function_id, data, action=action, namespace=namespace)
    except TimeoutError as exc:
        raise InvocationTimeoutError(
            f"Timed out waiting for the engine at {url}: no answer from {function_id} within {timeout_ms} ms."
            " It may still be running; --timeout-ms waits longer."
        ) from exc


def _failure(error: FunctionFailedError) -> str:
    body = {"code": error.failure_code, "message": error.message, "stacktrace": error.stacktrace}
    return _pretty(payload.encode(body))


def _pretty(value: msgspec.Raw) -> str:
    return msgspec.json.format(bytes(value), indent=2).decode()
