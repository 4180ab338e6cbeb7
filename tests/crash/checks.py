"""The promises that hold whoever was killed: each check returns what breaks its promise, in words."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from tests.crash.evidence import CHAINS, ChainSeen, DeliverySeen, Evidence
from tests.crash.journal import Kind
from tests.crash.plan import COMPENSATIONS, ENTRY, FIRST, STEPS, Plan
from workflows.contract import StepStatus

__all__ = [
    "CHECKS",
    "began_apart",
    "compensated_wrongly",
    "ended_otherwise_than_planned",
    "entered_out_of_order",
    "overlapping_in_their_group",
    "ran_again",
    "unsettled",
]

FOLLOWERS = set(STEPS.values()) - {FIRST}
ALLOWED_RESTS = (StepStatus.COMPLETED, StepStatus.LOST, StepStatus.DROPPED)


def unsettled(evidence: Evidence) -> list[str]:
    """Every receipt's job completed or is in the DLQ, and not both; or its chain was undone before it ran."""
    completed = {each.receipt for each in evidence.deliveries if each.completed_s is not None}
    records = {step.receipt: step.status for chain in evidence.chains for step in chain.steps}
    dropped = {receipt for receipt, status in records.items() if status == StepStatus.DROPPED}
    given = {sent.receipt: sent.function_id for sent in evidence.sent}
    given |= {line.receipt: line.function_id for line in evidence.lines if line.kind is Kind.ENQUEUED}
    given |= {each.receipt: each.function_id for each in evidence.deliveries}
    return [
        *(
            f"{receipt} ({function_id}) is neither completed nor in the DLQ; its chain has it as "
            f"{records.get(receipt, 'unknown')}"
            for receipt, function_id in given.items()
            if receipt not in completed | evidence.dead_letters | dropped
        ),
        *(
            f"{receipt} ({given.get(receipt)}) completed and is in the DLQ"
            for receipt in sorted(completed & evidence.dead_letters)
        ),
        *(
            f"{step.receipt} ({step.function_id}) is {step.status} in {chain.workflow_id}"
            for chain in evidence.chains
            for step in chain.steps
            if step.status not in ALLOWED_RESTS
        ),
        *(f"{chain.workflow_id} has not ended" for chain in evidence.chains if chain.is_open),
        *(f"{workflow_id} has not ended" for workflow_id in evidence.open_lanes),
    ]


def entered_out_of_order(evidence: Evidence) -> list[str]:
    """The entries of a ledger complete in the order in which their receipts were given."""
    completed = {
        each.receipt: each.completed_s for each in evidence.deliveries if each.completed_s is not None
    }
    ledgers: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for sent in evidence.sent:
        if sent.function_id == ENTRY and sent.receipt in completed:
            ledgers[sent.customer].append((sent.place, completed[sent.receipt]))
    return [
        f"{customer}: entry {after} completed before entry {before}"
        for customer, entries in ledgers.items()
        for (before, before_s), (after, after_s) in pairwise(sorted(entries))
        if after_s < before_s
    ]


def overlapping_in_their_group(evidence: Evidence) -> list[str]:
    """In a FIFO group nothing begins before the one before has ended."""
    groups: dict[str, dict[str, list[DeliverySeen]]] = defaultdict(lambda: defaultdict(list))
    for each in evidence.deliveries:
        if each.group is not None:
            groups[each.group][each.receipt].append(each)
    return [
        f"{group}: {after.receipt} began before {before.receipt} had ended"
        for group, messages in groups.items()
        for before, after in pairwise(sorted(map(_Turn, messages.values()), key=lambda turn: turn.began_s))
        if after.began_s < before.ended_s
    ]


def ran_again(evidence: Evidence) -> list[str]:
    """What has completed, as far as Temporal has noted it, does not run or complete again."""
    completions: dict[str, list[float]] = defaultdict(list)
    for each in evidence.deliveries:
        if each.completed_s is not None:
            completions[each.receipt].append(each.completed_s)
    return [
        *(
            f"{line.receipt} ({line.function_id}) began attempt {line.attempt} at {line.at_s:.3f}, after its "
            f"completion at {min(completions[line.receipt]):.3f}"
            for line in evidence.lines
            if line.kind is Kind.BEGUN
            and line.receipt in completions
            and line.at_s > min(completions[line.receipt])
        ),
        *(
            f"{receipt} completed {len(times)} times"
            for receipt, times in completions.items()
            if len(times) > 1
        ),
    ]


def compensated_wrongly(evidence: Evidence) -> list[str]:
    """What a chain had completed when it lost a step is undone once, and nothing else ever is."""
    done = {line.receipt for line in evidence.lines if line.kind is Kind.DONE}
    return [fault for chain in evidence.chains for fault in _faults_of_undoing(chain, done)]


def _faults_of_undoing(chain: ChainSeen, done: set[str]) -> Iterable[str]:
    must_undo = chain.is_undone or any(step.status == StepStatus.LOST for step in chain.steps)
    owed = {
        step.receipt: step.function_id
        for step in chain.steps
        if must_undo and step.status == StepStatus.COMPLETED and step.function_id in COMPENSATIONS
    }
    undone: dict[str, list[str]] = defaultdict(list)
    for step in chain.steps:
        if step.compensates is None:
            continue
        if step.status == StepStatus.COMPLETED:
            undone[step.compensates].append(step.function_id)
            if step.receipt not in done:
                yield f"{chain.workflow_id}: {step.receipt} ({step.function_id}) completed and never ran"
    for receipt, function_id in owed.items():
        if undone[receipt] != [COMPENSATIONS[function_id]]:
            yield f"{chain.workflow_id}: {receipt} ({function_id}) was undone by {undone[receipt]}"
    for receipt in undone.keys() - owed.keys():
        yield f"{chain.workflow_id}: {receipt}, which was not to be undone, was undone by {undone[receipt]}"


def began_apart(evidence: Evidence) -> list[str]:
    """What a handler enqueues belongs to its order, even if its attempt was given up and it went on."""
    return [
        f"{each.receipt} ({each.function_id}) began a chain of its own"
        for each in evidence.deliveries
        if each.workflow_id == f"{CHAINS}{each.receipt}" and each.function_id in FOLLOWERS
    ]


def ended_otherwise_than_planned(evidence: Evidence, plan: Plan) -> list[str]:
    """An order did every step, or lost the doomed one; it ran at most as often as its driver tried."""
    roots = {each.receipt: each.data["order"] for each in evidence.deliveries if each.function_id == FIRST}
    chains = {chain.workflow_id.rpartition("/")[2]: chain for chain in evidence.chains}
    tries = {sent.order: sent.tries for sent in evidence.sent if sent.function_id == FIRST}
    counts: dict[int, int] = defaultdict(int)
    faults = []
    for receipt, order in roots.items():
        counts[order] += 1
        doomed = plan.order(order).doomed
        expected = [STEPS[doomed]] if doomed else []
        chain = chains.get(receipt)
        if chain is None:
            faults.append(f"order {order} has no chain {receipt}")
            continue
        steps = [step for step in chain.steps if step.compensates is None]
        lost = [step.function_id for step in steps if step.status == StepStatus.LOST]
        if lost != expected:
            faults.append(f"order {order} ({receipt}) lost {lost} instead of {expected}")
        completed = sorted(step.function_id for step in steps if step.status == StepStatus.COMPLETED)
        if doomed is None and completed != sorted(STEPS.values()):
            faults.append(f"order {order} ({receipt}) did {completed}")
    faults += [
        f"order {order} was enqueued {tries[order]} times and ran {counts[order]} times"
        for order in tries
        if not 1 <= counts[order] <= tries[order]
    ]
    return faults


class _Turn:
    """The time from a message's first delivery in its group to the end of its last one."""

    def __init__(self, deliveries: Sequence[DeliverySeen]) -> None:
        self.receipt = deliveries[0].receipt
        self.began_s = min(each.scheduled_s for each in deliveries)
        self.ended_s = max(each.closed_s or float("inf") for each in deliveries)


CHECKS: dict[str, Callable[[Evidence, Plan], list[str]]] = {
    "every receipt's job completed or is in the DLQ": lambda evidence, _: unsettled(evidence),
    "groups keep their order": lambda evidence, _: [
        *entered_out_of_order(evidence),
        *overlapping_in_their_group(evidence),
    ],
    "no completed step ran again": lambda evidence, _: ran_again(evidence),
    "no compensation is missing or repeated": lambda evidence, _: compensated_wrongly(evidence),
    "handlers that outlive their attempt begin no chain": lambda evidence, _: began_apart(evidence),
    "orders did what was planned": ended_otherwise_than_planned,
}
