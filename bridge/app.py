"""The composition root: builds the parts from the configuration, runs them, and stops them in order."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
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
from bridge.builtins.observability import Observability, ObservabilitySettings
from bridge.builtins.pubsub import PubSub
from bridge.builtins.queue import (
    BulkFunctions,
    ConsoleFunctions,
    DeadLetterWatch,
    DurableTopics,
    QueueFunctions,
)
from bridge.builtins.state import State
from bridge.builtins.stream import Stream
from bridge.certificates import Certificates
from bridge.config import BridgeConfig, HttpBlock, ListenerBlock, StreamBlock, expand_value
from bridge.config.blocks.adapters import Adapter
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, Spawn
from bridge.engine.observation import DeadLetterLimit
from bridge.errors import ConfigError
from bridge.ids import new_uuid
from bridge.listeners.admin import AdminServer, Checks
from bridge.listeners.channel_socket import ChannelSocket
from bridge.listeners.metrics import BridgeMetrics, ReadQueues
from bridge.listeners.worker_socket import WorkerSocket
from bridge.live import Apply, LiveConfig, LiveMapping
from bridge.log_level import set_log_level
from bridge.own_entries import OwnEntries
from bridge.protocol import payload
from bridge.protocol.inbound import RegisterFunction
from bridge.reload import Reloading
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
    subscriber_defaults,
    temporal_settings,
    topic_settings,
)
from bridge.storage import Broker, KeyValueStore, LazyStore, SqliteStore
from bridge.stores import open_broker, open_store
from bridge.telemetry_settings import observability_settings
from bridge.temporal.alarms import DeadLetterAlarms
from bridge.temporal.schedules import TemporalSchedules
from bridge.temporal.service import TemporalService
from bridge.temporal.shared_look import SharedLook
from bridge.temporal.statistics import QueueStatistics
from bridge.temporal.web_ui import workflow_page

__all__ = ["Addresses", "Bridge"]

log = structlog.get_logger("bridge.app")

_PARTING_TIMEOUT_S = 5


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
        load: Loads the configuration again when its file changes; `None` serves the same until the end.

    Attributes:
        listening: Done once every listener accepts connections.
        ready: Done once Temporal has been reached as well.
    """

    def __init__(self, config: BridgeConfig, load: Callable[[], BridgeConfig] | None = None) -> None:
        self._live = LiveConfig(config)
        self._entries: OwnEntries | None = None
        self._reloading = Reloading(config.source, load, self._follow_file) if load else None
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

    def reload(self) -> None:
        """Load the configuration again, whether its file has changed or not."""
        if self._reloading is not None:
            self._reloading.ask()

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
            self._entries = await self._open_configuration(engine, closing)
            temporal = TemporalService(
                engine, temporal_settings(self._config.temporal), queue_settings(self._config)
            )
            look = self._look(temporal)
            watch = DeadLetterWatch(
                engine,
                LiveMapping(self._live, dead_letter_limits),
                look,
                DeadLetterAlarms(temporal.connection, temporal.tenancy),
                _unix_ms,
            )
            admin = await self._open_admin(engine, temporal, look, closing)
            cron = self._open_cron(engine, temporal, closing)
            topics = self._open_topics(engine, temporal, closing)
            addresses = await self._open(engine, temporal, look, admin, closing)
            self.listening.set_result(addresses)
            async with asyncio.TaskGroup() as tasks:
                ticking = tasks.create_task(cron.run(), name="cron schedules")
                following = tasks.create_task(topics.run(), name="topic subscriptions")
                tasks.create_task(temporal.run(cron.fire, watch.alert), name="temporal service")
                watching = tasks.create_task(self._certificates.watch(), name="certificates")
                counting = tasks.create_task(watch.run(), name="watch dead letters")
                announcing = tasks.create_task(self._announce(temporal, addresses), name="announce ready")
                reloading = tasks.create_task(self._keep_reloading(), name="reload configuration")
                await self._stopping.wait()
                for task in (announcing, ticking, following, watching, counting, reloading):
                    task.cancel()
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
        ChainFunctions(engine, temporal.chains, temporal.chain_commands).register(engine)
        observability = await self._open_observability(engine, closing)
        await self._open_channels(engine, channels, closing)
        self._open_http_functions(engine, closing)
        await self._open_state(engine, closing)
        if config.pubsub is not None:
            # A topic is a Redis channel of that name, so that other programs can publish and listen as well.
            broker = await open_broker(config.pubsub.adapter, namespace=None)
            closing.push_async_callback(broker.close)
            PubSub(broker).register(engine)
        stream = await self._open_stream(engine, closing)
        http = await self._open_http(engine, channels, closing)
        workers = [
            await self._listen(engine, each, channels, observability, closing) for each in config.listeners
        ]
        await self._open_processes(engine, closing)
        self._live.on_change("iii-worker-manager", self._change_rules)
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
            LiveMapping(self._live, _concurrency),
            _internal_queues,
            link=link,
            now_ms=_unix_ms,
            read_queues=look,
            limits=LiveMapping(self._live, dead_letter_limits),
        ).register(engine)
        ConsoleFunctions(has_routes=self._config.queue.console_routes).register(engine)
        BulkFunctions(temporal.bulk, temporal.dead_letters, _internal_queues, _unix_ms).register(engine)

        async def apply(config: BridgeConfig) -> None:
            for name in self._config.queues.keys() - config.queues.keys():
                temporal.remove_queue(name)
            for name, settings in queue_settings(config).items():
                temporal.put_queue(name, settings)

        self._live.on_change("iii-queue", apply)

    def _look(self, temporal: TemporalService) -> ReadQueues:
        """Return how everybody here asks about the queues."""
        queues = LiveMapping(self._live, lambda config: config.queues)
        read = QueueStatistics(temporal.connection, temporal.tenancy, temporal.dead_letters, queues).read
        return SharedLook(read, time.monotonic).read

    async def _open_admin(
        self, engine: Engine, temporal: TemporalService, look: ReadQueues, closing: AsyncExitStack
    ) -> str:
        """Tell how the bridge is, from its first moment to its last."""

        def limits(config: BridgeConfig) -> Mapping[str, DeadLetterLimit | None]:
            known = dead_letter_limits(config)
            return {name: known.get(name) for name in config.queues}

        metrics = BridgeMetrics(
            engine,
            version=version("iii-temporal"),
            queues=LiveMapping(self._live, limits),
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

        closing.push_async_callback(_in_time, cron.close)
        return cron

    def _open_topics(
        self, engine: Engine, temporal: TemporalService, closing: AsyncExitStack
    ) -> DurableTopics:
        topics = DurableTopics(
            engine,
            temporal.topics,
            temporal.enqueue_copy,
            temporal,
            settings=topic_settings(self._config),
            defaults=subscriber_defaults(self._config),
        )
        topics.register(engine)
        closing.push_async_callback(_in_time, topics.close)
        return topics

    async def _open_configuration(self, engine: Engine, closing: AsyncExitStack) -> OwnEntries:
        """Keep the settings of workers, and begin with those of our own that were set in earlier runs."""
        block = self._config.configuration
        path = block.adapter.config.database_path
        store = LazyStore(path.exists, lambda: SqliteStore.open(path))
        closing.push_async_callback(store.close)
        configuration = Configuration(
            engine, store, lambda text: expand_value(text, os.environ), ttl_s=block.ttl_seconds
        )
        configuration.register()
        entries = OwnEntries(configuration, self._live)
        await entries.begin()
        return entries

    def _open_http_functions(self, engine: Engine, closing: AsyncExitStack) -> None:
        block = self._config.http_functions
        if block is not None:
            functions = HttpFunctions(
                http_functions_settings(block), environ=os.environ, new_id=engine.new_id, now_s=time.time
            )
            engine.http_functions = functions
            closing.push_async_callback(functions.close)

            async def apply(config: BridgeConfig) -> None:
                if config.http_functions is not None:
                    functions.apply(http_functions_settings(config.http_functions))

            self._live.on_change("iii-http-functions", apply)

    async def _open_storage(
        self, adapter: Adapter, name: str, closing: AsyncExitStack
    ) -> tuple[KeyValueStore, Broker]:
        """Open the store of state or of streams, and what carries its events from bridge to bridge."""
        namespace = f"{self._config.temporal.prefix}:{name}"
        store = await open_store(adapter, namespace)
        closing.push_async_callback(store.close)
        broker = await open_broker(adapter, namespace=namespace)
        closing.push_async_callback(broker.close)
        return store, broker

    async def _open_state(self, engine: Engine, closing: AsyncExitStack) -> None:
        block = self._config.state
        if block is None:
            return
        store, broker = await self._open_storage(block.adapter, "state", closing)
        state = State(store, broker, state_settings(block))
        state.register(engine)
        await broker.settle()

        async def apply(config: BridgeConfig) -> None:
            if config.state is not None:
                await state.apply(state_settings(config.state))

        self._live.on_change("iii-state", apply)

    async def _open_observability(self, engine: Engine, closing: AsyncExitStack) -> Observability:
        # Webhooks of alerts go the way of functions behind URLs, which keeps them off private addresses.
        webhooks = HttpFunctions(
            HttpFunctionsSettings(require_https=False), environ={}, new_id=engine.new_id, now_s=time.time
        )
        closing.push_async_callback(webhooks.close)

        async def post(url: str, body: msgspec.Raw) -> None:
            webhook = RegisterFunction(id="alert", invocation=payload.encode({"url": url}))
            await webhooks.offer(webhook)(Call(webhook.id, body))

        def settings(config: BridgeConfig) -> ObservabilitySettings:
            block = config.observability
            if "level" in block.model_fields_set or block.level != self._config.observability.level:
                set_log_level(block.level)
            return observability_settings(block, os.environ, version("iii-temporal"))

        observability = Observability(
            engine,
            settings(self._config),
            post=post,
            clock_s=time.monotonic,
            now_ns=time.time_ns,
        )
        observability.register(engine)
        await observability.start()
        closing.push_async_callback(observability.close)
        self._live.on_change("iii-observability", lambda config: observability.apply(settings(config)))
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
        guard = entrance(block, self._certificates)
        stream = self._stream = Stream(store, broker, stream_settings(block, self._config.state), guard)
        stream.register(engine)
        closing.push_async_callback(stream.close)

        async def apply(config: BridgeConfig) -> None:
            if config.stream is not None:
                await stream.apply(stream_settings(config.stream, config.state))

        self._live.on_change("iii-stream", apply)
        host, port = await self._start("iii-stream", stream.start, apply)
        return guard.url("ws", host, port)

    async def _open_http(self, engine: Engine, channels: ChannelTable, closing: AsyncExitStack) -> str | None:
        block = self._config.http
        if block is None:
            return None
        guard = entrance(block, self._certificates)
        http = self._http = Http(engine, channels, http_settings(block), guard)
        http.register(engine)
        closing.push_async_callback(http.close)

        async def apply(config: BridgeConfig) -> None:
            if config.http is not None:
                await http.apply(http_settings(config.http))

        self._live.on_change("iii-http", apply)
        host, port = await self._start("iii-http", http.start, apply)
        return guard.url("http", host, port)

    async def _start(self, name: str, start: Callable[[], Awaitable[int]], apply: Apply) -> tuple[str, int]:
        """Begin to listen: where it was set while running, else where the file says (spec 04 §5.5)."""
        port = 0
        try:
            port = await start()
        except ConfigError as exc:
            if not self._live.fall_back(name):
                raise
            log.error("listening where the file says", block=name, reason=str(exc))  # noqa: TRY400 - says it all
            await apply(self._config)
        block = self._config.block(name)
        if not isinstance(block, HttpBlock | StreamBlock):
            raise TypeError(f"{name} does not listen")
        return block.host, port or block.port

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

    async def _change_rules(self, config: BridgeConfig) -> None:
        for socket, listener in zip(self._sockets, config.listeners, strict=True):
            socket.apply(access_rules(listener))

    async def _open_processes(self, engine: Engine, closing: AsyncExitStack) -> None:
        blocks = self._config.processes
        for number, block in enumerate(blocks, start=1):
            name = "exec" if len(blocks) == 1 else f"exec-{number}"
            processes = Exec(exec_settings(block), engine.spawn, name=name, clock_s=time.monotonic)
            await processes.start()
            closing.push_async_callback(processes.close)

    @property
    def _config(self) -> BridgeConfig:
        return self._live.served

    async def _follow_file(self, config: BridgeConfig) -> None:
        if self._entries is not None:
            await self._entries.follow_file(config)

    async def _keep_reloading(self) -> None:
        if self._reloading is not None:
            await self._reloading.run()

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


async def _in_time(part: Callable[[], Awaitable[None]]) -> None:
    """Tell Temporal of an end, unless it takes too long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PARTING_TIMEOUT_S):
            await part()


@contextmanager
def _bind_errors(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigError(
            f"address {host}:{port} is already in use or cannot be bound ({exc.strerror}). "
            "Stop what listens there, or choose another port in the configuration."
        ) from exc


def _concurrency(config: BridgeConfig) -> Mapping[str, int]:
    return {name: queue.concurrency for name, queue in config.queues.items()}


async def _internal_queues(name: str) -> tuple[str, ...]:
    """Name the internal queues that a name stands for: a named queue is its own."""
    return (name,)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
