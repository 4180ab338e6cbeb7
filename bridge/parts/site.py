"""What the parts of one bridge are built with."""

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bridge.certificates import Certificates
from bridge.config import BridgeConfig
from bridge.engine.engine import Engine
from bridge.live import LiveConfig

__all__ = ["Site", "unix_ms"]


@dataclass(frozen=True, slots=True)
class Site:
    """One bridge while it is built.

    Attributes:
        engine: Where functions and trigger types are offered.
        live: The configuration in force.
        certificates: Those of the listeners.
        closing: What the bridge does when it stops, the last thing first.
    """

    engine: Engine
    live: LiveConfig
    certificates: Certificates
    closing: AsyncExitStack

    @property
    def config(self) -> BridgeConfig:
        """The configuration in force now."""
        return self.live.served


def unix_ms() -> int:
    """Return the Unix time."""
    return time.time_ns() // 1_000_000
