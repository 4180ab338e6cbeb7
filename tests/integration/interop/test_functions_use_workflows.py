"""`temporal::*`: functions start, ask and end other people's workflows (docs/interop.md)."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk
from tests.support.running_bridge import RunningBridge, StartBridge, ended
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

Start = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def allowing(start_bridge: StartBridge, foreign_queue: str) -> RunningBridge:
    """A bridge that lets functions use the orders of the foreign worker."""
    return await start_bridge(
        {"jobs": {"max_retries": 2, "backoff_ms": 20}},
        interop={"workflows": [{"workflow": "Order*", "task_queue": foreign_queue}]},
    )


@pytest.fixture
async def worker(allowing: RunningBridge) -> FakeSdk:
    return await allowing.connect()


@pytest.fixture
def start(worker: FakeSdk, foreign_queue: str) -> Start:
    async def started(**asked: Any) -> dict[str, Any]:
        found: dict[str, Any] = await worker.trigger(
            "temporal::start", {"workflow": "OrderWorkflow", "task_queue": foreign_queue, **asked}
        )
        return found

    return started


async def test_start_with_wait_answers_the_result(start: Start) -> None:
    found = await start(id="mine-" + uuid.uuid4().hex, input={"lamp": 1}, wait=True)
    assert found["result"] == {"order": {"lamp": 1}, "name": "unnamed"}
    assert found["workflow_id"].startswith("mine-")
    assert uuid.UUID(found["run_id"])


async def test_a_running_workflow_is_signalled_queried_updated_described_and_awaited(
    worker: FakeSdk, start: Start, foreign_queue: str
) -> None:
    found = await start(input={"waits": True})
    which = {"workflow_id": found["workflow_id"]}
    renamed = await worker.trigger("temporal::update", {**which, "update": "rename", "input": "lamp"})
    assert renamed == "unnamed"
    assert await worker.trigger("temporal::query", {**which, "query": "name", "args": ["!"]}) == "lamp!"
    seen = await worker.trigger("temporal::describe", which)
    assert (seen["status"], seen["workflow"], seen["task_queue"]) == (
        "running",
        "OrderWorkflow",
        foreign_queue,
    )
    assert await worker.trigger("temporal::result", {**which, "timeout_ms": 1}) == {"status": "running"}
    await worker.trigger("temporal::signal", {**which, "signal": "approve"})
    end = await worker.trigger("temporal::result", which)
    assert end == {"status": "completed", "result": {"order": {"waits": True}, "name": "lamp"}}


async def test_the_failure_of_a_workflow_is_an_error_with_its_type_as_code(start: Start) -> None:
    with pytest.raises(CallFailed, match="as asked") as caught:
        await start(input={"fail": "OUT_OF_STOCK"}, wait=True)
    assert (caught.value.code, caught.value.stacktrace) == ("OUT_OF_STOCK", "the stack")


@pytest.mark.parametrize(
    ("function_id", "code"),
    [("temporal::cancel", "workflow_canceled"), ("temporal::terminate", "workflow_terminated")],
)
async def test_a_workflow_is_ended(worker: FakeSdk, start: Start, function_id: str, code: str) -> None:
    which = {"workflow_id": (await start(input={"waits": True}))["workflow_id"]}
    await worker.trigger(function_id, which)
    with pytest.raises(CallFailed) as caught:
        await worker.trigger("temporal::result", which)
    assert caught.value.code == code


async def test_lists_and_counts_have_what_is_allowed_and_nothing_else(
    allowing: RunningBridge, worker: FakeSdk, start: Start
) -> None:
    await worker.offer(job=_nothing)
    await ended(allowing.chain(await worker.enqueue("job", {}, "jobs")))
    ids = {(await start(wait=True))["workflow_id"] for _ in range(3)}

    async def counted() -> bool:
        found = await worker.trigger("temporal::count", {"status": "completed"})
        return bool(found == {"count": 3})

    await eventually(counted)
    first = await worker.trigger("temporal::list", {"limit": 2})
    second = await worker.trigger("temporal::list", {"limit": 2, "cursor": first["next"]})
    assert {each["workflow_id"] for each in first["workflows"] + second["workflows"]} == ids


async def test_an_id_is_used_once_unless_the_caller_says_otherwise(start: Start) -> None:
    name = uuid.uuid4().hex
    first = await start(id=name, input={"waits": True})
    with pytest.raises(CallFailed) as caught:
        await start(id=name)
    assert caught.value.code == "workflow_already_started"
    assert await start(id=name, id_conflict="use_existing") == first


async def test_a_retried_step_finds_the_workflow_that_it_has_started(
    worker: FakeSdk, allowing: RunningBridge, foreign_queue: str
) -> None:
    started: list[str] = []

    async def job(call: Delivered) -> None:
        asked = {"workflow": "OrderWorkflow", "task_queue": foreign_queue, "wait": True}
        started.append((await call.trigger("temporal::start", asked))["run_id"])
        if len(started) == 1:
            raise CallFailed("AGAIN", "once more")

    await worker.offer(job=job)
    await ended(allowing.chain(await worker.enqueue("job", {}, "jobs")))
    assert started == [started[0]] * 2


@pytest.mark.parametrize(
    "asked",
    [
        {"workflow": "Other"},
        {"task_queue": "elsewhere"},
        {"namespace": "elsewhere"},
        {"id": "PREFIX.chain/mine"},
        {"task_queue": "PREFIX"},
    ],
    ids=["type", "queue", "namespace", "id", "our queue"],
)
async def test_what_no_rule_allows_is_forbidden(
    allowing: RunningBridge, start: Start, asked: dict[str, str]
) -> None:
    with pytest.raises(CallFailed) as caught:
        await start(**{key: text.replace("PREFIX", allowing.prefix) for key, text in asked.items()})
    assert caught.value.code == "FORBIDDEN"


async def test_chains_are_out_of_reach(allowing: RunningBridge, worker: FakeSdk) -> None:
    receipt = await worker.enqueue("nobody", {}, "jobs")
    with pytest.raises(CallFailed) as caught:
        await worker.trigger("temporal::terminate", {"workflow_id": allowing.chain(receipt).id})
    assert caught.value.code == "FORBIDDEN"


async def test_without_configuration_the_error_names_the_key(bridge: RunningBridge) -> None:
    worker = await bridge.connect()
    with pytest.raises(CallFailed, match=r"iii-temporal\.interop\.workflows"):
        await worker.trigger("temporal::start", {"workflow": "OrderWorkflow", "task_queue": "q"})
    with pytest.raises(CallFailed, match=r"iii-temporal\.interop\.workflows"):
        await worker.trigger("temporal::list", {})


async def _nothing(_: Delivered) -> None: ...
