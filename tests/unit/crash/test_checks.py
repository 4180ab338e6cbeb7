"""The checks of the crash test notice what they are there for."""

import dataclasses

import pytest

from tests.crash.checks import (
    began_apart,
    compensated_wrongly,
    ended_otherwise_than_planned,
    entered_out_of_order,
    overlapping_in_their_group,
    ran_again,
    unsettled,
)
from tests.crash.evidence import ChainSeen, DeliverySeen, Evidence
from tests.crash.journal import Kind, Line
from tests.crash.load import Sent
from tests.crash.plan import ENTRY, FIRST, STEPS, Plan
from workflows.contract import StepRecord, StepStatus

PLAN = Plan(seed=1)


def sent(receipt: str, function_id: str = FIRST, *, order: int = 0, place: int = 0, tries: int = 1) -> Sent:
    return Sent(receipt, function_id, order, "ada", place, tries)


def delivered(
    receipt: str, function_id: str = FIRST, *, span: tuple[float, float] = (1, 2), **more: object
) -> DeliverySeen:
    """A delivery that completed."""
    began_s, ended_s = span
    seen = DeliverySeen("crash.chain/a", receipt, function_id, began_s, completed_s=ended_s, closed_s=ended_s)
    return dataclasses.replace(seen, **more)


def step(
    receipt: str,
    function_id: str = FIRST,
    status: StepStatus = StepStatus.COMPLETED,
    *,
    compensates: str | None = None,
) -> StepRecord:
    return StepRecord(receipt, function_id, "orders", status, compensates=compensates)


def line(kind: Kind, receipt: str, at_s: float = 1) -> Line:
    return Line(kind, at_s, receipt, FIRST, 1)


def chain(*steps: StepRecord, is_undone: bool = False, is_open: bool = False) -> ChainSeen:
    return ChainSeen("crash.chain/a", steps, is_undone, is_open)


def test_what_completed_or_is_dead_or_was_dropped_is_settled() -> None:
    evidence = Evidence(
        sent=[sent("a"), sent("b")],
        lines=[line(Kind.ENQUEUED, "c")],
        deliveries=[delivered("a")],
        chains=[chain(step("a"), step("c", status=StepStatus.DROPPED))],
        dead_letters=frozenset({"b"}),
    )
    assert unsettled(evidence) == []


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(sent=[sent("a")]),
        Evidence(lines=[line(Kind.ENQUEUED, "a")]),
        Evidence(deliveries=[delivered("a", completed_s=None)]),
        Evidence(deliveries=[delivered("a")], dead_letters=frozenset({"a"})),
        Evidence(deliveries=[delivered("a")], chains=[chain(step("a", status=StepStatus.RUNNING))]),
        Evidence(deliveries=[delivered("a")], chains=[chain(step("a"), is_open=True)]),
        Evidence(open_lanes=["crash.fifo/ledger/a"]),
    ],
    ids=["lost", "lost by a handler", "broken off", "dead too", "still running", "open chain", "open lane"],
)
def test_a_message_without_an_end_or_with_two_is_noticed(evidence: Evidence) -> None:
    (fault,) = unsettled(evidence)
    assert "a" in fault


@pytest.mark.parametrize(("second_s", "faults"), [(3, 0), (1, 1)])
def test_entries_that_complete_out_of_order_are_noticed(second_s: float, faults: int) -> None:
    evidence = Evidence(
        sent=[sent("b", ENTRY, place=2), sent("a", ENTRY, place=1)],
        deliveries=[delivered("a", ENTRY), delivered("b", ENTRY, span=(1, second_s))],
    )
    assert len(entered_out_of_order(evidence)) == faults


@pytest.mark.parametrize(("second", "faults"), [((4, 5), 0), ((3, 5), 1)])
def test_a_turn_that_begins_before_the_one_before_has_ended_is_noticed(
    second: tuple[float, float], faults: int
) -> None:
    # The first one failed in its lane and went on in a chain: one turn from 1 to 4.
    moved = [delivered("a", group="g", completed_s=None), delivered("a", group="g", span=(3, 4))]
    evidence = Evidence(deliveries=[*moved, delivered("b", group="g", span=second), delivered("c")])
    assert len(overlapping_in_their_group(evidence)) == faults


@pytest.mark.parametrize(("begun_s", "faults"), [(1.5, 0), (2.5, 1)])
def test_an_attempt_that_begins_after_the_completion_was_recorded_is_noticed(
    begun_s: float, faults: int
) -> None:
    evidence = Evidence(lines=[line(Kind.BEGUN, "a", begun_s)], deliveries=[delivered("a")])
    assert len(ran_again(evidence)) == faults


def test_a_second_completion_is_noticed() -> None:
    assert len(ran_again(Evidence(deliveries=[delivered("a"), delivered("a", span=(3, 4))]))) == 1


def undone(
    *compensations: StepRecord,
    second: StepStatus = StepStatus.LOST,
    ran: tuple[str, ...] = ("u",),
    is_undone: bool = True,
) -> Evidence:
    """A chain whose first step completed and whose second one ended somehow."""
    return Evidence(
        lines=[line(Kind.DONE, receipt) for receipt in ran],
        chains=[chain(step("a"), step("b", "order::pack", second), *compensations, is_undone=is_undone)],
    )


def test_one_compensation_for_each_step_that_has_one_is_right() -> None:
    assert compensated_wrongly(undone(step("u", "undo::begin", compensates="a"))) == []


@pytest.mark.parametrize(
    "evidence",
    [
        undone(),
        undone(step("u", "undo::begin", StepStatus.LOST, compensates="a")),
        undone(step("u", "undo::begin", compensates="a"), step("u", "undo::begin", compensates="a")),
        undone(step("u", "undo::pick", compensates="a")),
        undone(step("u", "undo::begin", compensates="a"), ran=()),
        undone(step("u", "undo::begin", compensates="a"), step("u", "undo::begin", compensates="b")),
        undone(step("u", "undo::begin", compensates="a"), second=StepStatus.COMPLETED, is_undone=False),
        undone(is_undone=False),
    ],
    ids=[
        "missing",
        "lost",
        "repeated",
        "the wrong one",
        "never ran",
        "of a lost step",
        "nothing to undo",
        "not begun",
    ],
)
def test_a_compensation_that_is_missing_or_too_much_is_noticed(evidence: Evidence) -> None:
    assert len(compensated_wrongly(evidence)) == 1


def an_order(*, doomed: bool) -> int:
    return next(number for number in range(100) if bool(PLAN.order(number).doomed) is doomed)


def ran(order: int, *functions: str, lost: tuple[str, ...] = (), tries: int = 1) -> Evidence:
    steps = [step(f"{n}", function_id) for n, function_id in enumerate(functions)]
    steps += [step("lost", function_id, StepStatus.LOST) for function_id in lost]
    return Evidence(
        sent=[sent("a", order=order, tries=tries)],
        deliveries=[delivered("a", data={"order": order})],
        chains=[chain(*steps)],
    )


def test_an_order_that_did_everything_ended_as_planned() -> None:
    assert ended_otherwise_than_planned(ran(an_order(doomed=False), *STEPS.values()), PLAN) == []


def test_an_order_that_lost_its_doomed_step_ended_as_planned() -> None:
    order = an_order(doomed=True)
    lost = STEPS[PLAN.order(order).doomed or ""]
    assert ended_otherwise_than_planned(ran(order, lost=(lost,)), PLAN) == []


def test_an_order_with_a_step_left_out_or_lost_is_noticed() -> None:
    order = an_order(doomed=False)
    assert len(ended_otherwise_than_planned(ran(order, FIRST), PLAN)) == 1
    assert len(ended_otherwise_than_planned(ran(order, *STEPS.values(), lost=(FIRST,)), PLAN)) == 1
    assert len(ended_otherwise_than_planned(ran(an_order(doomed=True), *STEPS.values()), PLAN)) == 1


@pytest.mark.parametrize(("tries", "faults"), [(1, 1), (2, 0)])
def test_an_order_that_ran_more_often_than_it_was_enqueued_is_noticed(tries: int, faults: int) -> None:
    order = an_order(doomed=False)
    once = ran(order, *STEPS.values(), tries=tries)
    twin = delivered("b", workflow_id="crash.chain/b", data={"order": order})
    everything = tuple(step(f"{n}", function_id) for n, function_id in enumerate(STEPS.values()))
    evidence = dataclasses.replace(
        once,
        deliveries=[*once.deliveries, twin],
        chains=[*once.chains, ChainSeen("crash.chain/b", everything)],
    )
    assert len(ended_otherwise_than_planned(evidence, PLAN)) == faults


def test_an_acknowledged_order_that_never_ran_is_noticed() -> None:
    assert len(ended_otherwise_than_planned(Evidence(sent=[sent("a")]), PLAN)) == 1


def test_the_same_seed_makes_the_same_plan_and_another_one_another() -> None:
    def orders(seed: int) -> list[object]:
        return [Plan(seed).order(number) for number in range(20)]

    assert orders(1) == orders(1) != orders(2)


def test_a_step_that_began_a_chain_of_its_own_is_noticed() -> None:
    assert began_apart(Evidence(deliveries=[delivered("a"), delivered("b", STEPS["pack"])])) == []
    (fault,) = began_apart(Evidence(deliveries=[delivered("a", STEPS["pack"])]))
    assert "order::pack" in fault
