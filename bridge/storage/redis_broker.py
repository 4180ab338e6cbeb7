"""The broker over Redis channels, for several bridges."""

import asyncio
from typing import Final, Self

import msgspec
import structlog
from redis.asyncio.connection import parse_url
from redis.exceptions import RedisError

from bridge.errors import StorageError
from bridge.storage.broker import Subscriber
from bridge.storage.redis_link import RedisConnection, RedisLink, open_connection

__all__ = ["RedisBroker"]

log = structlog.get_logger("bridge.redis")

_CONNECT_TIMEOUT_S: Final = 5.0
_SETTLE_TIMEOUT_S: Final = 5.0
_RECONNECT_AFTER_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)

_json_decoder = msgspec.json.Decoder(msgspec.Raw)


class RedisBroker:
    """A `Broker` whose messages reach every bridge on one Redis server.

    It holds two connections: one publishes, one listens. When the listening one is lost, messages are missed
    until it is back; then every subscriber is told to resume.
    """

    def __init__(self, url: str, link: RedisLink, channel_prefix: str, *, settle_timeout_s: float) -> None:
        self._url = url
        self._link = link
        self._channel_prefix = channel_prefix
        self._settle_timeout_s = settle_timeout_s
        self._is_closed = False
        self._subscribers: dict[bytes, Subscriber] = {}
        self._asked_for: set[bytes] = set()
        self._unanswered = 0
        self._attempts = 0
        self._may_have_missed = False
        self._is_changed = asyncio.Event()
        self._is_settled = asyncio.Event()
        self._listening = asyncio.create_task(self._listen_for_ever(), name="redis subscriptions")

    @classmethod
    async def open(
        cls, url: str, *, namespace: str | None = None, settle_timeout_s: float = _SETTLE_TIMEOUT_S
    ) -> Self:
        """Connect to the server.

        Args:
            url: `redis://`, `rediss://` or `unix://`, with user, password and database as needed.
            namespace: What the topics belong to, such as `iii:state`: the channel of `events` is then
                `iii:state:0:events` in database 0, because Redis itself shares channels between databases.
                Without a namespace a topic is the channel of that very name.
            settle_timeout_s: How long to wait for the server to confirm subscriptions. A message published
                while the connection is away waits as long for it to come back.

        Raises:
            StorageError: The server cannot be reached, or refuses the user, the password or the database.
        """
        link = await RedisLink.connect(url)
        database = parse_url(url).get("db", 0)
        channel_prefix = "" if namespace is None else f"{namespace}:{database}:"
        return cls(url, link, channel_prefix, settle_timeout_s=settle_timeout_s)

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Begin to hand over the messages of a topic."""
        self._subscribers[self._channel(topic)] = subscriber
        self._note_change()

    def unsubscribe(self, topic: str) -> None:
        """Stop handing them over."""
        self._subscribers.pop(self._channel(topic), None)
        self._note_change()

    async def settle(self) -> None:
        """Wait until the server has confirmed all subscriptions made so far."""
        try:
            async with asyncio.timeout(self._settle_timeout_s):
                await self._is_settled.wait()
        except TimeoutError as exc:
            raise StorageError(
                "Redis does not confirm the subscriptions of this bridge; check that it runs and is reachable"
            ) from exc

    async def publish(self, topic: str, message: bytes) -> None:
        """Hand a message to every bridge that is subscribed."""
        if not self._is_closed:
            await self.settle()
        await self._link.execute("PUBLISH", self._channel(topic), message)

    async def close(self) -> None:
        """Stop handing over messages and disconnect."""
        self._is_closed = True
        self._listening.cancel()
        await asyncio.wait((self._listening,))
        await self._link.close()

    def _channel(self, topic: str) -> bytes:
        return f"{self._channel_prefix}{topic}".encode()

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except* (RedisError, OSError) as lost:
                log.warning("subscriptions lost, connecting again", reason=str(lost.exceptions[0]))
            except* Exception:  # the edge of this link: whatever a message brought about, others go on
                log.exception("subscriptions failed, connecting again")
            self._is_settled.clear()
            self._may_have_missed = True
            await asyncio.sleep(_RECONNECT_AFTER_S[min(self._attempts, len(_RECONNECT_AFTER_S) - 1)])
            self._attempts += 1

    async def _listen(self) -> None:
        connection = open_connection(self._url, answer_timeout_s=None)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await connection.connect()
            self._asked_for.clear()
            self._unanswered = 0
            self._note_change()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask(connection), name="redis subscribe")
                tasks.create_task(self._receive(connection), name="redis receive")
        finally:
            await connection.disconnect(nowait=True)

    async def _ask(self, connection: RedisConnection) -> None:
        """Subscribe to what is wanted, and again whenever that changes."""
        while True:
            await self._is_changed.wait()
            self._is_changed.clear()
            wanted = set(self._subscribers)
            for command, channels in (
                ("SUBSCRIBE", wanted - self._asked_for),
                ("UNSUBSCRIBE", self._asked_for - wanted),
            ):
                if channels:
                    self._unanswered += len(channels)
                    await connection.send_command(command, *channels)
            self._asked_for = wanted
            self._settle_if_answered()

    async def _receive(self, connection: RedisConnection) -> None:
        while True:
            match await connection.read_response():
                case [b"message", bytes(channel), bytes(message)]:
                    self._hand_over(channel, message)
                case [b"subscribe" | b"unsubscribe", *_]:
                    self._unanswered -= 1
                    self._settle_if_answered()
                case _:
                    pass  # no other reply is asked for

    def _note_change(self) -> None:
        self._is_settled.clear()
        self._is_changed.set()

    def _settle_if_answered(self) -> None:
        if self._unanswered or self._is_changed.is_set() or self._asked_for != set(self._subscribers):
            return
        self._is_settled.set()
        self._attempts = 0
        if self._may_have_missed:
            self._may_have_missed = False
            for subscriber in self._subscribers.values():
                subscriber.resume()

    def _hand_over(self, channel: bytes, message: bytes) -> None:
        subscriber = self._subscribers.get(channel)
        if subscriber is None:
            return
        try:
            # Anybody may publish on the server, and what is handed over goes to workers as it is.
            message.decode()
            _json_decoder.decode(message)
        except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError) as exc:
            log.warning("message skipped: it is not JSON", channel=channel.decode(), reason=str(exc))
            return
        subscriber.receive(message)
