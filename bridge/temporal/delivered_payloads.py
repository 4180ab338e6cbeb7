"""Payloads of deliveries: fetched and stored here, and not by the SDK, to which what fails is an attempt."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import structlog
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.converter import (
    DataConverter,
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverSelectContext,
    StorageDriverStoreContext,
    StorageDriverWorkflowInfo,
)
from temporalio.service import RPCError

from activities.deliveries import DeliveryContext, ResultNotKeptError
from bridge.errors import BridgeError, EngineError, EnqueueError
from bridge.temporal.connection import TemporalConnection
from bridge.temporal.payload_storage import is_reference, reference

__all__ = ["DeliveredPayloads", "HistoryRoom", "leaving_large_ones"]

log = structlog.get_logger("bridge.queue")

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0
_SMALL_BYTES = 64 * 1024
"""Results up to here fit into any history, as many as a chain may have at once."""
_MOST_BYTES_OF_A_HISTORY = 30 * 1024 * 1024
"""Temporal ends a workflow at 50 MiB; other bridges may be adding results at the same moment."""
_HISTORIES = 1000


class DeliveredPayloads:
    """Loads payloads and keeps results.

    Args:
        connection: The way to Temporal.
        converter: Knows where large payloads are.
        most_bytes: The largest result.
    """

    def __init__(self, connection: TemporalConnection, converter: DataConverter, most_bytes: int) -> None:
        self._connection = connection
        self._converter = converter
        self._most_bytes = most_bytes
        self._histories = HistoryRoom(_MOST_BYTES_OF_A_HISTORY)

    async def load(self, payload: Payload) -> Payload:
        """Return a payload, wherever it is, for as long as it takes.

        Cancellation: safe.
        """
        pause_s = _FIRST_PAUSE_S
        while is_reference(payload):
            try:
                (value,) = await self._converter.decode([payload], [RawValue])
            except (BridgeError, RuntimeError, ValueError) as exc:
                log.warning("large payload cannot be read; trying again", reason=str(exc))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                payload = value.payload
        return payload

    async def keep(self, result: Payload, context: DeliveryContext, at_most_s: float) -> Payload:
        """Return what Temporal is to be given of a result.

        Raises:
            ResultNotKeptError: It cannot be kept, or not within the time.

        Cancellation: safe.
        """
        size_bytes = result.ByteSize()
        if size_bytes > self._most_bytes:
            raise ResultNotKeptError(
                f"The result has {size_bytes} bytes; at most {self._most_bytes} can be kept. Set up "
                "`iii-temporal.payloads.storage` or raise its `limit_bytes`."
            )
        if (stored := await self._stored(result, context, at_most_s)) is not None:
            return stored
        if size_bytes > _SMALL_BYTES and not await self._has_room(context, size_bytes):
            raise ResultNotKeptError(
                f"The result has {size_bytes} bytes, and the history of {context.workflow_id} has no room "
                "for them. Set up `iii-temporal.payloads.storage`."
            )
        return result

    async def _stored(self, result: Payload, context: DeliveryContext, at_most_s: float) -> Payload | None:
        """Store a result that is large and stays so when it is compressed; `None` if it is not."""
        storage, codec = self._converter.external_storage, self._converter.payload_codec
        if storage is None or storage.driver_selector is None or codec is None:
            return None
        if result.ByteSize() < storage.payload_size_threshold:
            return None
        (encoded,) = await codec.encode([result])
        if encoded.ByteSize() < storage.payload_size_threshold:
            return None
        target = StorageDriverWorkflowInfo(
            namespace=self._connection.address.namespace,
            id=context.workflow_id,
            run_id=context.run_id,
            type=context.workflow_type,
        )
        driver = storage.driver_selector(StorageDriverSelectContext(target), encoded)
        if driver is None:
            return None
        claim = await _store(driver, StorageDriverStoreContext(target), encoded, at_most_s)
        return reference(driver, claim, encoded.ByteSize())

    async def _has_room(self, context: DeliveryContext, size_bytes: int) -> bool:
        handle = self._connection.client.get_workflow_handle(context.workflow_id, run_id=context.run_id)
        try:
            described = await handle.describe()
        except RPCError:
            return True  # Temporal says itself if it does not take the result
        now_bytes = described.raw_description.workflow_execution_info.history_size_bytes
        return self._histories.take(context.run_id, now_bytes, size_bytes)


class HistoryRoom:
    """What histories have room for; what was granted and is on its way counts.

    Args:
        most_bytes: What one may come to.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._granted: OrderedDict[str, int] = OrderedDict()

    def take(self, run_id: str, now_bytes: int, size_bytes: int) -> bool:
        """Take room for a result; answers whether there was enough.

        Args:
            run_id: The run whose history it is.
            now_bytes: How large it is, as Temporal says.
            size_bytes: What is to be added.
        """
        will_be = max(self._granted.get(run_id, 0), now_bytes) + size_bytes
        if will_be > self._most_bytes:
            return False
        self._granted[run_id] = will_be
        self._granted.move_to_end(run_id)
        if len(self._granted) > _HISTORIES:
            self._granted.popitem(last=False)
        return True


async def _store(
    driver: StorageDriver, context: StorageDriverStoreContext, payload: Payload, at_most_s: float
) -> StorageDriverClaim:
    """Store a payload, with as many tries as the time allows.

    Raises:
        ResultNotKeptError: None of them succeeded.
    """
    pause_s, reason = _FIRST_PAUSE_S, "its store did not answer in time"
    try:
        async with asyncio.timeout(at_most_s):
            while True:
                try:
                    (claim,) = await driver.store(context, [payload])
                except EnqueueError as exc:
                    reason = str(exc)
                    log.warning("result cannot be stored; trying again", reason=reason)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                else:
                    return claim
    except TimeoutError as exc:
        raise ResultNotKeptError(reason) from exc


def leaving_large_ones(client: Client) -> Client:
    """Return a client that reads and writes references as they are, and leaves what they refer to alone."""
    storage = client.data_converter.external_storage
    if storage is None:
        return client
    unread = replace(
        storage,
        drivers=[_Unread(each.name()) for each in storage.drivers],
        driver_selector=lambda *_: None,
    )
    converter = replace(client.data_converter, external_storage=unread)
    config = client.config()
    config["data_converter"] = converter
    return Client(**config)


class _Unread(StorageDriver):
    """Gives references in place of what they refer to."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        raise EngineError(f"{len(payloads)} payloads for {context.target} were to be stored by the SDK")

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        del context
        return [reference(self, claim) for claim in claims]
