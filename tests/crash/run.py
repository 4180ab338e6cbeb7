"""One run: orders come in while processes are killed and started again; then everything is judged."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from tests.crash.checks import CHECKS, unsettled
from tests.crash.evidence import CHAINS, LANES, Evidence, gather
from tests.crash.journal import Kind
from tests.crash.killing import planned_kills
from tests.crash.load import Load
from tests.crash.plan import COMPENSATIONS, Plan
from tests.crash.site import Site, running_site

__all__ = ["Report", "run"]

SETTLING_TIMEOUT_S = 300
POLL_S = 0.5


@dataclass(frozen=True)
class Report:
    """How a run went.

    Attributes:
        faults: What broke a promise, by promise.
        counts: What happened, by name.
    """

    faults: dict[str, list[str]]
    counts: dict[str, int]

    @property
    def is_clean(self) -> bool:
        return not any(self.faults.values())

    def __str__(self) -> str:
        lines = [f"{count:>7} {name}" for name, count in self.counts.items()]
        for promise, faults in self.faults.items():
            lines += [
                f"{'BROKEN' if faults else 'kept':>7} {promise}",
                *(f"        {fault}" for fault in faults),
            ]
        return "\n".join(lines)


async def run(directory: Path, seed: int, orders: int, kills: int) -> Report:
    """Run so many orders in spite of so many kills, and judge.

    The seed decides which handlers fail, and who is killed in which order; instants are never the same.
    """
    dice, plan = random.Random(seed), Plan(seed)
    placed = [plan.order(number) for number in range(orders)]
    rounds = kills + 1
    async with running_site(directory, seed) as site:
        load = Load(site.urls, random.Random(dice.random()))
        planned = list(planned_kills(dice, sorted(site.processes), kills, orders // rounds))
        async with asyncio.TaskGroup() as tasks:
            for number, kill in enumerate((*planned, None)):
                for order in placed[number::rounds]:
                    tasks.create_task(load.place(order), name=f"order {order.number}")
                if kill is not None:
                    await kill.carry_out(site)
        client = await Client.connect(site.temporal)
        evidence = await _settled(site, client, load)
    faults = {promise: check(evidence, plan) for promise, check in CHECKS.items()}
    return Report(faults, _counts(evidence, Counter(name for kill in planned for name in kill.victims)))


async def _settled(site: Site, client: Client, load: Load) -> Evidence:
    """Return the evidence as soon as nothing is unsettled, or when there was time enough."""
    ours = f"(WorkflowId STARTS_WITH '{CHAINS}' OR WorkflowId STARTS_WITH '{LANES}')"
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + SETTLING_TIMEOUT_S
    while True:
        is_late = loop.time() > deadline_s
        if is_late or not (await client.count_workflows(f"{ours} AND ExecutionStatus = 'Running'")).count:
            evidence = await gather(site, client, load.sent)
            if is_late or not unsettled(evidence):
                return evidence
        await asyncio.sleep(POLL_S)


def _counts(evidence: Evidence, killed: Counter[str]) -> dict[str, int]:
    begun = sum(line.kind is Kind.BEGUN for line in evidence.lines)
    done = sum(line.kind is Kind.DONE for line in evidence.lines)
    return {
        **{f"kills of {name}": count for name, count in sorted(killed.items())},
        "receipts for the driver": len(evidence.sent),
        "more tries for them": sum(sent.tries - 1 for sent in evidence.sent),
        "chains": len(evidence.chains),
        "receipts given to several attempts": _given_again(evidence),
        "attempts": begun,
        "attempts that did not succeed": begun - done,
        "steps completed": sum(each.completed_s is not None for each in evidence.deliveries),
        "dead letters": len(evidence.dead_letters),
        "chains undone": sum(chain.is_undone for chain in evidence.chains),
        "compensations completed": sum(
            each.completed_s is not None and each.function_id in COMPENSATIONS.values()
            for each in evidence.deliveries
        ),
    }


def _given_again(evidence: Evidence) -> int:
    times = Counter(line.receipt for line in evidence.lines if line.kind is Kind.ENQUEUED)
    return sum(count > 1 for count in times.values())
