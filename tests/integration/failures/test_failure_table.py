"""The failures that orchestrators are known for, each provoked: one test per row of the table."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from tests.support.bridge_process import BridgeProcess, bridge_process
from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk, connected
from tests.support.handlers import Failing, Gate, Recording, numbered, succeed
from tests.support.running_bridge import StartBridge, bridge_config, ended, write_config
from tests.support.waiting import PATIENCE_S, eventually
from workflows.contract import Tenancy
from workflows.names import chain_id

pytestmark = pytest.mark.integration

QUEUES = {"jobs": {"max_retries": 5, "backoff_ms": 1, "concurrency": 20}}
# Temporal's server may fire a timer so much too early.
EARLY_S = 0.01


class Bridges:
    """Bridges as processes of their own, on one Temporal, with a worker each."""

    def __init__(self, config: Path, temporal: Client, prefix: str, exits: AsyncExitStack) -> None:
        self._config = config
        self._temporal = temporal
        self._prefix = prefix
        self._exits = exits

    async def start(self) -> tuple[BridgeProcess, FakeSdk]:
        """Start a bridge, and connect its worker."""
        process = await self._exits.enter_async_context(bridge_process(self._config))
        return process, await self._exits.enter_async_context(connected(process.worker_url))

    async def completed(self, receipt: str) -> bool:
        """Wait for the end of a chain, and tell whether it is a good one."""
        chain = self._temporal.get_workflow_handle(chain_id(Tenancy(self._prefix), receipt))
        return (await ended(chain, 40)).status is WorkflowExecutionStatus.COMPLETED


@pytest.fixture
def heartbeat_timeout_ms() -> int:
    """After how long Temporal gives the work of a silent bridge to another."""
    return 1000


@pytest.fixture
async def bridges(
    temporal: Client, temporal_address: str, prefix: str, tmp_path: Path, heartbeat_timeout_ms: int
) -> AsyncIterator[Bridges]:
    settings = bridge_config(temporal_address, prefix, QUEUES, heartbeat_timeout_ms=heartbeat_timeout_ms)
    config = write_config(tmp_path, settings)
    async with AsyncExitStack() as exits:
        yield Bridges(config, temporal, prefix, exits)


async def test_a_compensation_that_fails_is_retried_with_backoff_and_dead_lettered_while_the_others_run(
    start_bridge: StartBridge,
) -> None:
    bridge = await start_bridge({"jobs": {"max_retries": 3, "backoff_ms": 50}})
    worker = await bridge.connect()
    refund, release = TimedFailing(3), Recording()

    async def reserve(call: Delivered) -> None:
        await call.enqueue("charge", {"order": 7}, "jobs")

    async def charge(call: Delivered) -> None:
        await call.enqueue("ship", {"order": 7}, "jobs")

    await worker.register({"reserve": reserve}, {"compensate": "release"})
    await worker.register({"charge": charge}, {"compensate": "refund"})
    await worker.offer(ship=Failing(), refund=refund, release=release)
    receipt = await worker.enqueue("reserve", {"order": 7}, "jobs")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.FAILED

    assert refund.attempts == [1, 2, 3]
    assert refund.waits_s[0] >= 0.05 - EARLY_S
    assert refund.waits_s[1] >= 0.1 - EARLY_S
    assert release.of("function_id") == ["reserve"]
    letters = await bridge.dead_letters("jobs", 2)
    (lost,) = [letter for letter in letters if letter["payload"].get("function_id") == "charge"]
    assert (lost["retries"], lost["error"]) == (3, "boom")

    await worker.trigger("iii::queue::redrive_message", {"queue": "jobs", "message_id": lost["id"]})
    await eventually(lambda: len(refund.calls) == 4)
    assert refund.calls[3].data["function_id"] == "charge"


# A bridge that a busy machine keeps silent for a second is not to count as lost.
@pytest.mark.parametrize("heartbeat_timeout_ms", [10_000], ids=["patient"])
async def test_two_bridges_at_once_never_run_one_chain_twice(bridges: Bridges) -> None:
    _, first = await bridges.start()
    _, second = await bridges.start()
    ran: Counter[tuple[str, int]] = Counter()

    async def begin(call: Delivered) -> None:
        ran["begin", call.data["n"]] += 1
        await call.enqueue("finish", call.data, "jobs")

    async def finish(call: Delivered) -> None:
        ran["finish", call.data["n"]] += 1

    for worker in (first, second):
        await worker.offer(begin=begin, finish=finish)
    senders = (first, second)
    receipts = await asyncio.gather(
        *(senders[payload["n"] % 2].enqueue("begin", payload, "jobs") for payload in numbered(20))
    )
    assert all(await asyncio.gather(*map(bridges.completed, receipts)))
    assert ran == {(step, n): 1 for step in ("begin", "finish") for n in range(20)}
    assert all(any(call.function_id in {"begin", "finish"} for call in each.delivered) for each in senders)


async def test_poison_pills_end_as_dead_letters_and_an_alert_at_80_percent_and_hide_no_real_failure(
    start_bridge: StartBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.builtins.queue.watch._LOOK_EVERY_S", 0.1)
    monkeypatch.setattr("bridge.temporal.shared_look._FRESH_S", 0.05)
    limits = {"capacity": 5, "alert_function_id": "ops::alert"}
    bridge = await start_bridge({"orders": {"max_retries": 2, "backoff_ms": 1, "dlq": limits}})
    worker, told, poisoned = await bridge.connect(), Recording(), Failing(text="cannot parse it")
    charge = Failing(text="card declined")
    await worker.offer(parse=poisoned, charge=charge, ship=succeed, ops__alert=told)

    for payload in numbered(3):
        await worker.enqueue("parse", payload, "orders")
    await bridge.dead_letters("orders", 3)
    assert told.payloads == []
    for payload in numbered(3):
        await worker.enqueue("parse", payload, "orders")
    await bridge.dead_letters("orders", 6)
    await bridge.eventually_handled(told.payloads, 1)
    alert = told.payloads[0]
    assert (alert["queue"], alert["capacity"], alert["threshold"]) == ("orders", 5, 4)
    assert alert["count"] >= 4
    assert Counter(call.data["n"] for call in poisoned.calls) == {0: 4, 1: 4, 2: 4}  # of two pills each
    assert set(poisoned.attempts) == {1, 2}

    # There are more dead letters than their capacity: real failures are seen, and what works, works.
    await worker.enqueue("charge", {"order": 7}, "orders")
    await bridge.dead_letters("orders", 7)
    wanted = {"topic": "orders", "function_id": "charge"}
    (real,) = await worker.trigger("engine::queue::dlq_messages", wanted)
    assert (real["payload"], real["error"], real["retries"]) == ({"order": 7}, "card declined", 2)
    receipt = await worker.enqueue("ship", {}, "orders")
    assert (await ended(bridge.chain(receipt))).status is WorkflowExecutionStatus.COMPLETED


async def test_when_one_of_two_bridges_is_killed_the_other_goes_on_and_readyz_tells_the_truth(
    bridges: Bridges,
) -> None:
    killed, worker = await bridges.start()
    other, other_worker = await bridges.start()
    gate, heard = Gate(), Recording()
    await worker.offer(job=gate)
    receipt = await worker.enqueue("job", {"n": 1}, "jobs")
    await eventually(lambda: gate.begun)
    await other_worker.offer(job=heard)
    assert await is_ready(killed)
    assert await is_ready(other)

    await killed.kill()
    with pytest.raises(httpx.ConnectError):
        await is_ready(killed)
    assert await is_ready(other)
    assert await bridges.completed(receipt)
    assert heard.payloads == [{"n": 1}]
    assert [call.durable["attempt"] for call in other_worker.delivered] == [2]
    assert await bridges.completed(await other_worker.enqueue("job", {"n": 2}, "jobs"))
    assert await is_ready(other)


async def test_the_idempotency_key_is_the_same_for_every_retry_and_after_a_crash_of_the_bridge(
    bridges: Bridges,
) -> None:
    keys: list[tuple[int, str]] = []
    gate = Gate()

    async def charge(call: Delivered) -> None:
        attempt = call.durable["attempt"]
        keys.append((attempt, call.durable["idempotency_key"]))
        if attempt == 2:
            await gate(call)
        if attempt < 4:
            raise CallFailed("invocation_failed", "no answer from the bank")

    killed, worker = await bridges.start()
    await worker.offer(charge=charge)
    receipt = await worker.enqueue("charge", {"order": 7}, "jobs")
    await eventually(lambda: gate.begun)
    await killed.kill()
    gate.open()

    _, worker = await bridges.start()
    await worker.offer(charge=charge)
    assert await bridges.completed(receipt)
    assert [attempt for attempt, _ in keys] == [1, 2, 3, 4]
    assert len({key for _, key in keys}) == 1
    assert await bridges.completed(await worker.enqueue("charge", {"order": 8}, "jobs"))
    assert len({key for _, key in keys}) == 2


class TimedFailing(Failing):
    """Fails, and notes when each attempt began."""

    def __init__(self, times: int) -> None:
        super().__init__(times)
        self._begun_s: list[float] = []

    async def __call__(self, call: Delivered) -> str:
        self._begun_s.append(asyncio.get_running_loop().time())
        return await super().__call__(call)

    @property
    def waits_s(self) -> list[float]:
        """From one attempt to the next."""
        return [later - earlier for earlier, later in zip(self._begun_s, self._begun_s[1:], strict=False)]


async def is_ready(bridge: BridgeProcess) -> bool:
    """Ask a bridge whether it is ready.

    Raises:
        httpx.ConnectError: There is nobody to ask.
    """
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        response = await client.get(f"{bridge.admin_url}/readyz")
    checks = response.json()["checks"]
    assert response.is_success == all(check == "ok" for check in checks.values())
    return response.is_success
