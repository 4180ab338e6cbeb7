"""The composition root: builds the parts from the configuration, runs them, and stops them in order."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version

from bridge.builtins.channels import ChannelTable
from bridge.builtins.engine_functions import EngineFunctions
from bridge.builtins.http import Http
from bridge.builtins.stream import Stream
from bridge.certificates import Certificates
from bridge.config import BridgeConfig
from bridge.engine.engine import Engine
from bridge.ids import new_uuid
from bridge.listeners.admin import Checks
from bridge.listeners.metrics import ReadQueues
from bridge.listeners.worker_socket import WorkerSocket
from bridge.live import LiveConfig
from bridge.own_entries import OwnEntries
from bridge.parts.credentials import follow_credentials
from bridge.parts.data import open_pubsub, open_state, open_stream
from bridge.parts.entries import open_entries
from bridge.parts.interop import open_interop
from bridge.parts.payloads import open_codec, open_payloads
from bridge.parts.queues import look_at_queues, open_cron, open_queues, open_topics, watch_dead_letters
from bridge.parts.site import Site, unix_ms
from bridge.parts.telemetry import open_admin, open_observability
from bridge.parts.web import open_channels, open_http, open_http_functions
from bridge.parts.workers import open_processes, open_workers
from bridge.reload import Reloading
from bridge.scope import task_scope
from bridge.settings import mapped_namespaces, queue_settings, temporal_settings
from bridge.temporal.services import TemporalServices

__all__ = ["Addresses", "Bridge"]


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
        self._reloading = Reloading(config.files, load, self._follow_file) if load else None
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
        async with task_scope() as spawn, AsyncExitStack() as closing:
            duplicates = self._live.served.temporal.duplicate_functions
            engine = Engine(spawn=spawn, new_id=new_uuid, duplicates=duplicates)
            site = Site(engine, self._live, self._certificates, closing)
            self._entries = await open_entries(site)
            converter = await open_payloads(site)
            temporal = TemporalServices(
                engine,
                temporal_settings(site.config.temporal),
                mapped_namespaces(site.config.temporal),
                queue_settings(site.config),
                converter,
            )
            follow_credentials(site, temporal)
            look = look_at_queues(site, temporal)
            watch = watch_dead_letters(site, temporal, look)
            admin = await self._open_admin(site, temporal, look)
            await open_codec(site, converter)
            cron = open_cron(site, temporal)
            topics = open_topics(site, temporal)
            closed = await open_interop(site, temporal)
            addresses = await self._open(site, temporal, look, admin)
            self.listening.set_result(addresses)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(
                    temporal.run(cron.fire, watch.alert, topics.chain_events.publish), name="temporal service"
                )
                until_stopped = [
                    tasks.create_task(cron.run(), name="cron schedules"),
                    tasks.create_task(topics.run(), name="topic subscriptions"),
                    tasks.create_task(closed.run(), name="closed workflows"),
                    tasks.create_task(self._certificates.watch(), name="certificates"),
                    tasks.create_task(watch.run(), name="watch dead letters"),
                    tasks.create_task(self._announce(temporal, addresses), name="announce ready"),
                    tasks.create_task(self._keep_reloading(), name="reload configuration"),
                ]
                await self._stopping.wait()
                for task in until_stopped:
                    task.cancel()
                for socket in self._sockets:
                    await socket.stop_accepting()
                if self._http is not None:
                    deadline_s = site.config.temporal.drain_timeout_ms / 1000
                    tasks.create_task(self._http.close(deadline_s), name="drain http")
                temporal.stop()

    async def _open(self, site: Site, temporal: TemporalServices, look: ReadQueues, admin: str) -> Addresses:
        """Register what the bridge itself offers, then begin to listen.

        What is opened first is closed last.
        """
        channels = ChannelTable(new_id=site.engine.new_id, now_ms=unix_ms)
        functions = EngineFunctions(site.engine, version("iii-temporal"))
        functions.register(site.engine)
        await functions.start()
        site.closing.push_async_callback(functions.close)
        open_queues(site, temporal, look)
        observability = await open_observability(site)
        await open_channels(site, channels)
        open_http_functions(site)
        await open_state(site)
        await open_pubsub(site)
        self._stream, stream_url = await open_stream(site) or (None, None)
        self._http, http_url = await open_http(site, channels) or (None, None)
        workers = await open_workers(site, channels, observability.take_frame, self._sockets)
        await open_processes(site)
        return Addresses(
            workers=workers,
            http=http_url,
            stream=stream_url,
            admin=admin,
            temporal=site.config.temporal.address,
            ui=site.config.temporal.ui_url,
        )

    async def _open_admin(self, site: Site, temporal: TemporalServices, look: ReadQueues) -> str:
        async def check() -> Checks:
            unreachable = await temporal.unreachable()
            return {
                "listeners": None if self.listening.done() else "still starting",
                "process": "stopping" if self._stopping.is_set() else None,
                "temporal": f"{', '.join(unreachable)} does not answer" if unreachable else None,
            }

        return await open_admin(
            site,
            look,
            check,
            connections={
                "workers": lambda: sum(each.connection_count for each in self._sockets),
                "http": lambda: self._http.connection_count if self._http else 0,
                "streams": lambda: self._stream.connection_count if self._stream else 0,
            },
        )

    async def _follow_file(self, config: BridgeConfig) -> None:
        if self._entries is not None:
            await self._entries.follow_file(config)

    async def _keep_reloading(self) -> None:
        if self._reloading is not None:
            await self._reloading.run()

    async def _announce(self, temporal: TemporalServices, addresses: Addresses) -> None:
        await temporal.wait_until_ready()
        self.ready.set_result(addresses)
