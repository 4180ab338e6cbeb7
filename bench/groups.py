"""FIFO groups at their worst: more messages than one run of a workflow takes, in one group and in many.

Takes several minutes, so it runs only when named.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from temporalio.client import Client

from bench.temporal_server import temporal_server
from tests.support.fake_sdk import Delivered, FakeSdk
from tests.support.handlers import Gate
from tests.support.running_bridge import bridge_config, new_prefix, running_bridge, write_config

__all__ = ["run"]

MESSAGES = 10_500
"""Temporal refuses a run's 10,001st signal."""
SENDERS = 20
FIFO = {"lines": {"type": "fifo", "message_group_field": "group", "concurrency": 50}}


class Counting:
    """Notes in which order messages came; an attempt that Temporal thought lost comes again."""

    def __init__(self) -> None:
        self.seen: dict[int, None] = {}
        self.all_seen = asyncio.Event()

    async def __call__(self, call: Delivered) -> None:
        """Take one message."""
        self.seen.setdefault(call.data["n"])
        if len(self.seen) == MESSAGES:
            self.all_seen.set()


async def run() -> None:
    """Measure, and check that nothing is lost or out of order."""
    async with temporal_server() as address:
        client, prefix = await Client.connect(address), new_prefix()
        with tempfile.TemporaryDirectory() as directory:
            path = write_config(
                Path(directory), bridge_config(address, prefix, FIFO, heartbeat_timeout_ms=10_000)
            )
            async with running_bridge(path, client, prefix) as bridge:
                worker, sender = await bridge.connect(), await bridge.connect()
                await _one_group(worker, sender)
                await _many_groups(worker, sender)


async def _one_group(worker: FakeSdk, sender: FakeSdk) -> None:
    gate, job = Gate(), Counting()
    await worker.register({"gate": gate, "job": job})
    await sender.enqueue("gate", {"group": "one", "n": -1}, "lines")
    began = time.perf_counter()
    for n in range(MESSAGES):
        await sender.enqueue("job", {"group": "one", "n": n}, "lines")
    accepted = time.perf_counter()
    gate.open()
    await job.all_seen.wait()
    done = time.perf_counter()
    if list(job.seen) != list(range(MESSAGES)):
        raise RuntimeError("the group's order is broken")
    _report("one group, one handler running, one message after the other", accepted - began, done - accepted)


async def _many_groups(worker: FakeSdk, sender: FakeSdk) -> None:
    job = Counting()
    await worker.register({"many": job})
    numbers = iter(range(MESSAGES))

    async def send() -> None:
        for n in numbers:
            await sender.enqueue("many", {"group": f"group {n}", "n": n}, "lines")

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(SENDERS):
            tasks.create_task(send())
    accepted = time.perf_counter()
    await job.all_seen.wait()
    done = time.perf_counter()
    _report(
        f"one message into each of {MESSAGES} groups, {SENDERS} at a time", accepted - began, done - accepted
    )


def _report(what: str, sending_s: float, draining_s: float) -> None:
    print(f"{what}: accepted {MESSAGES / sending_s:.0f}/s, the last one {draining_s:.1f} s later", flush=True)
