"""How a command tells what went wrong: on stderr, with cause and remedy, never with a traceback."""

from collections.abc import Iterator

import click

from bridge.config import InvalidConfigError, Problem
from bridge.errors import BridgeError, ConfigError, FunctionFailedError

__all__ = ["EXIT_CONFIG", "EXIT_RUNTIME", "exit_code", "report"]

EXIT_RUNTIME = 1
EXIT_CONFIG = 2


def exit_code(error: BridgeError) -> int:
    """Tell apart what a change of the configuration mends from what happened while running."""
    return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_RUNTIME


def report(error: BridgeError) -> None:
    """Print an error; one that has several problems prints each of them."""
    code = error.failure_code if isinstance(error, FunctionFailedError) else error.code
    for text in _texts(error):
        click.echo(f"error[{code}]: {text}", err=True)


def _texts(error: BridgeError) -> Iterator[Problem | BridgeError]:
    if isinstance(error, InvalidConfigError):
        yield from error.problems
    else:
        yield error
