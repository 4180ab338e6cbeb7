"""Everything a bridge has been told, validated."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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

__all__ = ["BridgeConfig"]


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

    @property
    def queues(self) -> Mapping[str, QueueConfig]:
        """The named queues by name; `default` is always among them."""
        return self.queue.queues
