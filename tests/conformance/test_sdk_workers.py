"""Real clients of every SDK generation against a real bridge: they must take it for the engine."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
import pytest
import pytest_asyncio

from bridge.builtins.observability import Observability, ObservabilitySettings
from bridge.engine.calls import Call, Job
from bridge.engine.workers import WorkerMetrics
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from tests.conformance.sdk_worker import SDKS, Receipts, Sdk, SdkWorker, offered, running_worker
from tests.integration.worker_socket.live import live_bridge
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

MB = 1_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SDKS, ids=str)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[SdkWorker]:
    """A running client with OpenTelemetry on, as it is by default."""
    async with live_bridge(poll_interval_s=0.1) as bridge:
        bridge.engine.enqueuer = Receipts()
        bridge.function("test::length", lambda data: payload.encode(len(data)))
        bridge.function("test::large", lambda _: payload.encode("x" * 2 * MB))
        async with running_worker(request.param, bridge, "client") as worker:
            yield worker


def skip_unless(condition: bool, reason: str) -> None:
    if not condition:
        pytest.skip(reason)


async def test_the_bridge_knows_the_worker(client):
    info = client.worker.info

    assert (info.runtime, info.version, info.name) == (client.sdk.runtime, client.sdk.version, "client")
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


async def test_a_failing_handler_is_an_error_with_code_text_and_stack(client):
    with pytest.raises(FunctionFailedError) as failure:
        await client.run("fail", {"what": "this"})

    assert failure.value.failure_code == "invocation_failed"
    assert "cannot take this" in failure.value.message
    assert client.sdk.generation < (0, 11) or "cannot take this" in (failure.value.stacktrace or "")


@pytest.mark.parametrize("handler", ["call", "call_sync"])
async def test_a_nested_call_is_answered_and_names_its_caller(client, handler):
    skip_unless(handler == "call" or client.sdk.is_python, "Node has one kind of handler")
    answer = await client.run(handler, {"function_id": "client::echo", "payload": {"a": 1}})

    assert answer["result"] == {"a": 1, "_caller_worker_id": client.worker.id}


async def test_a_payload_that_the_sdk_leaves_out_is_null(client):
    assert (await client.run("call", {"function_id": "test::length"}))["result"] == len("null")


async def test_a_missing_function_is_an_error_of_the_sdk(client):
    answer = await client.run("call", {"function_id": "ghost", "payload": {}})

    assert answer["code"] == "function_not_found"
    assert "ghost" in answer["message"]


async def test_the_error_of_a_nested_call_reaches_its_caller(client):
    answer = await client.run("call", {"function_id": "client::fail", "payload": {"what": "that"}})

    assert answer["code"] == "invocation_failed"
    assert "cannot take that" in answer["message"]


async def test_a_void_call_returns_at_once_and_runs(client):
    answer = await client.run("call", {"function_id": "client::note", "payload": {"a": 1}, "void": True})

    assert answer.get("result") is None
    (note,) = await client.noted()
    assert note["a"] == 1


async def test_an_enqueued_call_returns_a_receipt(client):
    answer = await client.run("call", {"function_id": "any", "payload": {"a": 1}, "queue": "q"})

    ((call, queue),) = client.bridge.engine.enqueuer.take()
    assert (call.function_id, json.loads(bytes(call.data)), queue) == ("any", {"a": 1}, "q")
    assert "messageReceiptId" in answer["result"]


async def test_an_enqueued_call_belongs_to_the_only_job_that_runs(client):
    job = Job("chain", "chain", "workflow")
    await client.run("call", {"function_id": "any", "payload": {}, "queue": "q"}, job=job)

    ((call, _),) = client.bridge.engine.enqueuer.take()
    assert call.job is job


async def test_of_several_jobs_an_enqueued_call_belongs_to_the_right_one_or_to_none(client):
    jobs = [Job(f"chain{n}", f"chain{n}", "workflow") for n in range(8)]
    request = {"function_id": "any", "queue": "q", "pause_s": 0.05}
    await asyncio.gather(
        *(client.run("call", request | {"payload": n}, job=job) for n, job in enumerate(jobs))
    )

    found = {int(bytes(call.data)): call.job for call, _ in client.bridge.engine.enqueuer.take()}
    assert sorted(found) == list(range(8))
    if client.sdk == Sdk("python", "0.9.0"):  # nothing in its calls leads back to the handler
        assert set(found.values()) == {None}
    else:
        assert [found[n] for n in range(8)] == jobs


async def test_metadata_travels_beside_the_payload(client):
    skip_unless(client.sdk.generation >= (0, 22), "the sidecar came with 0.21.3")
    request = {"function_id": "client::withmetadata", "payload": [1], "metadata": {"tenant": 7}}

    assert (await client.run("call", request))["result"] == {"data": [1], "metadata": {"tenant": 7}}


async def test_a_trigger_of_a_built_in_type_fires(client):
    bound = {"type": "engine::workers-available", "function_id": "client::note", "config": {}}
    await client.bind(bound)
    async with client.bridge.client() as other:
        notes = await client.noted()
    await client.run("unbind", bound)

    assert {"event": "worker_connected", "worker_id": other.id} in notes


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

    if client.sdk.generation >= (0, 22):  # older ones do not listen to the end of a binding
        await client.until(lambda provided: binding_id in provided["removed"], "provided")


async def test_the_provider_hears_when_the_owner_of_a_binding_has_gone(client):
    skip_unless(client.sdk.generation >= (0, 22), "older ones do not listen to the end of a binding")
    async with client.bridge.client() as consumer:
        await consumer.introduce()
        bound = {"trigger_type": "client::type", "function_id": "consumer::f", "config": {}}
        await consumer.say("registertrigger", id="of the consumer", **bound)
        await client.until(lambda provided: "of the consumer" in provided["bound"], "provided")
    provided = await client.until(lambda provided: "of the consumer" in provided["removed"], "provided")

    assert "of the consumer" not in provided["bound"]


async def test_the_owner_is_told_that_its_binding_was_refused(client):
    skip_unless(client.sdk.generation >= (0, 22), "older ones pass it over in silence")
    async with client.bridge.client() as provider:
        await provider.introduce()
        await provider.say("registertriggertype", id="strict::type", description="d")
        assert await provider.is_served()
        bound = {"type": "strict::type", "function_id": "client::refused", "config": {"a": 1}}
        await client.run("bind", bound | {"trigger_type": bound["type"]})
        binding_id = (await provider.hear("registertrigger"))["id"]
        error = {"code": "trigger_registration_failed", "message": "not like this"}
        about = {"trigger_type": bound["type"], "function_id": bound["function_id"]}
        await provider.say("triggerregistrationresult", id=binding_id, **about, error=error)
        await eventually(lambda: "not like this" in client.output())

    assert "strict::type" in client.output()
    await client.run("unbind", bound)


async def test_a_provider_may_refuse_a_binding(client):
    bound = {"trigger_type": "client::type", "function_id": "f", "config": {"refuse": True}}
    outcome = await client.bridge.engine.invoke(Call("engine::register_trigger", payload.encode(bound)))

    with pytest.raises(FunctionFailedError, match="refused by the provider") as refusal:
        outcome.unwrap()
    assert refusal.value.failure_code == "trigger_registration_failed"


async def test_large_payloads_reach_the_sdks_that_can_take_them(client):
    request = {"text": "x" * 20 * MB}
    if client.sdk.takes_large_messages:
        assert await client.run("length", request) == 20 * MB
    else:
        with pytest.raises(FunctionFailedError) as refusal:
            await client.run("length", request)
        assert refusal.value.failure_code == "payload_too_large"
        before = client.worker.id
        assert await client.run("length", {"text": "x" * 1_000_000}) == 1_000_000
        assert client.worker.id == before


async def test_large_results_come_from_every_sdk(client):
    assert len(await client.run("large", {"bytes": 20 * MB})) == 20 * MB


async def test_an_answer_too_large_for_the_sdk_is_an_error_of_that_call(client):
    answer = await client.run("call", {"function_id": "test::large", "payload": {}})

    if client.sdk.takes_large_messages:
        assert len(answer["result"]) == 2 * MB
    else:
        assert answer["code"] == "payload_too_large"


async def test_the_engine_tells_what_is_on_offer(client):
    for question, key in (
        ("engine::functions::list", "functions"),
        ("engine::workers::list", "workers"),
        ("engine::triggers::list", "triggers"),
    ):
        answer = await client.run("call", {"function_id": question, "payload": {}})
        assert answer["result"][key] is not None


async def test_the_list_wrappers_of_the_first_generation_read_the_answers(client):
    skip_unless(client.sdk.generation < (0, 11), "later SDKs have no wrappers")
    bound = {"type": "engine::workers-available", "function_id": "client::note", "config": {}}
    await client.bind(bound)
    lists = await client.run("lists")
    await client.run("unbind", bound)

    assert "client::echo" in lists["functions"]
    assert {"client", "iii-engine-functions"} <= set(lists["workers"])
    assert "engine::workers-available" in lists["triggers"]


async def test_the_first_generation_watches_functions_come_and_go(client):
    skip_unless(client.sdk.generation < (0, 11), "later SDKs have no wrapper")
    await client.run("notes")
    await client.run("watch_functions")
    client.bridge.function("test::new", lambda data: data)

    notes = await client.noted(lambda found: any("test::new" in each for each in found))
    assert any("client::echo" in each for each in notes)


async def test_telemetry_arrives(client):
    skip_unless(not client.sdk.is_python or client.sdk.generation >= (0, 25), "needs the SDK's otel extra")
    await client.run("echo", {})
    async with asyncio.timeout(PATIENCE_S):
        while not client.bridge.telemetry:
            await client.run("echo", {})
            await asyncio.sleep(0.02)

    assert client.bridge.telemetry[0][:4] in (b"OTLP", b"MTRC", b"LOGS")


async def test_a_node_worker_reports_how_its_process_fares(client):
    skip_unless(not client.sdk.is_python, "Python's SDK reports nothing of the kind")
    observability = Observability(
        client.bridge.engine,
        ObservabilitySettings(version="1.2.3", print_logs=False),
        post=no_webhooks,
        clock_s=time.monotonic,
        now_ns=time.time_ns,
    )

    def reported() -> WorkerMetrics | None:
        for frame in client.bridge.telemetry:
            observability.take_frame(frame)
        return client.worker.latest_metrics

    metrics = await eventually(reported)
    assert metrics.runtime == "node"
    assert (metrics.memory_rss or 0) > MB
    assert (metrics.memory_heap_used or 0) > MB
    assert metrics.cpu_percent is not None
    assert metrics.uptime_seconds is not None


async def no_webhooks(*_: object) -> None:
    pass


async def test_an_unregistered_function_is_gone(client):
    assert await client.run("temporary") == "here"
    await client.run("withdraw")

    with pytest.raises(FunctionFailedError) as failure:
        await client.run("temporary")
    assert failure.value.failure_code == "function_not_found"


@pytest.mark.parametrize("sdk", SDKS, ids=str)
async def test_a_worker_comes_back_after_the_bridge_restarted(sdk):
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(live_bridge())
        client = await stack.enter_async_context(running_worker(sdk, first, "client"))
        bound = {"type": "engine::workers-available", "function_id": "client::note", "config": {}}
        await client.bind(bound)
        await first.socket.stop_accepting()
        await first.socket.disconnect_all()
        second = await stack.enter_async_context(live_bridge(port=first.port))
        await offered(second, "client::echo")
        client.bridge = second
        assert await client.run("echo", {"a": 1}) == {"a": 1}
        lost = client.worker
        lost.abort()
        await second.departure_of(lost.id)
        await offered(second, "client::echo")
        assert await client.run("echo", {"a": 2}) == {"a": 2}

        (binding,) = second.engine.triggers.bindings
        assert (binding.trigger_type, binding.function_id) == (bound["type"], bound["function_id"])


async def test_a_worker_in_a_namespace_registers_and_calls_there():
    async with (
        live_bridge() as bridge,
        running_worker(Sdk("python", "0.25.0"), bridge, "client", "orders", namespace="orders") as client,
    ):
        request = {"function_id": "client::echo", "payload": [1]}

        assert bridge.engine.functions.namespaces_of("client::echo") == ["orders"]
        assert (await client.run("call", request, namespace="orders"))["result"] == [1]
        outcome = await bridge.engine.invoke(Call("client::echo", msgspec.Raw(b"{}")))
        assert "orders" in (outcome.error.message if outcome.error else "")
