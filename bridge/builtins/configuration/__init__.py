"""The built-in worker `configuration` (spec 05 §4.6)."""

from bridge.builtins.configuration.owned import OwnedEntry
from bridge.builtins.configuration.worker import Configuration

__all__ = ["Configuration", "OwnedEntry"]
