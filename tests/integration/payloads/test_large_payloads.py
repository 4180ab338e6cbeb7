"""Payloads that are too large for Temporal, in a place that bridges share (docs/payloads.md)."""

import base64
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.support.bucket import Bucket
from tests.support.fake_sdk import CallFailed, Delivered
from tests.support.handlers import Recording
from tests.support.running_bridge import StartBridge, ended

pytestmark = pytest.mark.integration

MEBIBYTE = 1024 * 1024
LARGE = "a secret of three mebibytes " * (3 * MEBIBYTE // 28)
KEY = base64.b64encode(bytes(32)).decode()


@dataclass(frozen=True)
class Place:
    """Where large payloads are in a test, and what the operator finds there."""

    storage: dict[str, Any]
    contents: Callable[[], Awaitable[Iterable[bytes]]]

    @property
    def payloads(self) -> dict[str, Any]:
        return {
            "storage": self.storage | {"limit_bytes": 4 * MEBIBYTE},
            "encryption": {"active_key": "one", "keys": {"one": KEY}},
        }


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, bucket: Bucket) -> Place:
    directory = tmp_path / "large"

    async def in_files() -> list[bytes]:
        return [path.read_bytes() for path in directory.rglob("*") if path.is_file()]

    async def in_objects() -> Iterable[bytes]:
        return (await bucket.objects()).values()

    if request.param == "s3":
        return Place({"s3": bucket.block}, in_objects)
    return Place({"directory": str(directory)}, in_files)


async def test_a_large_payload_goes_all_the_way_and_back_unreadable_for_others(
    start_bridge: StartBridge, queues: dict[str, Any], place: Place
) -> None:
    bridge = await start_bridge(queues, payloads=place.payloads)
    worker, attempts = await bridge.connect(), Recording()

    async def first(call: Delivered) -> dict[str, str]:
        await call.enqueue("second", {"group": "g", "data": call.data["data"]}, "lines")
        return {"data": LARGE}

    async def second(call: Delivered) -> None:
        await attempts(call)
        raise CallFailed("no", "not today")

    await worker.register({"first": first, "second": second})
    receipt = await worker.enqueue("first", {"data": LARGE}, "jobs")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.FAILED
    assert attempts.of("data") == [LARGE, LARGE]
    (letter,) = await bridge.dead_letters("lines")
    assert letter["payload"]["data"] == LARGE
    found = await worker.trigger("chain::get", {"receipt": receipt})
    assert found["steps"][0]["result"] == {"data": LARGE}
    contents = list(await place.contents())
    assert len(contents) >= 3
    assert not any(b"a secret" in each for each in contents)


async def test_a_large_message_of_a_lane_is_handled_by_another_bridge(
    start_bridge: StartBridge, queues: dict[str, Any], place: Place
) -> None:
    before = await start_bridge(queues, payloads=place.payloads)
    worker = await before.connect()
    for number in (1, 2):
        await worker.enqueue("late", {"group": "g", "number": number, "data": LARGE}, "lines")
    await before.stop()
    after, heard = await start_bridge(queues, payloads=place.payloads), Recording()
    await (await after.connect()).register({"late": heard})
    await after.eventually_handled(heard.payloads, 2)
    assert heard.of("number") == [1, 2]
    assert heard.of("data") == [LARGE, LARGE]


async def test_what_is_larger_than_the_limit_is_refused_and_told_where_the_limit_is(
    start_bridge: StartBridge, queues: dict[str, Any], place: Place
) -> None:
    bridge = await start_bridge(queues, payloads=place.payloads)
    worker = await bridge.connect()
    with pytest.raises(CallFailed, match=r"at most 4194304 can be enqueued.*payloads\.storage"):
        await worker.enqueue("first", {"data": "x" * 4 * MEBIBYTE}, "jobs")


async def test_a_directory_that_cannot_be_written_refuses_large_payloads_alone(
    start_bridge: StartBridge, queues: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    bridge = await start_bridge(queues, payloads={"storage": {"directory": str(tmp_path / "taken")}})
    worker, heard = await bridge.connect(), Recording()
    await worker.register({"work": heard})
    with pytest.raises(CallFailed, match="cannot be written"):
        await worker.enqueue("work", {"data": LARGE}, "jobs")
    receipt = await worker.enqueue("work", {"data": "small"}, "jobs")
    await ended(bridge.chain(receipt))
    assert heard.of("data") == ["small"]
