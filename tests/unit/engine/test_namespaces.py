"""Where registrations go, and who may make them (spec 01 §3.2, §3.3, §3.5, §3.6)."""

import pytest

from tests.unit.engine.peers import Bridge, uuid

CALL = uuid(7)


async def test_registrations_wait_for_the_namespace_and_keep_their_order(namespaced):
    worker = namespaced.connect_greeted()
    worker.say("registerfunction", id="f", description="first")
    worker.say("registerfunction", id="f", description="second")
    worker.say("registerfunction", id="g")
    worker.say("unregisterfunction", id="g")
    functions = namespaced.engine.functions

    assert functions.find("f") is None
    await worker.introduce(namespace="orders")
    function = functions.find("f", "orders")
    assert function is not None
    assert function.schema.description == "second"
    assert functions.namespaces_of("f") == ["orders"]
    assert functions.namespaces_of("g") == []


async def test_without_a_declared_namespace_registrations_go_to_default(namespaced):
    worker = namespaced.connect_greeted()
    worker.say("registerfunction", id="f")
    await worker.introduce(namespace=None)

    assert namespaced.engine.functions.namespaces_of("f") == ["default"]


async def test_after_the_grace_registrations_go_to_default_for_good(namespaced):
    worker = namespaced.connect_greeted()
    worker.say("registerfunction", id="f")
    worker.end_grace()
    await worker.introduce(namespace="orders")
    worker.say("registerfunction", id="g")

    assert namespaced.engine.functions.namespaces_of("f") == ["default"]
    assert namespaced.engine.functions.namespaces_of("g") == ["default"]
    assert worker.worker.namespace == "default"


async def test_the_grace_ends_nothing_once_the_namespace_is_settled(namespaced):
    worker = namespaced.connect_greeted()
    await worker.introduce(namespace="orders")
    worker.end_grace()

    assert worker.worker.namespace == "orders"


async def test_a_blank_namespace_settles_nothing(namespaced):
    worker = namespaced.connect_greeted()
    worker.say("registerfunction", id="f")

    answer = await worker.call("engine::workers::register", {"namespace": "  ", "name": "n"})

    assert answer["error"]["code"] == "INVALID_NAMESPACE"
    assert namespaced.engine.functions.find("f") is None
    assert worker.worker.info.name is None


async def test_a_namespace_is_settled_once(namespaced):
    worker = namespaced.connect_greeted()
    await worker.introduce(namespace="orders")
    await worker.introduce(namespace="other")
    worker.say("registerfunction", id="f")

    assert namespaced.engine.functions.namespaces_of("f") == ["orders"]


async def test_pings_and_calls_do_not_wait_for_the_namespace(namespaced):
    provider, worker = namespaced.connect_greeted(), namespaced.connect_greeted()
    await provider.introduce()
    provider.say("registerfunction", id="f")
    worker.say("ping")
    worker.say("invokefunction", function_id="f")

    assert worker.take() == [{"type": "pong"}]
    assert provider.take("invokefunction")


async def test_a_call_of_a_function_that_waits_waits_with_it(namespaced):
    worker = namespaced.connect_greeted()
    worker.say("registerfunction", id="f")
    worker.say("invokefunction", function_id="f", invocation_id=CALL, data=1)
    assert worker.take() == []
    await worker.introduce()

    assert worker.take_one("invokefunction")["data"] == 1


async def test_an_engine_without_namespaces_does_not_make_anybody_wait(bridge):
    worker = bridge.connect_greeted()
    worker.say("registerfunction", id="f")

    assert bridge.engine.functions.namespaces_of("f") == ["default"]


async def test_a_worker_that_left_registers_nothing_afterwards(namespaced):
    worker = namespaced.connect_greeted()
    worker.say("registerfunction", id="f")
    worker.leave()
    worker.end_grace()

    assert namespaced.engine.functions.namespaces_of("f") == []


async def test_a_call_looks_in_its_namespace_only(namespaced):
    provider, caller = namespaced.connect_greeted(), namespaced.connect_greeted()
    await provider.introduce(namespace="orders")
    await caller.introduce(namespace="orders")
    provider.say("registerfunction", id="f")
    caller.say("invokefunction", function_id="f", invocation_id=CALL)
    caller.say("invokefunction", function_id="f", namespace="orders", data=2)

    error = caller.take_one("invocationresult")["error"]
    assert error["code"] == "function_not_found"
    assert "orders" in error["message"]
    assert provider.take_one("invokefunction")["data"] == 2


async def test_the_same_function_in_two_namespaces_is_two_functions(namespaced):
    here, there = namespaced.connect_greeted(), namespaced.connect_greeted()
    await here.introduce()
    await there.introduce(namespace="orders")
    for worker in (here, there):
        worker.say("registerfunction", id="f")
    here.say("invokefunction", function_id="f", namespace="orders")
    here.say("invokefunction", function_id="f")

    assert len(here.take("invokefunction")) == len(there.take("invokefunction")) == 1


async def test_engine_functions_belong_to_the_default_namespace(namespaced):
    worker = namespaced.connect_greeted()
    await worker.introduce(namespace="orders")
    worker.say("registerfunction", id="engine::mine")

    assert worker.take() == [
        {
            "type": "registrationrejected",
            "code": "FUNCTION_NAMESPACE_CONFLICT",
            "namespace": "orders",
            "owner_worker_id": "",
            "function_id": "engine::mine",
        }
    ]


async def test_a_second_provider_is_refused_where_that_is_the_policy():
    bridge = Bridge("reject", has_namespaces=True)
    owner, newcomer = bridge.connect_greeted(), bridge.connect_greeted()
    for worker in (owner, newcomer):
        await worker.introduce()
        worker.say("registerfunction", id="f")

    assert newcomer.take() == [
        {
            "type": "registrationrejected",
            "code": "FUNCTION_NAMESPACE_CONFLICT",
            "namespace": "default",
            "owner_worker_id": owner.id,
            "function_id": "f",
        }
    ]
    newcomer.say("invokefunction", function_id="f")
    assert owner.take("invokefunction")
    owner.leave()
    newcomer.say("registerfunction", id="f")
    assert bridge.engine.has_provider("f")


async def test_an_sdk_too_old_to_be_refused_takes_the_function_over():
    bridge = Bridge("reject", has_namespaces=True)
    owner, newcomer = bridge.connect_greeted(), bridge.connect_greeted()
    await owner.introduce(version="0.25.0")
    await newcomer.introduce(version="0.22.1")
    for worker in (owner, newcomer):
        worker.say("registerfunction", id="f")
    owner.say("invokefunction", function_id="f")

    assert newcomer.take_one("invokefunction")
    newcomer.leave()
    assert not bridge.engine.has_provider("f")


async def test_the_last_provider_wins_where_that_is_the_policy():
    bridge = Bridge("last-wins", has_namespaces=True)
    first, second = bridge.connect_greeted(), bridge.connect_greeted()
    for worker in (first, second):
        await worker.introduce()
        worker.say("registerfunction", id="f")
    first.say("invokefunction", function_id="f")
    first.leave()

    assert second.take_one("invokefunction")
    assert bridge.engine.has_provider("f")


async def test_a_worker_whose_name_is_taken_is_turned_away_where_that_is_the_policy():
    bridge = Bridge("reject", has_namespaces=True)
    owner, newcomer = bridge.connect_greeted(), bridge.connect_greeted()
    await owner.introduce(name="billing")
    newcomer.say("registerfunction", id="f")
    await newcomer.introduce(name="billing")

    assert newcomer.take() == [
        {
            "type": "registrationrejected",
            "code": "WORKER_NAMESPACE_CONFLICT",
            "namespace": "default",
            "owner_worker_id": owner.id,
            "worker_name": "billing",
        }
    ]
    assert newcomer.was_closed
    assert not bridge.engine.has_provider("f")
    assert list(bridge.engine.workers) == [owner.id]

    owner.leave()
    heir = bridge.connect_greeted()
    await heir.introduce(name="billing")
    assert heir.take() == []


@pytest.mark.parametrize(
    ("policy", "version", "namespace"),
    [("balance", "0.25.0", None), ("reject", "0.22.1", None), ("reject", "0.25.0", "other")],
)
async def test_equal_names_coexist_otherwise(policy, version, namespace):
    bridge = Bridge(policy, has_namespaces=True)
    owner, newcomer = bridge.connect_greeted(), bridge.connect_greeted()
    await owner.introduce(name="billing")
    await newcomer.introduce(name="billing", version=version, namespace=namespace)

    assert newcomer.take() == []
    assert set(bridge.engine.workers) == {owner.id, newcomer.id}


async def test_a_workers_function_covers_a_built_in_one_while_the_worker_stays(namespaced):
    worker, caller = namespaced.connect_greeted(), namespaced.connect_greeted()
    await worker.introduce()
    worker.say("registerfunction", id="engine::workers::list")
    caller.say("invokefunction", function_id="engine::workers::list")
    assert worker.take_one("invokefunction")
    worker.leave()

    assert "workers" in (await caller.call("engine::workers::list"))["result"]
