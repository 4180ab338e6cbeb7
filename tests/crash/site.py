"""What is killed: Temporal with its database in a file, two bridges, and a worker of the real SDK at each."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.crash.plan import QUEUES
from tests.support.pipeline_processes import BridgeProcess, Process, TemporalProcess, free_port

__all__ = ["PREFIX", "Site", "running_site"]

PREFIX = "crash"
REPOSITORY = Path(__file__).resolve().parents[2]
BRIDGES = 2


@dataclass(frozen=True)
class Site:
    """The processes by name, each of which may be killed and started again at the same address.

    Attributes:
        temporal: Temporal's address.
        urls: The worker sockets of the bridges.
        journals: The directory in which workers note what they run.
    """

    processes: dict[str, Process]
    temporal: str
    urls: Sequence[str]
    journals: Path

    def kill(self, names: Sequence[str]) -> None:
        """Kill processes with kill -9, all at once."""
        for name in names:
            self.processes[name].kill()

    async def start(self, names: Sequence[str]) -> None:
        """Start processes; returns when they work."""
        await asyncio.gather(*(asyncio.to_thread(self.processes[name].start) for name in names))


@asynccontextmanager
async def running_site(directory: Path, seed: int) -> AsyncIterator[Site]:
    """Run everything in a directory of its own, for workers whose handlers fail as the seed wants."""
    journals = directory / "journals"
    journals.mkdir()
    temporal = TemporalProcess(directory)
    processes: dict[str, Process] = {"temporal": temporal}
    urls = []
    for number in range(BRIDGES):
        place = directory / str(number)
        place.mkdir()
        port = free_port()
        urls.append(f"ws://127.0.0.1:{port}")
        processes[f"bridge-{number}"] = BridgeProcess(place, temporal.address, bridge_config(port))
        processes[f"worker-{number}"] = worker_process(place, urls[-1], journals / f"{number}.jsonl", seed)
    try:
        for process in processes.values():
            await asyncio.to_thread(process.start)
        yield Site(processes, temporal.address, urls, journals)
    finally:
        for process in reversed(processes.values()):
            process.kill()


def bridge_config(port: int) -> dict[str, object]:
    """Return the blocks of a bridge that Temporal soon misses, and that itself soon misses Temporal."""
    return {
        "iii-temporal": {
            "prefix": PREFIX,
            "admin": {"port": 0},
            "heartbeat_timeout_ms": 2000,
            "enqueue_timeout_ms": 2000,
        },
        "iii-worker-manager": {"port": port},
        "iii-queue": {"queue_configs": QUEUES},
    }


def worker_process(directory: Path, url: str, journal: Path, seed: int) -> Process:
    command = [sys.executable, "-m", "tests.crash.worker", url, str(journal), str(seed)]
    path = os.pathsep.join((str(REPOSITORY), os.environ.get("PYTHONPATH", ""))).rstrip(os.pathsep)
    return Process(command, directory, "worker", {"PYTHONPATH": path})
