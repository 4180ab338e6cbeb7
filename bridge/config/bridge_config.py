"""Everything a bridge has been told, validated."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bridge.config.blocks.configuration import ConfigurationBlock
from bridge.config.blocks.cron import CronBlock
from bridge.config.blocks.exec import ExecBlock
from bridge.config.blocks.http import HttpBlock
from bridge.config.blocks.http_functions import HttpFunctionsBlock
from bridge.config.blocks.listener import ListenerBlock
from bridge.config.blocks.observability import ObservabilityBlock
from bridge.config.blocks.pubsub import PubSubBlock
from bridge.config.blocks.queue import QueueBlock, QueueConfig
from bridge.config.blocks.state import StateBlock
from bridge.config.blocks.stream import StreamBlock
from bridge.config.blocks.temporal import TemporalBlock
from bridge.config.document import KeyPath

__all__ = ["BLOCK_FIELDS", "BridgeConfig"]

BLOCK_FIELDS: Mapping[str, str] = {
    "iii-temporal": "temporal",
    "iii-worker-manager": "listeners",
    "iii-queue": "queue",
    "iii-http": "http",
    "iii-state": "state",
    "iii-stream": "stream",
    "iii-pubsub": "pubsub",
    "iii-cron": "cron",
    "iii-http-functions": "http_functions",
    "iii-exec": "processes",
    "configuration": "configuration",
    "iii-observability": "observability",
    "registration_namespace_grace_ms": "namespace_grace_ms",
}
"""For each block, and each key beside the blocks, the field of `BridgeConfig` that holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeConfig:
    """What to serve and how.

    Attributes:
        source: The file; `None` when the built-in defaults are used.
        temporal: Our own block.
        listeners: Where workers connect; at least one.
        queue: Named queues and the defaults of durable topics; always served.
        http: The HTTP API; `None` when the file does not list it, like the others below.
        state: Shared state.
        stream: Streams.
        pubsub: Topics without durability.
        cron: Schedules.
        http_functions: Functions that are HTTP endpoints; also not among the defaults.
        configuration: The settings of workers; always served.
        observability: Logs, traces and metrics; always served.
        processes: What to start beside the bridge.
        namespace_grace_ms: How long a connection may stay without naming its iii namespace.
        warnings: What was accepted and does not do what the author may expect.
        origins: For each value of `iii-temporal` that did not come from the file, who brought it.
    """

    source: Path | None
    temporal: TemporalBlock
    listeners: tuple[ListenerBlock, ...]
    queue: QueueBlock
    http: HttpBlock | None
    state: StateBlock | None
    stream: StreamBlock | None
    pubsub: PubSubBlock | None
    cron: CronBlock | None
    http_functions: HttpFunctionsBlock | None
    configuration: ConfigurationBlock
    observability: ObservabilityBlock
    processes: tuple[ExecBlock, ...]
    namespace_grace_ms: int
    warnings: tuple[str, ...]
    origins: Mapping[KeyPath, str]

    @property
    def files(self) -> tuple[Path, ...]:
        """What it was read from, as far as that was named: the file, and that with the profile."""
        return tuple(file for file in (self.source, self.temporal.config_file) if file is not None)

    @property
    def queues(self) -> Mapping[str, QueueConfig]:
        """The named queues by name; `default` is always among them."""
        return self.queue.queues

    def block(self, name: str) -> object:
        """Return a block by its name: a `Block`, several of them, or `None` when it is not served."""
        found: object = getattr(self, BLOCK_FIELDS[name])
        return found

    def with_block(self, name: str, value: object) -> "BridgeConfig":
        """Return the configuration with another content of a block."""
        changed: dict[str, Any] = {BLOCK_FIELDS[name]: value}
        return replace(self, **changed)
