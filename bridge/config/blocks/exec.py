"""`iii-exec` (spec 05 §7)."""

from collections.abc import Container
from typing import Annotated, ClassVar

from pydantic import Field

from bridge.config.block import Block

__all__ = ["ExecBlock"]


class ExecBlock(Block):
    """Processes started with the bridge.

    Attributes:
        commands: Shell commands; all but the last run to their end, the last keeps running.
        watch: Globs; a change to a matching file starts the commands again.
    """

    live: ClassVar[Container[str]] = ("exec", "watch")

    commands: Annotated[tuple[str, ...], Field(strict=False, alias="exec")]
    watch: Annotated[tuple[str, ...], Field(strict=False)] = ()
