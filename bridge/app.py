"""The composition root: builds the parts from the configuration, runs them, and stops them in order."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
from temporalio.service import TLSConfig

from bridge.builtins.channels import Channels, ChannelTable
from bridge.builtins.engine_functions import EngineFunctions
from bridge.builtins.pubsub import PubSub
from bridge.builtins.queue import QueueFunctions
from bridge.builtins.state import State, StateSettings
from bridge.config import (
    BridgeConfig,
    ListenerBlock,
    QueueConfig,
    StateBlock,
    StateKvAdapter,
    TemporalBlock,
)
from bridge.engine.engine import Engine, Spawn
from bridge.errors import ConfigError
from bridge.listeners.channel_socket import ChannelSocket
from bridge.listeners.worker_socket import SocketLimits, WorkerSocket
from bridge.storage import KeyValueStore, MemoryStore, SqliteStore
from bridge.temporal.connection import TemporalAddress
from bridge.temporal.enqueuer import EnqueueSettings, NamedQueue
from bridge.temporal.service import QueueSettings, TemporalService, TemporalSettings
from bridge.temporal.workers import QueueWorker
from workflows.contract import CronTick, RetryRules

__all__ = ["Addresses", "Bridge"]

log = structlog.get_logger("bridge.app")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running bridge listens, as URLs; `None` where it does not.

    Attributes:
        workers: The worker sockets, in the order of the configuration.
    """

    workers: tuple[str, ...]
    http: str | None
    stream: str | None
    temporal: str
    ui: str | None


class Bridge:
    """One bridge process.

    Args:
        config: What to serve.

    Attributes:
        listening: Done once every listener accepts connections.
        ready: Done once Temporal has been reached as well.

    Raises:
        ConfigError: The configuration asks for something that is not served.
    """

    def __init__(self, config: BridgeConfig) -> None:
        _refuse_what_is_not_served(config)
        self._config = config
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.listening: asyncio.Future[Addresses] = loop.create_future()
        self.ready: asyncio.Future[Addresses] = loop.create_future()

    def stop(self) -> None:
        """Ask `run` to stop accepting, let what runs finish within the deadline, and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until stopped.

        Raises:
            ConfigError: An address cannot be bound.
            StorageError: A store cannot be opened.

        Cancellation: stops at once; deliveries that run are tried again later.
        """
        async with AsyncExitStack() as closing, _task_scope() as spawn:
            engine = Engine(
                spawn=spawn,
                new_id=lambda: str(uuid.uuid4()),
                duplicates=self._config.temporal.duplicate_functions,
            )
            temporal = TemporalService(
                engine, _temporal_settings(self._config.temporal), _queues(self._config)
            )
            sockets, addresses = await self._open(engine, temporal, closing)
            self.listening.set_result(addresses)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(temporal.run(_no_cron), name="temporal service")
                announcing = tasks.create_task(self._announce(temporal, addresses), name="announce ready")
                await self._stopping.wait()
                announcing.cancel()
                for socket in sockets:
                    await socket.stop_accepting()
                temporal.stop()
            for socket in sockets:
                await socket.disconnect_all()

    async def _open(
        self, engine: Engine, temporal: TemporalService, closing: AsyncExitStack
    ) -> tuple[list[WorkerSocket], Addresses]:
        """Register what the bridge itself offers, then begin to listen."""
        config = self._config
        EngineFunctions(engine, version("iii-temporal")).register(engine)
        QueueFunctions(
            temporal.dead_letters, {name: queue.concurrency for name, queue in config.queues.items()}
        ).register(engine)
        channel_table = ChannelTable(new_id=engine.new_id, now_ms=_unix_ms)
        channels = Channels(channel_table, engine.spawn)
        channels.register(engine)
        await channels.start()
        closing.push_async_callback(channels.close)
        if config.state is not None:
            store = await _open_state(config.state)
            closing.push_async_callback(store.close)
            State(store, _state_settings(config.state)).register(engine)
        if config.pubsub is not None:
            PubSub().register(engine)
        sockets, urls = [], []
        for listener in config.listeners:
            limits = _socket_limits(config, listener)
            socket = WorkerSocket(engine, limits, channels=ChannelSocket(channel_table))
            with _bind_errors(listener.host, listener.port):
                port = await socket.start(listener.host, listener.port)
            sockets.append(socket)
            urls.append(f"ws://{listener.host}:{port}")
        return sockets, Addresses(
            workers=tuple(urls),
            http=None,
            stream=None,
            temporal=config.temporal.address,
            ui=config.temporal.ui_url,
        )

    async def _announce(self, temporal: TemporalService, addresses: Addresses) -> None:
        await temporal.ready.wait()
        self.ready.set_result(addresses)


@asynccontextmanager
async def _task_scope() -> AsyncIterator[Spawn]:
    """Run what built-in functions start; what still runs when the scope ends is cancelled."""
    running: set[asyncio.Task[None]] = set()

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if not task.cancelled() and (reason := task.exception()):
            log.error("a task of the bridge failed", task=task.get_name(), exc_info=reason)

    def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        running.add(task)
        task.add_done_callback(ended)

    try:
        yield spawn
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@contextmanager
def _bind_errors(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigError(
            f"address {host}:{port} is already in use or cannot be bound ({exc.strerror}). "
            "Stop what listens there, or choose another port in the configuration."
        ) from exc


def _refuse_what_is_not_served(config: BridgeConfig) -> None:
    """Refuse settings that would be ignored where ignoring them would surprise or be unsafe."""
    for listener in config.listeners:
        if listener.rbac is not None or listener.middleware_function_id is not None:
            raise ConfigError(
                f"iii-worker-manager on port {listener.port}: `rbac` and `middleware_function_id` are not "
                "served by this version, and serving without them would open the port to everybody. "
                "Remove them and keep the port on a trusted network."
            )
    for name, block in (("iii-state", config.state), ("iii-pubsub", config.pubsub)):
        if block is not None and block.adapter.name not in ("kv", "local"):
            raise ConfigError(
                f"{name}: adapter `{block.adapter.name}` is not served by this version; use `kv` or `local`."
            )


async def _open_state(block: StateBlock) -> KeyValueStore:
    adapter = block.adapter
    path = adapter.config.database_path if isinstance(adapter, StateKvAdapter) else None
    return MemoryStore() if path is None else await SqliteStore.open(path)


def _state_settings(block: StateBlock) -> StateSettings:
    return StateSettings(block.triggers_enabled, block.max_value_bytes, block.dotted_paths)


def _socket_limits(config: BridgeConfig, listener: ListenerBlock) -> SocketLimits:
    return SocketLimits(
        outbox_messages=config.temporal.worker_outbox.max_messages,
        outbox_bytes=config.temporal.worker_outbox.max_bytes,
        handshake_timeout_s=listener.handshake_timeout_ms / 1000,
        namespace_grace_s=config.namespace_grace_ms / 1000,
    )


def _temporal_settings(block: TemporalBlock) -> TemporalSettings:
    tls: TLSConfig | bool = block.api_key is not None
    if block.tls is not None:
        tls = TLSConfig(
            server_root_ca_cert=_read(block.tls.ca_file),
            client_cert=_read(block.tls.cert_file),
            client_private_key=_read(block.tls.key_file),
            domain=block.tls.server_name,
        )
    return TemporalSettings(
        address=TemporalAddress(
            target=block.address,
            namespace=block.namespace,
            api_key=block.api_key.get_secret_value() if block.api_key else None,
            tls=tls,
        ),
        prefix=block.prefix,
        enqueue=EnqueueSettings(
            timeout_ms=block.enqueue_timeout_ms, steps_per_handler=block.max_steps_per_handler
        ),
        drain_timeout_ms=block.drain_timeout_ms,
    )


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None


def _queues(config: BridgeConfig) -> dict[str, QueueSettings]:
    return {
        name: QueueSettings(
            NamedQueue(
                rules=_rules(queue, config.temporal),
                group_field=queue.message_group_field if queue.is_fifo else None,
            ),
            QueueWorker(queue.concurrency, queue.rate_per_s),
        )
        for name, queue in config.queues.items()
    }


def _rules(queue: QueueConfig, block: TemporalBlock) -> RetryRules:
    return RetryRules(
        attempts=queue.max_attempts,
        backoff_ms=queue.backoff_ms,
        max_backoff_ms=queue.max_backoff_ms,
        backoff_type=queue.backoff_type,
        timeout_ms=queue.timeout_ms,
        heartbeat_timeout_ms=block.heartbeat_timeout_ms,
        non_retryable_errors=queue.non_retryable_errors,
        provider_timeout_ms=queue.provider_timeout_ms,
    )


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


async def _no_cron(_: CronTick) -> str:
    return "skipped"
