"""`iii-temporal check`: is the configuration right, and what does it mean on Temporal?"""

from pathlib import Path

import click

from bridge.cli.mapping import describe
from bridge.cli.options import config_option, load_from, temporal_address_option, temporal_namespace_option

__all__ = ["command"]


@click.command("check")
@config_option
@temporal_address_option
@temporal_namespace_option
def command(config: Path | None, temporal_address: str | None, temporal_namespace: str | None) -> None:
    """Validate the configuration and show how it maps to Temporal.

    Starts nothing and connects to nothing. Exits with 2 when the configuration cannot be used.
    """
    loaded = load_from(config, temporal_address=temporal_address, temporal_namespace=temporal_namespace)
    click.echo("\n".join(describe(loaded)))
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
