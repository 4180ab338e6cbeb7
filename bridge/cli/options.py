"""Options that several commands have, and how they become a configuration."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bridge.config import BridgeConfig, load_config

__all__ = [
    "TEMPORAL_DATABASE",
    "TEMPORAL_PORT",
    "UI_PORT",
    "config_option",
    "dev_server_options",
    "load_from",
    "log_format_option",
    "temporal_address_option",
    "temporal_namespace_option",
]

TEMPORAL_PORT = 7233
UI_PORT = 8233
TEMPORAL_DATABASE = Path("data/temporal.db")

_Command = TypeVar("_Command", bound=Callable[..., Any])

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    envvar="III_TEMPORAL_CONFIG",
    show_envvar=True,
    metavar="FILE",
    help="The configuration.  [default: iii-config.yaml, then config.yaml, then built-in defaults]",
)
log_format_option = click.option(
    "--log-format",
    type=click.Choice(["pretty", "json"]),
    default="pretty",
    show_default=True,
    envvar="III_TEMPORAL_LOG_FORMAT",
    show_envvar=True,
    help="How log lines are written.",
)
# The variables of these two are read with the configuration, so that a message can name where a value
# came from; click only tells about them.
temporal_address_option = click.option(
    "--temporal-address",
    metavar="HOST:PORT",
    help="Temporal's frontend; beats the configuration.  [env var: III_TEMPORAL_ADDRESS]",
)
temporal_namespace_option = click.option(
    "--temporal-namespace",
    metavar="NAME",
    help="Temporal's namespace; beats the configuration.  [env var: III_TEMPORAL_NAMESPACE]",
)


def dev_server_options(command: _Command) -> _Command:
    """Add the options of the Temporal dev server."""
    for option in reversed(_DEV_SERVER_OPTIONS):
        command = option(command)
    return command


_DEV_SERVER_OPTIONS = (
    click.option(
        "--temporal-port",
        type=click.IntRange(1, 65535),
        envvar="III_TEMPORAL_PORT",
        show_envvar=True,
        help=f"Port of the Temporal server.  [default: {TEMPORAL_PORT}, or a free one]",
    ),
    click.option(
        "--ui-port",
        type=click.IntRange(1, 65535),
        envvar="III_TEMPORAL_UI_PORT",
        show_envvar=True,
        help=f"Port of the Temporal Web UI.  [default: {UI_PORT}, or a free one]",
    ),
    click.option(
        "--temporal-db",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        envvar="III_TEMPORAL_DB",
        show_envvar=True,
        help=f"Where Temporal keeps workflows.  [default: {TEMPORAL_DATABASE}]",
    ),
    click.option("--ephemeral", is_flag=True, help="Keep workflows in memory; they end with the process."),
)


def load_from(
    config: Path | None,
    *,
    temporal_address: str | None = None,
    temporal_namespace: str | None = None,
    temporal_ui_url: str | None = None,
) -> BridgeConfig:
    """Load the configuration a command was given; flags beat the environment, which beats the file.

    Args:
        config: The file; `None` looks for it.
        temporal_address: Where Temporal is, if the command knows better than the configuration.
        temporal_namespace: Temporal's namespace, likewise.
        temporal_ui_url: Where its Web UI is, likewise.

    Raises:
        InvalidConfigError: The configuration cannot be used.
    """
    overrides = {
        "iii-temporal.address": temporal_address,
        "iii-temporal.namespace": temporal_namespace,
        "iii-temporal.ui_url": temporal_ui_url,
    }
    return load_config(config, environ=os.environ, overrides=overrides)
