"""`configuration` (spec 05 §4.3, §4.6)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bridge.config.block import Block, Name
from bridge.config.blocks.adapters import Adapter

__all__ = ["ConfigurationBlock", "FileSystemAdapter"]


class FileSystemConfig(Block):
    """Where the entries are.

    Attributes:
        directory: The directory of one SQLite file, which is made with the first entry.
    """

    directory: Name = "./data/configuration"

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return Path(self.directory) / "bridge-configuration.sqlite3"


class FileSystemAdapter(Adapter):
    """Entries on this machine."""

    name: Literal["fs"] = "fs"
    config: FileSystemConfig = FileSystemConfig()


class ConfigurationBlock(Block):
    """The settings that workers register and read.

    Attributes:
        adapter: Where entries are kept.
        ttl_seconds: How long an entry outlives the last trigger bound to it; 0 keeps it.
    """

    adapter: FileSystemAdapter = FileSystemAdapter()
    ttl_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 0
