"""A handler that its bridge knows no longer: the seal that it was given says which job its calls are of."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.calls import Call, Job
from bridge.engine.handed_jobs import HandedJobs
from bridge.engine.job_seal import JobSeal
from bridge.engine.tracing import BAGGAGE_KEY, SEAL_KEY, baggage_without_tags
from bridge.protocol import payload
from tests.unit.engine.peers import Bridge, Peer, uuid

KEY = b"k" * 32
PYTHON = "Python/3.11 websockets/15.0"
uuids = st.uuids().map(str)


def job(**extra: object) -> Job:
    facts = {"chain_id": uuid(1), "home": uuid(2), "workflow_id": f"iii.chain/{uuid(2)}", "receipt": uuid(3)}
    return Job(**{**facts, "delivery_id": uuid(4), **extra})


def bridge() -> Bridge:
    started = Bridge()
    started.engine.handed_jobs.use_key("", KEY)
    return started


def worker_of(bridge: Bridge, user_agent: str | None = None) -> Peer:
    worker = bridge.connect(user_agent)
    worker.say("registerfunction", id="f")
    worker.end_grace()
    worker.take()
    return worker


def shown_after(asked: dict, user_agent: str | None) -> dict:
    """Return what an SDK says of a call that the handler of a call makes."""
    if user_agent is None:
        return {"baggage": asked["baggage"]}
    return {
        "caller": {"function_id": "f", "invocation_id": asked["invocation_id"], "parent": asked["caller"]}
    }


def nested_job(worker: Peer, shown: dict) -> Job | None:
    """Have a worker call itself, and return the job of that call."""
    before = set(worker.worker.executing)
    worker.say("invokefunction", function_id="f", **shown)
    (nested,) = worker.worker.executing.keys() - before
    return worker.worker.executing[nested].job


@pytest.mark.parametrize("user_agent", [None, PYTHON])
def test_a_late_call_belongs_to_the_job_on_the_bridge_that_gave_it_up(user_agent):
    here, given_up = bridge(), job()
    worker = worker_of(here, user_agent)
    here.engine.start(Call("f", payload.NULL, job=given_up), lambda _: None)
    asked = worker.take_one("invokefunction")
    worker.worker.executing.clear()

    assert nested_job(worker, shown_after(asked, user_agent)) is given_up


@pytest.mark.parametrize("user_agent", [None, PYTHON])
def test_a_late_call_belongs_to_an_equal_job_on_another_bridge(user_agent):
    here, there, given_up = bridge(), bridge(), job(restarts=2, is_unwatched=True)
    worker = worker_of(here, user_agent)
    here.engine.start(Call("f", payload.NULL, job=given_up), lambda _: None)
    shown = shown_after(worker.take_one("invokefunction"), user_agent)

    reconnected = worker_of(there, user_agent)
    found = nested_job(reconnected, shown)
    assert found is not None
    names = ("chain_id", "home", "workflow_id", "receipt", "delivery_id", "restarts", "is_unwatched")
    assert [getattr(found, name) for name in names] == [getattr(given_up, name) for name in names]
    assert found.is_doubtful
    assert nested_job(reconnected, shown) is found


def test_calls_that_wait_for_no_registration_are_late_calls_of_the_functions_that_are_registered():
    here, there = bridge(), bridge()
    worker = worker_of(here)
    here.engine.start(Call("f", payload.NULL, job=job()), lambda _: None)
    shown = shown_after(worker.take_one("invokefunction"), None)

    listener = worker_of(there)
    listener.say("registerfunction", id="other")
    reconnected = there.connect()
    reconnected.say("registerfunction", id="f")  # held until the namespace is known
    reconnected.say("invokefunction", function_id="other", **shown)
    (call,) = listener.worker.executing.values()
    assert call.job is not None


@pytest.mark.parametrize("user_agent", [None, PYTHON])
def test_what_a_handler_is_given_names_who_has_called_it(user_agent):
    here = bridge()
    worker = worker_of(here, user_agent)
    here.engine.start(Call("f", payload.NULL, job=job()), lambda _: None)
    asked = worker.take_one("invokefunction")

    assert (SEAL_KEY in asked["baggage"]) == (user_agent is None)
    assert ("caller" in asked) == (user_agent == PYTHON)
    if user_agent == PYTHON:
        assert (asked["caller"]["worker_id"], asked["caller"]["worker_name"]) == ("iii-temporal", "iii-queue")


async def test_a_handler_of_python_hears_which_worker_has_called_it():
    here = bridge()
    outer, inner = worker_of(here), here.connect(PYTHON)
    inner.say("registerfunction", id="inner")
    await outer.introduce(name="shop")
    inner.end_grace()
    here.engine.start(Call("f", payload.NULL, job=job()), lambda _: None)
    outer.say("invokefunction", function_id="inner", baggage=outer.take_one("invokefunction")["baggage"])

    caller = inner.take_one("invokefunction")["caller"]
    assert caller["worker_id"] == outer.id


def test_calls_that_belong_to_no_job_carry_no_seal():
    here = bridge()
    for user_agent in (None, PYTHON):
        worker = worker_of(here, user_agent)
        here.engine.start(Call("f", payload.NULL, baggage=f"a=1,{SEAL_KEY}=old"), lambda _: None)
        here.engine.start(Call("f", payload.NULL, job=job(receipt=None)), lambda _: None)
        for asked in worker.take("invokefunction"):
            assert SEAL_KEY not in json.dumps(asked)
            assert "caller" not in asked
        worker.leave()


@pytest.mark.parametrize(
    "shown",
    [
        {"baggage": f"{SEAL_KEY}="},
        {"baggage": f"{SEAL_KEY}=é"},
        {"baggage": f"{SEAL_KEY}=AAAA"},
        {"baggage": f"{SEAL_KEY}={'A' * 150}"},
        {"baggage": f"{BAGGAGE_KEY}={uuid(9)},{SEAL_KEY}={JobSeal(b'another').seal(job(), 'f')}"},
        {"caller": {"invocation_id": uuid(9), "parent": {"invocation_id": "AAAA"}}},
        {"caller": {"invocation_id": uuid(9), "parent": {}}},
    ],
    ids=str,
)
def test_nobody_makes_a_seal_without_the_key(shown):
    here = bridge()

    assert nested_job(worker_of(here), shown) is None


def test_a_program_that_does_not_offer_the_function_enqueues_for_itself():
    here = bridge()
    stranger = here.connect()
    stranger.say("registerfunction", id="g")
    seal = JobSeal(KEY).seal(job(), "f")

    assert seal is not None
    assert here.engine.handed_jobs.find(seal, stranger.worker) is None


def test_without_a_key_nothing_is_sealed_and_nothing_opened():
    handed, stranger = HandedJobs(), Bridge().connect()
    seal = JobSeal(KEY).seal(job(), "f")

    assert handed.seal(job(), "f") is None
    assert seal is not None
    assert handed.find(seal, stranger.worker) is None


@given(chain_id=uuids, home=uuids, receipt=uuids, delivery_id=uuids, function_id=st.text(), lane=st.text())
def test_any_seal_is_opened_as_what_it_was(chain_id, home, receipt, delivery_id, function_id, lane):
    seal = JobSeal(KEY)
    lane = lane.replace("\0", "")
    for workflow_id in (f"iii.chain/{home}", lane):
        sealed = Job(chain_id, home, workflow_id, receipt, delivery_id, is_undoing=True)
        text = seal.seal(sealed, function_id)
        assert text is not None
        assert re.fullmatch("[A-Za-z0-9_-]+", text)  # what Node gives back as it was (spec 01 §4.7)
        opened = seal.open(text, {function_id})
        assert opened is not None
        assert (opened.chain_id, opened.home, opened.workflow_id) == (chain_id, home, workflow_id)
        assert (opened.receipt, opened.delivery_id, opened.is_undoing) == (receipt, delivery_id, True)


def test_every_keeper_has_a_key_of_its_own_and_the_seal_tells_whose_the_job_is():
    here, there, worker = HandedJobs(), HandedJobs(), Bridge().connect()
    worker.say("registerfunction", id="f")
    for keeper, key in (("a", b"1"), ("b", b"2")):
        here.use_key(keeper, key)
        there.use_key(f"{keeper} by another name", key)
    seal = here.seal(job(keeper="b"), "f")
    assert seal is not None
    found = there.find(seal, worker.worker)

    assert found is not None
    assert found.keeper == "b by another name"
    assert here.seal(job(keeper="c"), "f") is None


def test_a_seal_is_short():
    text = JobSeal(KEY).seal(job(workflow_id=f"iii.chain/{uuid(2)}"), "orders::validate")

    assert text is not None
    assert len(text) < 200


def test_only_the_latest_jobs_are_remembered():
    handed, worker = HandedJobs(), Bridge().connect()
    worker.say("registerfunction", id="f")
    handed.use_key("", KEY)
    first = job(delivery_id=uuid(10_000))
    seal = handed.seal(first, "f")
    assert seal is not None
    assert handed.find(seal, worker.worker) is first
    for number in range(2000):
        handed.seal(job(delivery_id=uuid(20_000 + number)), "f")

    assert handed.find(seal, worker.worker) is not first


def test_a_message_does_not_take_its_enqueuers_seal_along():
    assert baggage_without_tags(f"a=1,{SEAL_KEY}=text,b=2") == "a=1,b=2"
