"""Fifty jobs in flight on one connection: which of them does a nested Enqueue belong to?

What is expected of each SDK is the measurement in docs/decisions/observe-v1.md. The one thing that must never
happen is a call attributed to a job that did not make it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from iii import InitOptions, register_worker
from iii.errors import ObserveRejection

from bridge.engine.calls import Call, Job
from bridge.protocol import payload
from tests.conformance.client_process import running_client
from tests.conformance.sdk_worker import Receipts, Sdk, SdkWorker, _command
from tests.integration.worker_socket.live import live_bridge
from tests.support.waiting import PATIENCE_S

JOBS = range(1, 51)
HELD = 51

PYTHON, OLD_PYTHON = Sdk("python", "0.25.0"), Sdk("python", "0.22.1")
NODE, OLD_NODE = Sdk("node", "0.22.1"), Sdk("node", "0.11.6")
ASYNC, SYNC = "call", "call_sync"

OWN_TRACES, ONE_TRACE, ONE_CHAIN = "own traces", "one trace", "one chain"
RIGHT, CHAIN, NONE = "the job", "its chain without a step", "no job"


def job_of(number: int, kinship: str) -> Job:
    home = "chain" if kinship == ONE_CHAIN else f"chain {number}"
    return Job(home, home, f"workflow of {home}", f"receipt {number}")


def traceparent_of(number: int, kinship: str) -> str:
    trace = number if kinship == OWN_TRACES else 999
    return f"00-{trace:032x}-{number:016x}-01"


@asynccontextmanager
async def holding(client: SdkWorker, kinship: str) -> AsyncIterator[None]:
    """Keep one more job in flight, so that no other is ever the only one."""
    holding_now, release = asyncio.Event(), asyncio.Event()

    async def hold(_: Call) -> msgspec.Raw:
        holding_now.set()
        await release.wait()
        return payload.ABSENT

    client.bridge.engine.add_builtin("test::hold", hold, owner_name="test")
    request = {"function_id": "test::hold", "payload": {}}
    job, traceparent = job_of(HELD, kinship), traceparent_of(HELD, kinship)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run(ASYNC, request, job=job, traceparent=traceparent))
        await holding_now.wait()
        yield
        release.set()


async def attributions(client: SdkWorker, handler: str, kinship: str) -> Counter[str]:
    """Let fifty jobs enqueue at once, and count to what the calls were attributed.

    Raises:
        AssertionError: A call was attributed to a job or chain that did not make it.
    """
    jobs = {number: job_of(number, kinship) for number in JOBS}
    request = {"function_id": "any", "queue": "q", "pause_s": 0.05}
    receipts = client.bridge.engine.enqueuer = Receipts()
    async with holding(client, kinship), asyncio.TaskGroup() as tasks:
        for number, job in jobs.items():
            trace = traceparent_of(number, kinship)
            tasks.create_task(client.run(handler, request | {"payload": number}, job=job, traceparent=trace))
    made_by = {int(bytes(call.data)): call.job for call, _ in receipts.take()}
    assert sorted(made_by) == list(JOBS)
    return Counter(relation(found, jobs[number]) for number, found in made_by.items())


def relation(found: Job | None, right: Job) -> str:
    if found is right:
        return RIGHT
    if found is None:
        return NONE
    assert found.receipt is None, "attributed to a job that did not make the call"
    assert (found.chain_id, found.home) == (right.chain_id, right.home)
    return CHAIN


EXACT = {OWN_TRACES: RIGHT, ONE_TRACE: RIGHT, ONE_CHAIN: RIGHT}
BY_TRACE = {OWN_TRACES: RIGHT, ONE_TRACE: NONE, ONE_CHAIN: CHAIN}
BLIND = {OWN_TRACES: NONE, ONE_TRACE: NONE, ONE_CHAIN: CHAIN}


@pytest.mark.parametrize(
    ("sdk", "handler", "otel_enabled", "expected"),
    [
        (PYTHON, SYNC, "true", EXACT),
        (PYTHON, SYNC, "false", EXACT),
        (PYTHON, ASYNC, "true", EXACT),
        (PYTHON, ASYNC, "false", EXACT),
        (OLD_PYTHON, SYNC, "true", BLIND),
        (OLD_PYTHON, SYNC, "false", BLIND),
        (OLD_PYTHON, ASYNC, "true", BY_TRACE),
        (OLD_PYTHON, ASYNC, "false", EXACT),
        (NODE, ASYNC, "true", EXACT),
        (NODE, ASYNC, "false", BLIND),
        (OLD_NODE, ASYNC, "true", EXACT),
        (OLD_NODE, ASYNC, "false", BLIND),
    ],
    ids=str,
)
async def test_fifty_calls_are_attributed_as_measured_and_never_to_a_wrong_job(
    tmp_path: Path, sdk: Sdk, handler: str, otel_enabled: str, expected: dict[str, str]
) -> None:
    async with live_bridge() as bridge:
        command = [*_command(sdk, tmp_path), bridge.url, "client", sdk.version]
        environment = {"OTEL_ENABLED": otel_enabled}
        async with running_client(sdk, bridge, "client", command, environment=environment) as client:
            found = {kinship: await attributions(client, handler, kinship) for kinship in expected}

    assert found == {kinship: {relation: len(JOBS)} for kinship, relation in expected.items()}


async def test_observing_is_unsupported_and_own_functions_are_called_through_the_bridge() -> None:
    async with live_bridge() as bridge:
        worker = await asyncio.to_thread(register_worker, bridge.url, InitOptions(worker_name="client"))
        try:
            worker.register_function("client::f", lambda data: data)
            observer = worker.observe({"function_id": "some::function"}, "client::f")
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(ObserveRejection) as rejection:
                    await observer.ready_async()
                answer = await worker.trigger_async({"function_id": "client::f", "payload": {}})
        finally:
            await asyncio.to_thread(worker.shutdown)

    assert rejection.value.code == "UNSUPPORTED"
    assert "_caller_worker_id" in answer
