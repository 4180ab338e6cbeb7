"""The real Rust SDK against a real bridge.

It needs Cargo: `make conformance-all` runs it, `make test` does not.
"""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bridge.engine.calls import Call, Job
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from tests.conformance.client_process import running_client
from tests.conformance.rust.build import rust_worker
from tests.conformance.sdk_worker import Receipts, Sdk, SdkWorker, offered
from tests.integration.worker_socket.live import LiveBridge, live_bridge

pytestmark = [
    pytest.mark.toolchain,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(1000),  # the first run compiles the SDK
]

SDKS = [Sdk("rust", "0.22.1"), Sdk("rust", "0.25.0")]
MB = 1_000_000


def running(sdk: Sdk, bridge: LiveBridge, **environment: str):
    command = [rust_worker(sdk.version), bridge.url, "client"]
    return running_client(sdk, bridge, "client", command, last_function="withdraw", environment=environment)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SDKS, ids=str)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[SdkWorker]:
    """A running client with OpenTelemetry as it is by default."""
    async with live_bridge() as bridge:
        bridge.engine.enqueuer = Receipts()
        async with running(request.param, bridge) as worker:
            yield worker


async def test_the_bridge_knows_the_worker(client):
    info = client.worker.info

    assert (info.runtime, info.version, info.name) == ("rust", client.sdk.version, "client")
    assert info.pid


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None]}, [], "text", 0, False])
@pytest.mark.parametrize("handler", ["echo", "echo_sync"])
async def test_a_payload_comes_back_as_it_was(client, handler, value):
    assert await client.run(handler, value) == value


async def test_a_handler_may_return_nothing(client):
    assert await client.run("nothing") is None


async def test_many_calls_at_once_get_their_own_answers(client):
    answers = await asyncio.gather(*(client.run("echo", {"n": n}) for n in range(100)))

    assert answers == [{"n": n} for n in range(100)]


async def test_a_failing_handler_is_an_error_with_text_and_stack(client):
    with pytest.raises(FunctionFailedError) as failure:
        await client.run("fail", {"what": "this"})

    assert failure.value.failure_code == "invocation_failed"
    assert "cannot take this" in failure.value.message
    assert failure.value.stacktrace


async def test_a_handler_chooses_the_code_of_its_error(client):
    with pytest.raises(FunctionFailedError, match="as asked") as failure:
        await client.run("fail_with_code", {"code": "OUT_OF_STOCK"})

    assert failure.value.failure_code == "OUT_OF_STOCK"


async def test_a_nested_call_is_answered_and_names_its_caller(client):
    answer = await client.run("call", {"function_id": "client::echo", "payload": {"a": 1}})

    assert answer["result"] == {"a": 1, "_caller_worker_id": client.worker.id}


async def test_calls_nest(client):
    innermost = {"function_id": "client::echo", "payload": [1]}
    for _ in range(5):
        innermost = {"function_id": "client::call", "payload": innermost}
    answer = await client.run("call", innermost)
    for _ in range(6):
        answer = answer["result"]

    assert answer == [1]


async def test_a_missing_function_is_an_error_of_the_sdk(client):
    answer = await client.run("call", {"function_id": "ghost", "payload": {}})

    assert answer["code"] == "function_not_found"
    assert "ghost" in answer["message"]


async def test_the_error_of_a_nested_call_reaches_its_caller(client):
    request = {"function_id": "client::fail_with_code", "payload": {"code": "OUT_OF_STOCK"}}

    assert await client.run("call", request) == {"code": "OUT_OF_STOCK", "message": "as asked"}


async def test_a_void_call_returns_at_once_and_runs(client):
    answer = await client.run("call", {"function_id": "client::note", "payload": {"a": 1}, "void": True})

    assert answer["result"] is None
    (note,) = await client.noted()
    assert note["a"] == 1


async def test_an_enqueued_call_returns_a_receipt(client):
    answer = await client.run("call", {"function_id": "any", "payload": {"a": 1}, "queue": "q"})

    ((call, queue),) = client.bridge.engine.enqueuer.take()
    assert (call.function_id, json.loads(bytes(call.data)), queue) == ("any", {"a": 1}, "q")
    assert list(answer["result"]) == ["messageReceiptId"]


@pytest.mark.parametrize("otel_enabled", ["true", "false"])
@pytest.mark.parametrize("sdk", SDKS, ids=str)
async def test_of_fifty_jobs_of_one_trace_an_enqueued_call_belongs_to_the_right_one(sdk, otel_enabled):
    trace = f"00-{'7' * 32}-{{:016x}}-01"
    jobs = [Job(f"chain{n}", f"chain{n}", "workflow") for n in range(50)]
    async with live_bridge() as bridge, running(sdk, bridge, OTEL_ENABLED=otel_enabled) as client:
        bridge.engine.enqueuer = Receipts()
        request = {"function_id": "any", "queue": "q", "pause_s": 0.05}
        await asyncio.gather(
            *(
                client.run("call", request | {"payload": n}, job=job, traceparent=trace.format(n + 1))
                for n, job in enumerate(jobs)
            )
        )
        found = {int(bytes(call.data)): call.job for call, _ in bridge.engine.enqueuer.take()}

    assert [found[n] for n in range(50)] == jobs


async def test_metadata_travels_beside_the_payload(client):
    request = {"function_id": "client::withmetadata", "payload": [1], "metadata": {"tenant": 7}}

    assert (await client.run("call", request))["result"] == {"data": [1], "metadata": {"tenant": 7}}


async def test_a_trigger_of_a_built_in_type_fires_until_it_is_removed(client):
    trigger = {
        "trigger_type": "engine::workers-available",
        "function_id": "client::note",
        "config": {},
        "metadata": None,
    }
    await client.bind(trigger)
    async with client.bridge.client() as other:
        notes = await client.noted()
    await client.run("unbind", trigger)
    await client.run("nothing")

    assert {"event": "worker_connected", "worker_id": other.id} in notes
    assert not list(client.bridge.engine.triggers.bindings)


async def test_a_trigger_type_of_the_worker_is_bound_fired_and_unbound(client):
    async with client.bridge.client() as consumer:
        await consumer.introduce()
        await consumer.say("registerfunction", id="consumer::f")
        bound = {"trigger_type": "client::type", "function_id": "consumer::f", "config": {"a": 1}}
        binding_id = (await consumer.call("engine::register_trigger", bound))["result"]["id"]
        provided = (await client.run("provided"))["bound"]
        assert provided == {binding_id: {"function_id": "consumer::f", "config": {"a": 1}}}
        assert await client.run("fire", {"event": 1}) == 1
        assert (await consumer.hear("invokefunction"))["data"]["event"] == 1
        await consumer.call("engine::unregister_trigger", {"id": binding_id})
    await client.until(lambda provided: binding_id in provided["removed"], "provided")


async def test_a_provider_may_refuse_a_binding(client):
    bound = {"trigger_type": "client::type", "function_id": "f", "config": {"refuse": True}}
    outcome = await client.bridge.engine.invoke(Call("engine::register_trigger", payload.encode(bound)))

    with pytest.raises(FunctionFailedError, match="refused by the provider"):
        outcome.unwrap()


async def test_large_payloads_reach_the_sdk(client):
    assert await client.run("length", {"text": "x" * 20 * MB}) == 20 * MB


async def test_an_unregistered_function_is_gone(client):
    assert await client.run("temporary") == "here"
    await client.run("withdraw")

    with pytest.raises(FunctionFailedError) as failure:
        await client.run("temporary")
    assert failure.value.failure_code == "function_not_found"


@pytest.mark.parametrize("sdk", SDKS, ids=str)
async def test_a_worker_comes_back_after_the_bridge_restarted(sdk):
    trigger = {
        "trigger_type": "engine::workers-available",
        "function_id": "client::note",
        "config": {},
        "metadata": None,
    }
    async with live_bridge() as first, running(sdk, first) as client:
        await client.bind(trigger)
        await first.socket.stop_accepting()
        await first.socket.disconnect_all()
        async with live_bridge(port=first.port) as second:
            await offered(second, "client::echo")
            client.bridge = second
            assert await client.run("echo", {"a": 1}) == {"a": 1}
            lost = client.worker
            lost.abort()
            await second.departure_of(lost.id)
            await offered(second, "client::echo")
            assert await client.run("echo", {"a": 2}) == {"a": 2}

            (binding,) = second.engine.triggers.bindings
            assert binding.function_id == "client::note"
