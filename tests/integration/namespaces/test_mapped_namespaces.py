"""Namespaces of iii whose messages are kept in a namespace of Temporal of their own (docs/connecting.md)."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from bridge.settings import temporal_settings
from tests.integration.namespaces.conftest import TEAM, RecordingCalls, TwoNamespaces
from tests.support.fake_sdk import CallFailed, Delivered, FakeSdk
from tests.support.handlers import Failing, Gate
from tests.support.running_bridge import (
    RunningBridge,
    bridge_config,
    deliveries,
    ended,
    events,
    running_bridge,
    write_config,
)
from tests.support.temporal_server import free_port, temporal_server
from tests.support.waiting import eventually
from workflows.contract import Pace
from workflows.names import task_queue

pytestmark = pytest.mark.integration


async def answer(call: Delivered) -> dict[str, Any]:
    return {"got": call.data}


async def bind(
    sdk: FakeSdk, kind: str, function_id: str, config: dict[str, Any], namespace: str = "default"
) -> None:
    """Register a trigger, and return once it is in force."""
    trigger = {"trigger_type": kind, "function_id": function_id, "namespace": namespace, "config": config}
    await sdk.send({"type": "registertrigger", "id": f"{kind} of {namespace}", **trigger})
    await sdk.settled()


async def is_kept(two: TwoNamespaces, client: Client, receipt: str) -> bool:
    """Tell whether a namespace has the chain of a receipt, which has been accepted before."""
    query = f"WorkflowId = '{two.chain(receipt).id}'"
    return (await client.count_workflows(query)).count > 0


async def kept_in(two: TwoNamespaces, receipt: str) -> list[str]:
    """Name the namespaces of Temporal that have the chain of a receipt."""

    async def found() -> list[str]:
        clients = (two.bridge.client, two.team)
        return [each.namespace for each in clients if await is_kept(two, each, receipt)]

    return await eventually(found)


async def test_a_message_is_kept_where_the_namespace_of_its_function_is_mapped_to(two: TwoNamespaces) -> None:
    validate, local = RecordingCalls(), RecordingCalls()
    await two.orders.offer(validate=validate)
    await two.here.offer(validate=local)

    theirs = await two.here.enqueue("validate", {"order": 1}, "jobs", namespace="orders")
    ours = await two.here.enqueue("validate", {"order": 2}, "jobs")
    await eventually(lambda: len(validate.calls) == len(local.calls) == 1)

    assert await kept_in(two, theirs) == [TEAM]
    assert await kept_in(two, ours) == ["default"]
    assert [call.data for call in validate.calls] == [{"order": 1}]
    assert validate.calls[0].durable["namespace"] == TEAM
    assert local.calls[0].durable["namespace"] == "default"


async def test_what_a_handler_enqueues_for_the_same_namespace_is_a_step_of_its_chain(
    two: TwoNamespaces,
) -> None:
    async def validate(call: Delivered) -> None:
        await call.enqueue("refund", {}, "jobs", namespace="refunds")

    refunds = await two.bridge.connect("refunds")
    await two.orders.offer(validate=validate)
    await refunds.offer(refund=answer)
    receipt = await two.here.enqueue("validate", {}, "jobs", namespace="orders")

    await ended(two.chain(receipt))
    assert deliveries(await events(two.chain(receipt))) == ["validate", "refund"]


async def test_what_a_handler_enqueues_for_another_namespace_is_a_chain_there_and_sent_once_over_retries(
    two: TwoNamespaces,
) -> None:
    receipts: list[str] = []
    audit = RecordingCalls()

    async def validate(call: Delivered) -> None:
        receipts.append(await call.enqueue("audit", {"about": 1}, "jobs"))
        if call.durable["attempt"] == 1:
            raise RuntimeError("not yet")

    await two.orders.offer(validate=validate)
    await two.here.offer(audit=audit)
    first = await two.here.enqueue("validate", {}, "jobs", namespace="orders")
    await ended(two.chain(first))

    assert len(receipts) == 2
    assert len(set(receipts)) == 1
    await eventually(lambda: audit.calls)
    assert await kept_in(two, receipts[0]) == ["default"]
    assert audit.calls[0].durable["chain_id"] == first
    await ended(two.bridge.chain(receipts[0]))
    assert len(audit.calls) == 1


@pytest.mark.parametrize("namespace", ["orders", "default"])
async def test_a_handler_that_goes_on_after_its_attempt_asks_the_chain_wherever_that_is(
    two: TwoNamespaces, namespace: str
) -> None:
    attempts: list[Delivered] = []
    audit = RecordingCalls()

    async def validate(call: Delivered) -> None:
        attempts.append(call)
        if len(attempts) == 1:
            raise RuntimeError("given up")
        await call.enqueue("audit", {}, "jobs", namespace=namespace)

    await two.orders.offer(validate=validate, audit=audit)
    await two.here.offer(audit=audit)
    receipt = await two.here.enqueue("validate", {}, "jobs", namespace="orders")
    await ended(two.chain(receipt))
    await eventually(lambda: audit.calls)
    late = await attempts[0].enqueue("audit", {}, "jobs", namespace=namespace)

    assert late == audit.calls[0].durable["receipt"]
    other = await attempts[0].enqueue("audit", {"n": 2}, "jobs", namespace=namespace)
    await eventually(lambda: len(audit.calls) == 2)
    assert [call.durable["receipt"] for call in audit.calls] == [late, other]


async def test_groups_of_a_fifo_queue_keep_their_order_in_each_namespace(two: TwoNamespaces) -> None:
    theirs, ours = RecordingCalls(), RecordingCalls()
    await two.orders.offer(job=theirs)
    await two.here.offer(job=ours)
    for n in range(5):
        await two.here.enqueue("job", {"group": "g", "n": n}, "lines", namespace="orders")
        await two.here.enqueue("job", {"group": "g", "n": n}, "lines")
    await eventually(lambda: len(theirs.calls) == len(ours.calls) == 5)
    assert theirs.of("n") == ours.of("n") == [0, 1, 2, 3, 4]


async def test_dead_letters_of_every_namespace_are_listed_counted_and_decided_together(
    two: TwoNamespaces,
) -> None:
    await two.orders.offer(job=Failing())
    await two.here.offer(job=Failing())
    theirs = await two.here.enqueue("job", {"n": 1}, "fragile", namespace="orders")
    await ended(two.chain(theirs))
    ours = await two.here.enqueue("job", {"n": 2}, "fragile")
    found = await two.bridge.dead_letters("fragile", 2)
    assert [each["payload"]["n"] for each in found] == [2, 1]
    assert (await two.here.trigger("engine::queue::topic_stats", {"topic": "fragile"}))["dlq_depth"] == 2
    page = {"topic": "fragile", "offset": 1, "limit": 1, "details": True}
    (second,) = await two.here.trigger("engine::queue::dlq_messages", page)
    assert second["receipt"] == theirs
    assert f"/namespaces/{TEAM}/" in second["web_url"]
    assert f"/namespaces/{TEAM}/" in second["dead_letter_url"]

    counted = await two.here.trigger("iii::queue::redrive", {"queue": "fragile", "dry_run": True})
    assert counted["matched"] == 2
    repaired = RecordingCalls()
    await two.orders.offer(job=repaired)
    one = {"queue": "fragile", "message_id": theirs}
    assert (await two.here.trigger("iii::queue::redrive_message", one))["redriven"] == 1
    await eventually(lambda: repaired.of("n") == [1])
    await two.bridge.dead_letters("fragile", 1)
    gone = {"queue": "fragile", "message_id": ours}
    assert (await two.here.trigger("iii::queue::discard_message", gone))["redriven"] == 1
    await two.bridge.has_no_dead_letters("fragile")


async def test_a_bulk_operation_settles_every_namespace_and_its_counts_add_up(two: TwoNamespaces) -> None:
    await two.orders.offer(job=Failing())
    await two.here.offer(job=Failing())
    for n in range(3):
        await two.here.enqueue("job", {"n": n}, "fragile", namespace="orders")
    for n in range(2):
        await two.here.enqueue("job", {"n": n}, "fragile")
    await two.bridge.dead_letters("fragile", 5)

    limited = await two.here.trigger(
        "iii::queue::discard", {"queue": "fragile", "limit": 4, "rate_per_s": 50}
    )
    assert (limited["discarded"], limited["matched"]) == (4, 4)
    seen = await two.here.trigger("iii::queue::operation", {"operation_id": limited["operation_id"]})
    assert (seen["status"], seen["discarded"], seen["failed"]) == ("done", 4, 0)
    await two.bridge.dead_letters("fragile", 1)
    assert await two.here.trigger("iii::queue::discard", {"queue": "fragile"}) == {
        "queue": "fragile",
        "discarded": 1,
    }


async def test_chains_are_found_listed_and_cancelled_in_whichever_namespace_they_are(
    two: TwoNamespaces,
) -> None:
    gate = Gate()
    await two.orders.offer(job=gate)
    await two.here.offer(job=answer)
    theirs = await two.here.enqueue("job", {"n": 1}, "jobs", namespace="orders")
    ours = await two.here.enqueue("job", {"n": 2}, "jobs")

    result = await two.here.trigger("chain::result", {"receipt": ours, "timeout_ms": 15_000})
    assert result["result"] == {"got": {"n": 2}}
    view = await two.here.trigger("chain::get", {"receipt": theirs})
    assert (view["chain"]["namespace"], view["chain"]["status"]) == (TEAM, "running")

    async def listed() -> dict[str, str] | None:
        rows: dict[str, str] = {}
        cursor = None
        while True:
            page = await two.here.trigger(
                "chain::list", {"limit": 1, **({"cursor": cursor} if cursor else {})}
            )
            rows |= {row["chain_id"]: row["namespace"] for row in page["chains"]}
            if (cursor := page["next"]) is None:
                return rows if len(rows) == 2 else None

    assert await eventually(listed) == {theirs: TEAM, ours: "default"}
    assert (await two.here.trigger("chain::cancel", {"receipt": theirs}))["cancelled"] is True
    gate.open()
    await ended(two.chain(theirs))
    assert (await two.here.trigger("chain::cancel", {"receipt": ours}))["cancelled"] is False
    with pytest.raises(CallFailed, match="not one that chain::list has given"):
        await two.here.trigger("chain::list", {"cursor": "7.abc"})


async def test_a_chain_of_another_namespace_hears_of_an_event(two: TwoNamespaces) -> None:
    approved = RecordingCalls()
    waiting: list[str] = []

    async def ask(call: Delivered) -> None:
        held = await call.trigger(
            "chain::wait_for_event",
            {
                "event": "approved",
                "on_event": {"function_id": "go-on", "queue": "jobs", "namespace": "orders"},
            },
        )
        waiting.append(held["receipt"])

    await two.orders.register({"ask": ask, "go-on": approved})
    receipt = await two.here.enqueue("ask", {}, "jobs", namespace="orders")
    await eventually(lambda: waiting)
    sent = await two.here.trigger(
        "chain::send_event", {"receipt": receipt, "event": "approved", "data": {"by": "me"}}
    )
    assert sent["delivered"] is True
    await eventually(lambda: approved.calls)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(lane_check_ms=200, longest_check_ms=400)
    monkeypatch.setattr(
        "bridge.app.temporal_settings", lambda block: replace(temporal_settings(block), pace=pace)
    )


@pytest.mark.usefixtures("impatient")
async def test_a_join_waits_for_messages_of_another_namespace(two: TwoNamespaces) -> None:
    joined = RecordingCalls()

    async def fan_out(call: Delivered) -> None:
        receipts = [
            await call.enqueue("part", {"n": 1}, "jobs", namespace="orders"),
            await call.enqueue("part", {"n": 2}, "jobs"),
        ]
        await call.trigger("chain::join", {"receipts": receipts, "function_id": "joined", "queue": "jobs"})

    await two.orders.offer(part=answer)
    await two.here.register({"fan-out": fan_out, "part": answer, "joined": joined})
    await two.here.enqueue("fan-out", {}, "jobs")
    (call,) = await eventually(lambda: joined.calls)
    assert [each["result"] for each in call.data["results"]] == [{"got": {"n": 1}}, {"got": {"n": 2}}]


async def test_a_topic_subscriber_gets_its_copy_where_its_namespace_is_kept(two: TwoNamespaces) -> None:
    theirs, ours = RecordingCalls(), RecordingCalls()
    await two.orders.offer(notice=theirs)
    await two.here.offer(notice=ours)
    for sdk, namespace in ((two.orders, "orders"), (two.here, "default")):
        await bind(sdk, "durable:subscriber", "notice", {"topic": "news"}, namespace=namespace)
    await two.here.trigger("iii::durable::publish", {"topic": "news", "data": {"n": 1}})
    await eventually(lambda: len(theirs.calls) == len(ours.calls) == 1)
    assert theirs.calls[0].durable["namespace"] == TEAM
    assert ours.calls[0].durable["namespace"] == "default"


async def test_the_schedule_of_a_cron_trigger_is_where_its_namespace_is_kept(two: TwoNamespaces) -> None:
    ticked = RecordingCalls()
    await two.orders.offer(tick=ticked)
    await bind(two.orders, "cron", "tick", {"expression": "* * * * * *"}, namespace="orders")
    await eventually(lambda: ticked.calls, 20)

    async def schedules(client: Client) -> list[str]:
        found = await client.list_schedules()
        return [each.id async for each in found if each.id.startswith(two.bridge.prefix)]

    await eventually(lambda: schedules(two.team))
    assert await schedules(two.bridge.client) == []


async def test_events_of_chains_in_another_namespace_are_told(two: TwoNamespaces) -> None:
    told = RecordingCalls()
    await two.here.offer(told=told)
    await bind(two.here, "chain", "told", {"events": ["chain:complete"]})
    await two.orders.offer(job=answer)

    async def heard() -> bool:
        receipt = await two.here.enqueue("job", {}, "jobs", namespace="orders")
        await ended(two.chain(receipt))
        return bool(told.calls)

    await eventually(heard)
    assert set(told.of("event")) == {"chain:complete"}


@workflow.defn(name="Fulfil")
class Fulfil:
    """A workflow of the team that calls a function of iii."""

    @workflow.run
    async def run(self, queue: str) -> Any:
        return await workflow.execute_activity(
            "ship", {"n": 1}, task_queue=queue, start_to_close_timeout=timedelta(seconds=20)
        )


async def test_a_workflow_calls_functions_of_the_iii_namespaces_that_its_own_namespace_keeps(
    two: TwoNamespaces,
) -> None:
    async def wrong(_: Delivered) -> str:
        return "of the default namespace"

    await two.orders.offer(ship=answer)
    await two.here.offer(ship=wrong)
    async with Worker(
        two.team, task_queue="fulfilment", workflows=[Fulfil], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        result = await two.team.execute_workflow(
            "Fulfil",
            task_queue(two.bridge.tenancy),
            id=f"{two.bridge.prefix}-fulfil",
            task_queue="fulfilment",
        )
    assert result == {"got": {"n": 1}}


@pytest.fixture
async def with_a_server_of_its_own(
    temporal_address: str, prefix: str, tmp_path: Path, queues: dict[str, Any]
) -> Any:
    """A bridge whose `orders` are kept on a server that does not run yet, and the port of that server."""
    port = free_port()
    mapped = [{"namespace": "default", "iii": ["orders"], "address": f"127.0.0.1:{port}"}]
    config = bridge_config(temporal_address, prefix, queues, namespaces=mapped, enqueue_timeout_ms=2000)
    async with AsyncExitStack() as exits:
        client = await Client.connect(temporal_address)
        path = write_config(tmp_path, config)
        bridge = await exits.enter_async_context(running_bridge(path, client, prefix, awaits_temporal=False))
        yield bridge, port


async def test_a_server_that_is_away_stops_only_what_it_keeps(
    with_a_server_of_its_own: tuple[RunningBridge, int],
) -> None:
    bridge, port = with_a_server_of_its_own
    here, orders = await bridge.connect(), await bridge.connect("orders")
    ours, theirs = RecordingCalls(), RecordingCalls()
    await here.offer(job=ours)
    await orders.offer(job=theirs)

    async def accepted() -> bool:
        try:
            return bool(await here.enqueue("job", {}, "jobs"))
        except CallFailed:
            return False  # the bridge has only begun

    await eventually(accepted)
    await eventually(lambda: ours.calls)
    with pytest.raises(CallFailed, match=f"127.0.0.1:{port}") as refused:
        await here.enqueue("job", {}, "jobs", namespace="orders")
    assert refused.value.code == "enqueue_error"
    async with httpx.AsyncClient() as http:
        ready = await http.get(f"{bridge.addresses.admin}/readyz")
    assert ready.status_code == 503
    assert f"127.0.0.1:{port}/default" in ready.text
    async with temporal_server(port):
        async with asyncio.timeout(30):
            await bridge.bridge.ready
        await here.enqueue("job", {"n": 1}, "jobs", namespace="orders")
        await eventually(lambda: theirs.of("n") == [1])
        await bridge.stop()
