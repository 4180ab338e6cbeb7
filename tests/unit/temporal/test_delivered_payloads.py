"""Payloads of deliveries: a store that is away costs time, and in the end a result, but no attempt."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    DataConverter,
    ExternalStorage,
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
    StorageDriverWorkflowInfo,
)

from activities.deliveries import DeliveryContext, ResultNotKeptError
from bridge.errors import EngineError, EnqueueError
from bridge.temporal.connection import TemporalAddress, TemporalConnection
from bridge.temporal.delivered_payloads import DeliveredPayloads, HistoryRoom
from bridge.temporal.payload_codec import PayloadsCodec, PayloadSettings
from bridge.temporal.payload_storage import is_reference
from workflows.contract import Delivery, Message, RetryRules

LIMIT = 4000
FROM = 2000
MESSAGE = Message(receipt="r", chain_id="c", home="c", function_id="f", queue="q", rules=RetryRules())
CONTEXT = DeliveryContext(Delivery(MESSAGE), 1, "shop.chain/r", "run", "f")


class Forgetful(StorageDriver):
    """A store in memory, which is away for the first calls."""

    def __init__(self, away_for: int = 0) -> None:
        self.kept: list[Payload] = []
        self.contexts: list[StorageDriverStoreContext] = []
        self._away_for = away_for

    def name(self) -> str:
        return "forgetful"

    def _be_there(self, error: Exception) -> None:
        if self._away_for:
            self._away_for -= 1
            raise error

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        self._be_there(EnqueueError("the store is away"))
        self.contexts.append(context)
        self.kept += payloads
        return [StorageDriverClaim({"at": str(len(self.kept) - 1)})]

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        del context
        self._be_there(EngineError("the store is away"))
        return [self.kept[int(claim.claim_data["at"])] for claim in claims]


def converter(driver: StorageDriver) -> DataConverter:
    storage = ExternalStorage(
        drivers=[driver],
        driver_selector=lambda _, payload: None if is_reference(payload) else driver,
        payload_size_threshold=FROM,
    )
    codec = PayloadsCodec(PayloadSettings(compress_from_bytes=100))
    return replace(DataConverter.default, payload_codec=codec, external_storage=storage)


def payloads(driver: StorageDriver) -> DeliveredPayloads:
    connection = TemporalConnection(TemporalAddress("unused", "shop"))
    return DeliveredPayloads(connection, converter(driver), LIMIT)


def incompressible(size: int) -> Payload:
    data = random.Random(size).randbytes(size)
    return Payload(metadata={"encoding": b"json/plain"}, data=data)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.temporal.delivered_payloads._FIRST_PAUSE_S", 0)


async def test_a_small_result_is_left_to_temporal() -> None:
    driver = Forgetful()
    small = incompressible(1000)
    assert await payloads(driver).keep(small, CONTEXT, 5) == small
    assert not driver.kept


async def test_a_large_result_comes_back_after_the_store_was_away_twice() -> None:
    driver = Forgetful(away_for=2)
    delivered, large = payloads(driver), incompressible(3000)
    kept = await delivered.keep(large, CONTEXT, 5)
    assert is_reference(kept)
    assert kept.external_payloads[0].size_bytes >= 3000
    assert driver.contexts[0].target == StorageDriverWorkflowInfo(
        namespace="shop", id="shop.chain/r", run_id="run", type="f"
    )
    assert await delivered.load(kept) == large


async def test_a_result_that_compresses_well_is_left_to_temporal() -> None:
    driver = Forgetful()
    zeros = Payload(metadata={"encoding": b"json/plain"}, data=bytes(3000))
    assert await payloads(driver).keep(zeros, CONTEXT, 5) == zeros
    assert not driver.kept


async def test_a_store_that_stays_away_is_the_reason_why_a_result_is_not_kept() -> None:
    with pytest.raises(ResultNotKeptError, match="the store is away"):
        await payloads(Forgetful(away_for=10**9)).keep(incompressible(3000), CONTEXT, 0.05)


async def test_a_result_over_the_limit_says_where_the_limit_is() -> None:
    with pytest.raises(ResultNotKeptError, match=r"at most 4000 can be kept.*limit_bytes"):
        await payloads(Forgetful()).keep(incompressible(LIMIT + 1), CONTEXT, 5)


async def test_a_payload_is_loaded_when_the_store_is_back() -> None:
    driver = Forgetful()
    kept = await payloads(driver).keep(incompressible(3000), CONTEXT, 5)
    driver._away_for = 3
    assert await payloads(driver).load(kept) == incompressible(3000)


async def test_what_is_no_reference_is_not_touched() -> None:
    plain = incompressible(10)
    assert await payloads(Forgetful()).load(plain) == plain


def test_a_history_has_room_until_results_on_their_way_fill_it() -> None:
    room = HistoryRoom(100)
    assert room.take("run", now_bytes=10, size_bytes=50)
    assert not room.take("run", now_bytes=10, size_bytes=50)
    assert room.take("run", now_bytes=60, size_bytes=40)
    assert room.take("another", now_bytes=0, size_bytes=100)
