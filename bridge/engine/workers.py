"""The workers that are connected now."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from bridge.engine.access import OPEN, Access
from bridge.engine.backlog import Backlog
from bridge.engine.calls import DEFAULT_NAMESPACE, Invocation
from bridge.errors import BusyError, CapacityError
from bridge.protocol.outbound import OutboundMessage

__all__ = ["REGISTER_WORKER", "Worker", "WorkerInfo", "WorkerMetrics"]

REGISTER_WORKER = "engine::workers::register"
"""The function with which a worker says who it is."""


def _nothing(*_: object) -> None:
    """Do nothing."""


def _always() -> bool:
    """Answer yes."""
    return True


MIB = 1024 * 1024
_OLD_PYTHON_LIMIT_BYTES = MIB
_MESSAGE_LIMIT_BYTES = 64 * MIB
_FIRST_PYTHON_WITH_LARGE_MESSAGES = (0, 24, 5)
_ENVELOPE_BYTES = 2048
_LONGEST_JSON_CHARACTER = 6


@dataclass(slots=True)
class WorkerInfo:
    """What a worker said about itself with `engine::workers::register` (spec 01 §3.2)."""

    runtime: str = "unknown"
    version: str | None = None
    name: str | None = None
    description: str | None = None
    os: str | None = None
    pid: int | None = None
    isolation: str | None = None
    features: Iterable[str] = ()


class WorkerMetrics(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a worker's process fares, as its SDK reports it about once a minute (spec 05 §2.1).

    Attributes:
        timestamp_ms: Unix time of the report.
        memory_rss: Bytes, as are the others of memory.
    """

    timestamp_ms: int
    runtime: str
    memory_heap_used: int | None = None
    memory_heap_total: int | None = None
    memory_rss: int | None = None
    memory_external: int | None = None
    cpu_user_micros: int | None = None
    cpu_system_micros: int | None = None
    cpu_percent: float | None = None
    event_loop_lag_ms: float | None = None
    uptime_seconds: int | None = None


@dataclass(slots=True, eq=False)
class Worker:
    """One connection of an SDK client.

    Attributes:
        id: New for every connection.
        send: Puts a message in the connection's outbox; never blocks.
        abort: Drops the connection without a close frame, so that every SDK reconnects (spec 01 §1.6).
        reattach_token: The secret with which the next connection of the same process replaces this one.
        connected_at_ms: Unix time.
        user_agent: What the connection's request named as its origin; of the SDKs only Python's names one.
        access: What it may do on its listener.
        own_ids: For each function that is kept under another id than the worker knows: the worker's.
        asked_to_offer: The functions that it has asked to offer, under its own ids.
        executing: The calls it has been given and not answered, by invocation id.
        latest_metrics: The newest report of its process, if its SDK makes any and telemetry is kept.
        backlog: What it asked of the bridge itself and has not got yet.
        namespace: Where its registrations go.
        settle_namespace: Decides the namespace, once: registrations that waited for it take effect.
        close: Ends the connection in good order, after the messages that wait.
        has_room: Tells whether more calls may wait for it.
    """

    id: str
    send: Callable[[OutboundMessage], None]
    abort: Callable[[], None]
    reattach_token: str
    connected_at_ms: int
    ip_address: str | None = None
    user_agent: str | None = None
    access: Access = OPEN
    info: WorkerInfo = field(default_factory=WorkerInfo)
    own_ids: dict[str, str] = field(default_factory=dict)
    asked_to_offer: set[str] = field(default_factory=set)
    executing: dict[str, Invocation] = field(default_factory=dict)
    latest_metrics: WorkerMetrics | None = None
    backlog: Backlog = field(default_factory=Backlog)
    namespace: str = DEFAULT_NAMESPACE
    settle_namespace: Callable[[str | None], None] = _nothing
    close: Callable[[], None] = _nothing
    has_room: Callable[[], bool] = _always

    @property
    def is_asked_for_its_handlers(self) -> bool:
        """Tell whether the worker is asked to say which handler makes a call.

        Only Python's SDK is: to others it would read as "observers are served", on which programs act, and
        they are attributed without it (docs/decisions/observe-v1.md). It is asked in the first frame, when
        nothing but its request is known.
        """
        return (self.user_agent or "").startswith("Python/")

    @property
    def understands_rejection(self) -> bool:
        """Tell whether the worker's SDK knows `registrationrejected` (spec 01 §3.6)."""
        return not self.predates(0, 23)

    def predates(self, *version: int) -> bool:
        """Tell whether the worker's SDK is known to be older than a version."""
        return self.info.version is not None and _version(self.info.version) < version

    def refusal_of(self, payload_bytes: int, *texts: str | None) -> CapacityError | None:
        """Return why a message may not be sent to this worker, if so.

        Args:
            payload_bytes: The raw JSON in the message.
            texts: The strings in the message of which a peer chose the length.
        """
        size_bytes = payload_bytes + sum(_LONGEST_JSON_CHARACTER * len(text) for text in texts if text)
        if size_bytes <= self.payload_limit_bytes:
            return None
        return CapacityError(
            f"The message has up to {size_bytes} bytes; worker {self.info.name or self.id} "
            f"({self.info.runtime} SDK {self.info.version or 'of unknown version'}) takes at most "
            f"{self.payload_limit_bytes}. Send the data through a channel, or upgrade the worker's iii SDK: "
            "Python takes 64 MiB from 0.24.5 on."
        )

    def refusal_of_more(self) -> BusyError | None:
        """Return why nobody may call this worker now, if so: it takes calls more slowly than they come."""
        if self.has_room():
            return None
        return BusyError(
            f"Worker {self.info.name or self.id} takes its calls more slowly than they come, and so many "
            "wait that no more may (`iii-temporal.worker_outbox`). Call it less often, or run more like it."
        )

    @property
    def payload_limit_bytes(self) -> int:
        """The largest payload this worker's SDK survives (spec 01 §1.5): old Python SDKs die of 1 MiB."""
        limit = _MESSAGE_LIMIT_BYTES
        if (
            self.info.runtime in ("python", "unknown")
            and "large-messages.v1" not in self.info.features
            and _version(self.info.version) < _FIRST_PYTHON_WITH_LARGE_MESSAGES
        ):
            limit = _OLD_PYTHON_LIMIT_BYTES
        return limit - _ENVELOPE_BYTES


def _version(text: str | None) -> tuple[int, ...]:
    parts = (text or "").split("+", maxsplit=1)[0].split(".")[:3]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
