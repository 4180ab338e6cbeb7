"""What the `iii-stream` worker offers to the engine and to clients."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bridge.builtins.stream.announcer import EVENTS_TOPIC, Announcer
from bridge.builtins.stream.functions import StreamFunctions
from bridge.builtins.stream.items import Items
from bridge.builtins.stream.schemas import (
    CHANGE_CONFIGURATION,
    CHANGE_EVENT,
    FUNCTION_SCHEMAS,
    GATE_CONFIGURATION,
    GATE_EVENT,
    JOIN_ANSWER,
)
from bridge.builtins.stream.session import Membership
from bridge.builtins.stream.stream_socket import StreamSocket
from bridge.builtins.stream.subscriptions import Subscriptions
from bridge.builtins.stream.triggers import ChangeTriggers, Gate
from bridge.engine.engine import Engine
from bridge.engine.triggers import TriggerType
from bridge.entrance import OPEN_ENTRANCE, Entrance
from bridge.storage.broker import Broker, Subscriber
from bridge.storage.port import KeyValueStore

__all__ = ["Stream", "StreamSettings"]

OWNER_NAME = "iii-stream"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How streams behave.

    Attributes:
        host: Where the stream socket listens.
        port: Its port; 0 takes any free one.
        auth_function: Asked who a client is when it connects; `None` asks nobody.
        channel_size: How many events may wait for a client that reads slowly; one further behind is dropped.
        dotted_paths: Whether the path `a.b` of an update names the field `b` of `a`, not the field `a.b`.
    """

    host: str = "127.0.0.1"
    port: int = 3112
    auth_function: str | None = None
    channel_size: int = 256
    dotted_paths: bool = False


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Stream:
    """Serves streams from a store and delivers their events.

    Args:
        store: Where items are kept; it belongs to streams alone.
        broker: Connects the bridges that share the store; it belongs to streams alone.
        settings: How streams behave.
        entrance: How clients get into the stream socket.
        now_ms: Unix time in milliseconds, the timestamp of events.
    """

    def __init__(
        self,
        store: KeyValueStore,
        broker: Broker,
        settings: StreamSettings,
        entrance: Entrance = OPEN_ENTRANCE,
        *,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._store = store
        self._broker = broker
        self._settings = settings
        self._entrance = entrance
        self._now_ms = now_ms
        self._new_socket: Callable[..., StreamSocket] | None = None
        self._socket: StreamSocket | None = None

    def register(self, engine: Engine) -> None:
        """Offer the `stream::*` functions and the types `stream`, `stream:join` and `stream:leave`."""
        items = Items(engine, self._store, dotted_paths=self._settings.dotted_paths)
        subscriptions = Subscriptions()
        changes, joins, leaves = ChangeTriggers(engine), Gate(engine), Gate(engine)
        announcer = Announcer(self._broker, changes, subscriptions, self._now_ms)
        functions = StreamFunctions(items, announcer)
        self._offer_functions(engine, functions)
        self._provide_trigger_types(engine, changes, joins, leaves)
        self._new_socket = partial(
            StreamSocket,
            engine,
            Membership(subscriptions, items, joins, leaves, engine.spawn, self._now_ms),
            max_waiting_frames=self._settings.channel_size,
            entrance=self._entrance,
        )
        self._socket = self._new_socket(auth_function=self._settings.auth_function)
        self._broker.subscribe(EVENTS_TOPIC, Subscriber(announcer.receive, self._disconnect_clients))

    async def start(self) -> int:
        """Begin to accept clients on the stream socket.

        Returns:
            The port it listens on.

        Raises:
            ConfigError: The address cannot be bound.
            StorageError: The broker does not answer.
        """
        if self._socket is None:
            raise RuntimeError("register the stream worker with an engine before starting it")
        await self._broker.settle()
        return await self._socket.start(self._settings.host, self._settings.port)

    async def apply(self, settings: StreamSettings) -> None:
        """Change who is asked about clients, and where they connect; other settings stay as they are.

        The auth function is asked about clients that connect from now on. A new address is bound before the
        old one is left; its clients are disconnected, come back, and get a fresh `sync`.

        Raises:
            ConfigError: The new address cannot be bound; nothing has changed.

        Cancellation: the old address may be left with its clients.
        """
        left = self._socket
        if left is None or self._new_socket is None:
            raise RuntimeError("register the stream worker with an engine before changing it")
        if (settings.host, settings.port) == (self._settings.host, self._settings.port):
            left.auth_function = settings.auth_function
            self._settings = settings
            return
        new = self._new_socket(auth_function=settings.auth_function)
        await new.start(settings.host, settings.port)
        self._socket, self._settings = new, settings
        await left.close()

    @property
    def connection_count(self) -> int:
        """How many clients are connected now."""
        return self._socket.connection_count if self._socket else 0

    async def close(self) -> None:
        """Disconnect every client; leave triggers run on in the engine's tasks."""
        if self._socket is not None:
            await self._socket.close()

    def _disconnect_clients(self) -> None:
        if self._socket is not None:
            self._socket.disconnect_clients()

    def _offer_functions(self, engine: Engine, functions: StreamFunctions) -> None:
        for function_id, handler in {
            "stream::set": functions.set,
            "stream::get": functions.get,
            "stream::delete": functions.delete,
            "stream::update": functions.update,
            "stream::list": functions.list,
            "stream::list_groups": functions.list_groups,
            "stream::list_all": functions.list_all,
            "stream::send": functions.send,
        }.items():
            engine.add_builtin(
                function_id, handler, owner_name=OWNER_NAME, schema=FUNCTION_SCHEMAS[function_id]
            )

    def _provide_trigger_types(
        self, engine: Engine, changes: ChangeTriggers, joins: Gate, leaves: Gate
    ) -> None:
        engine.add_trigger_type(
            TriggerType(
                id="stream",
                description="Runs a function when items of a stream change or messages are sent to it.",
                provider=changes,
                owner_name=OWNER_NAME,
                configuration_schema=CHANGE_CONFIGURATION,
                request_schema=CHANGE_EVENT,
            )
        )
        engine.add_trigger_type(
            TriggerType(
                id="stream:join",
                description="Asks a function whether a client may subscribe.",
                provider=joins,
                owner_name=OWNER_NAME,
                configuration_schema=GATE_CONFIGURATION,
                request_schema=GATE_EVENT,
                response_schema=JOIN_ANSWER,
            )
        )
        engine.add_trigger_type(
            TriggerType(
                id="stream:leave",
                description="Tells a function that a client's subscription ended.",
                provider=leaves,
                owner_name=OWNER_NAME,
                configuration_schema=GATE_CONFIGURATION,
                request_schema=GATE_EVENT,
            )
        )
