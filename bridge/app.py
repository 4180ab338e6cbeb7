"""The composition root: builds the parts from the configuration, runs them, and stops them in order."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import msgspec
import structlog

from bridge.builtins.chain import ChainFunctions
from bridge.builtins.channels import Channels, ChannelTable
from bridge.builtins.configuration import Configuration
from bridge.builtins.cron import CronTriggers
from bridge.builtins.engine_functions import EngineFunctions
from bridge.builtins.exec import Exec
from bridge.builtins.http import Http
from bridge.builtins.http_functions import HttpFunctions, HttpFunctionsSettings
from bridge.builtins.observability import Observability
from bridge.builtins.pubsub import PubSub
from bridge.builtins.queue import BulkFunctions, ConsoleFunctions, DeadLetterWatch, QueueFunctions
from bridge.builtins.state import State
from bridge.builtins.stream import Stream
from bridge.certificates import Certificates
from bridge.config import (
    BridgeConfig,
    ListenerBlock,
    RedisAdapter,
    StateKvAdapter,
    StreamKvAdapter,
    expand_value,
)
from bridge.config.blocks.adapters import Adapter
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, Spawn
from bridge.errors import ConfigError
from bridge.ids import new_uuid
from bridge.listeners.admin import AdminServer, Checks
from bridge.listeners.channel_socket import ChannelSocket
from bridge.listeners.metrics import BridgeMetrics, ReadQueues
from bridge.listeners.worker_socket import WorkerSocket
from bridge.protocol import payload
from bridge.protocol.inbound import RegisterFunction
from bridge.settings import (
    access_rules,
    cron_settings,
    dead_letter_limits,
    entrance,
    exec_settings,
    http_functions_settings,
    http_settings,
    queue_settings,
    socket_limits,
    state_settings,
    stream_settings,
    temporal_settings,
)
from bridge.storage import (
    Broker,
    KeyValueStore,
    LazyStore,
    LocalBroker,
    MemoryStore,
    RedisBroker,
    RedisStore,
    SqliteStore,
)
from bridge.telemetry_settings import observability_settings
from bridge.temporal.alarms import DeadLetterAlarms
from bridge.temporal.schedules import TemporalSchedules
from bridge.temporal.service import TemporalService
from bridge.temporal.shared_look import SharedLook
from bridge.temporal.statistics import QueueStatistics
from bridge.temporal.web_ui import workflow_page

__all__ = ["Addresses", "Bridge"]

log = structlog.get_logger("bridge.app")

_PAUSE_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running bridge listens, as URLs; `None` where it does not.

    Attributes:
        workers: The worker sockets, in the order of the configuration.
    """

    workers: tuple[str, ...]
    http: str | None
    stream: str | None
    admin: str
    temporal: str
    ui: str | None


class Bridge:
    """One bridge process.

    Args:
        config: What to serve.

    Attributes:
        listening: Done once every listener accepts connections.
        ready: Done once Temporal has been reached as well.
    """

    def __init__(self, config: BridgeConfig) -> None:
        self._config = config
        self._stopping = asyncio.Event()
        self._sockets: list[WorkerSocket] = []
        self._http: Http | None = None
        self._stream: Stream | None = None
        self._certificates = Certificates()
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
        async with _task_scope() as spawn, AsyncExitStack() as closing:
            engine = Engine(
                spawn=spawn,
                new_id=new_uuid,
                duplicates=self._config.temporal.duplicate_functions,
            )
            temporal = TemporalService(
                engine, temporal_settings(self._config.temporal), queue_settings(self._config)
            )
            look = self._look(temporal)
            watch = DeadLetterWatch(
                engine,
                dead_letter_limits(self._config),
                look,
                DeadLetterAlarms(temporal.connection, temporal.tenancy),
                _unix_ms,
            )
            admin = await self._open_admin(engine, temporal, look, closing)
            cron = self._open_cron(engine, temporal, closing)
            addresses = await self._open(engine, temporal, look, admin, closing)
            self.listening.set_result(addresses)
            async with asyncio.TaskGroup() as tasks:
                ticking = tasks.create_task(cron.run(), name="cron schedules")
                tasks.create_task(temporal.run(cron.fire, watch.alert), name="temporal service")
                watching = tasks.create_task(self._certificates.watch(), name="certificates")
                counting = tasks.create_task(watch.run(), name="watch dead letters")
                announcing = tasks.create_task(self._announce(temporal, addresses), name="announce ready")
                await self._stopping.wait()
                announcing.cancel()
                ticking.cancel()
                watching.cancel()
                counting.cancel()
                for socket in self._sockets:
                    await socket.stop_accepting()
                if self._http is not None:
                    deadline_s = self._config.temporal.drain_timeout_ms / 1000
                    tasks.create_task(self._http.close(deadline_s), name="drain http")
                temporal.stop()

    async def _open(
        self,
        engine: Engine,
        temporal: TemporalService,
        look: ReadQueues,
        admin: str,
        closing: AsyncExitStack,
    ) -> Addresses:
        """Register what the bridge itself offers, then begin to listen.

        What is opened first is closed last.
        """
        config = self._config
        channels = ChannelTable(new_id=engine.new_id, now_ms=_unix_ms)
        functions = EngineFunctions(engine, version("iii-temporal"))
        functions.register(engine)
        await functions.start()
        closing.push_async_callback(functions.close)
        self._open_queues(engine, temporal, look)
        self._open_configuration(engine, closing)
        ChainFunctions(engine, temporal.chains, temporal.chain_commands).register(engine)
        observability = await self._open_observability(engine, closing)
        await self._open_channels(engine, channels, closing)
        self._open_http_functions(engine, closing)
        if config.state is not None:
            store, broker = await self._open_storage(config.state.adapter, "state", closing)
            State(store, broker, state_settings(config.state)).register(engine)
            await broker.settle()
        if config.pubsub is not None:
            # A topic is a Redis channel of that name, so that other programs can publish and listen as well.
            broker = await _open_broker(config.pubsub.adapter, namespace=None)
            closing.push_async_callback(broker.close)
            PubSub(broker).register(engine)
        stream = await self._open_stream(engine, closing)
        http = await self._open_http(engine, channels, closing)
        workers = [
            await self._listen(engine, each, channels, observability, closing) for each in config.listeners
        ]
        await self._open_processes(engine, closing)
        return Addresses(
            workers=tuple(workers),
            http=http,
            stream=stream,
            admin=admin,
            temporal=config.temporal.address,
            ui=config.temporal.ui_url,
        )

    def _open_queues(self, engine: Engine, temporal: TemporalService, look: ReadQueues) -> None:
        block = self._config.temporal

        def link(workflow_id: str, run_id: str) -> str | None:
            if block.ui_url is None:
                return None
            return workflow_page(block.ui_url, block.namespace, workflow_id, run_id)

        QueueFunctions(
            temporal.dead_letters,
            {name: queue.concurrency for name, queue in self._config.queues.items()},
            _internal_queues,
            link=link,
            now_ms=_unix_ms,
            read_queues=look,
            limits=dead_letter_limits(self._config),
        ).register(engine)
        ConsoleFunctions(has_routes=self._config.queue.console_routes).register(engine)
        BulkFunctions(temporal.bulk, temporal.dead_letters, _internal_queues, _unix_ms).register(engine)

    def _look(self, temporal: TemporalService) -> ReadQueues:
        """Return how everybody here asks about the queues."""
        queues = tuple(self._config.queues)
        read = QueueStatistics(temporal.connection, temporal.tenancy, temporal.dead_letters, queues).read
        return SharedLook(read, time.monotonic).read

    async def _open_admin(
        self, engine: Engine, temporal: TemporalService, look: ReadQueues, closing: AsyncExitStack
    ) -> str:
        """Tell how the bridge is, from its first moment to its last."""
        limits = dead_letter_limits(self._config)
        metrics = BridgeMetrics(
            engine,
            version=version("iii-temporal"),
            queues={name: limits.get(name) for name in self._config.queues},
            read_queues=look,
            clock_s=time.monotonic,
            now_ms=_unix_ms,
        )
        metrics.watch_connections("workers", lambda: sum(each.connection_count for each in self._sockets))
        metrics.watch_connections("http", lambda: self._http.connection_count if self._http else 0)
        metrics.watch_connections("streams", lambda: self._stream.connection_count if self._stream else 0)

        async def check() -> Checks:
            is_reached = temporal.ready.is_set() and await temporal.connection.is_healthy()
            return {
                "listeners": None if self.listening.done() else "still starting",
                "process": "stopping" if self._stopping.is_set() else None,
                "temporal": None if is_reached else f"{self._config.temporal.address} does not answer",
            }

        block = self._config.temporal.admin
        guard = entrance(block, self._certificates)
        server = AdminServer(check, metrics.render, guard)
        port = await server.start(block.host, block.port)
        closing.push_async_callback(server.close)
        return guard.url("http", block.host, port)

    def _open_cron(self, engine: Engine, temporal: TemporalService, closing: AsyncExitStack) -> CronTriggers:
        schedules = TemporalSchedules(temporal.connection, temporal.tenancy)
        cron = CronTriggers(engine, schedules, cron_settings(self._config), time.time_ns)
        if self._config.cron is not None:
            cron.register(engine)

        async def pause_schedules() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_TIMEOUT_S):
                    await cron.close()

        closing.push_async_callback(pause_schedules)
        return cron

    def _open_configuration(self, engine: Engine, closing: AsyncExitStack) -> None:
        block = self._config.configuration
        path = block.adapter.config.database_path
        store = LazyStore(path.exists, lambda: SqliteStore.open(path))
        closing.push_async_callback(store.close)
        Configuration(
            engine, store, lambda text: expand_value(text, os.environ), ttl_s=block.ttl_seconds
        ).register()

    def _open_http_functions(self, engine: Engine, closing: AsyncExitStack) -> None:
        block = self._config.http_functions
        if block is not None:
            functions = HttpFunctions(
                http_functions_settings(block), environ=os.environ, new_id=engine.new_id, now_s=time.time
            )
            engine.http_functions = functions
            closing.push_async_callback(functions.close)

    async def _open_storage(
        self, adapter: Adapter, name: str, closing: AsyncExitStack
    ) -> tuple[KeyValueStore, Broker]:
        """Open the store of state or of streams, and what carries its events from bridge to bridge."""
        namespace = f"{self._config.temporal.prefix}:{name}"
        store = await _open_store(adapter, namespace)
        closing.push_async_callback(store.close)
        broker = await _open_broker(adapter, namespace=namespace)
        closing.push_async_callback(broker.close)
        return store, broker

    async def _open_observability(self, engine: Engine, closing: AsyncExitStack) -> Observability:
        # Webhooks of alerts go the way of functions behind URLs, which keeps them off private addresses.
        webhooks = HttpFunctions(
            HttpFunctionsSettings(require_https=False), environ={}, new_id=engine.new_id, now_s=time.time
        )
        closing.push_async_callback(webhooks.close)

        async def post(url: str, body: msgspec.Raw) -> None:
            webhook = RegisterFunction(id="alert", invocation=payload.encode({"url": url}))
            await webhooks.offer(webhook)(Call(webhook.id, body))

        observability = Observability(
            engine,
            observability_settings(self._config.observability, os.environ, version("iii-temporal")),
            post=post,
            clock_s=time.monotonic,
            now_ns=time.time_ns,
        )
        observability.register(engine)
        await observability.start()
        closing.push_async_callback(observability.close)
        return observability

    async def _open_channels(self, engine: Engine, table: ChannelTable, closing: AsyncExitStack) -> None:
        channels = Channels(table, engine.spawn)
        channels.register(engine)
        await channels.start()
        closing.push_async_callback(channels.close)

    async def _open_stream(self, engine: Engine, closing: AsyncExitStack) -> str | None:
        block = self._config.stream
        if block is None:
            return None
        store, broker = await self._open_storage(block.adapter, "stream", closing)
        state = self._config.state
        settings = stream_settings(block, dotted_paths=state is not None and state.dotted_paths)
        guard = entrance(block, self._certificates)
        stream = Stream(store, broker, settings, guard)
        stream.register(engine)
        port = await stream.start()
        self._stream = stream
        closing.push_async_callback(stream.close)
        return guard.url("ws", block.host, port)

    async def _open_http(self, engine: Engine, channels: ChannelTable, closing: AsyncExitStack) -> str | None:
        block = self._config.http
        if block is None:
            return None
        guard = entrance(block, self._certificates)
        self._http = Http(engine, channels, http_settings(block), guard)
        self._http.register(engine)
        port = await self._http.start()
        closing.push_async_callback(self._http.close)
        return guard.url("http", block.host, port)

    async def _listen(
        self,
        engine: Engine,
        listener: ListenerBlock,
        channels: ChannelTable,
        observability: Observability,
        closing: AsyncExitStack,
    ) -> str:
        guard = entrance(listener, self._certificates)
        socket = WorkerSocket(
            engine,
            socket_limits(self._config, listener),
            observability.take_frame,
            ChannelSocket(channels),
            access_rules(listener),
            guard,
        )
        with _bind_errors(listener.host, listener.port):
            port = await socket.start(listener.host, listener.port)
        self._sockets.append(socket)
        closing.push_async_callback(socket.disconnect_all)
        return guard.url("ws", listener.host, port)

    async def _open_processes(self, engine: Engine, closing: AsyncExitStack) -> None:
        blocks = self._config.processes
        for number, block in enumerate(blocks, start=1):
            name = "exec" if len(blocks) == 1 else f"exec-{number}"
            processes = Exec(exec_settings(block), engine.spawn, name=name, clock_s=time.monotonic)
            await processes.start()
            closing.push_async_callback(processes.close)

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


async def _open_store(adapter: Adapter, namespace: str) -> KeyValueStore:
    """Open the store that an adapter of state or streams names."""
    if isinstance(adapter, RedisAdapter):
        return await RedisStore.open(adapter.config.redis_url, prefix=namespace)
    path = adapter.config.database_path if isinstance(adapter, StateKvAdapter | StreamKvAdapter) else None
    return MemoryStore() if path is None else await SqliteStore.open(path)


async def _open_broker(adapter: Adapter, *, namespace: str | None) -> Broker:
    """Open what connects the bridges that share what an adapter names; other adapters serve one bridge."""
    if isinstance(adapter, RedisAdapter):
        return await RedisBroker.open(adapter.config.redis_url, namespace=namespace)
    return LocalBroker()


async def _internal_queues(name: str) -> tuple[str, ...]:
    """Name the internal queues that a name stands for: a named queue is its own."""
    return (name,)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
