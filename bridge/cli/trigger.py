"""`iii-temporal trigger`: call one function, as iii's own command does (spec 05 §8.2)."""

from collections.abc import Iterable

import click
import msgspec
import uvloop

from bridge.cli.bridge_calls import BridgeAddress, as_json, bridge_options, call, failure
from bridge.cli.trigger_help import describe_function
from bridge.errors import BridgeError, FunctionFailedError
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
@bridge_options
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
    bridge: BridgeAddress,
    namespace: str | None,
    wants_help: bool,
) -> None:
    """Call a function and print its result as JSON.

    A VALUE is read as JSON if it is JSON, and as text otherwise: `a=10 b=true c=hello`.
    The token of a port that demands one is taken from III_TOKEN.
    """
    _check_encoding(function_path, *pairs, json_text, queue, namespace)
    if wants_help:
        click.echo(_help(ctx, bridge, function_path, namespace))
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
        result = uvloop.run(
            call(bridge, function_path, data, name=_WORKER_NAME, action=action, namespace=namespace)
        )
    except FunctionFailedError as exc:
        raise click.ClickException(failure(exc)) from exc
    except BridgeError as exc:
        raise click.ClickException(str(exc)) from exc
    if payload.is_present(result):
        click.echo(as_json(result))


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


def _help(ctx: click.Context, bridge: BridgeAddress, function_path: str | None, namespace: str | None) -> str:
    general = ctx.get_help()
    if function_path is None:
        return general
    asked = {"function_id": function_path} | ({} if namespace is None else {"namespace": namespace})
    try:
        info = uvloop.run(call(bridge, "engine::functions::info", payload.encode(asked), name=_WORKER_NAME))
    except FunctionFailedError as exc:
        raise click.ClickException(exc.message) from exc
    except BridgeError as exc:
        click.echo(f"Warning: {exc}", err=True)
        return general
    return describe_function(info) + "\n\n" + general
