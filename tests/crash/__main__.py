"""`python -m tests.crash`: hundreds of orders while everything is killed, as often and long as you like."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.run import run


def main() -> None:
    """Run once, say what happened, and leave what the processes printed if a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash",
        description="Kill bridges, workers and Temporal while orders are on their way.",
    )
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--kills", type=int, default=40)
    options = parser.parse_args()
    print(f"{options.orders} orders, {options.kills} rounds of kills, seed {options.seed}", flush=True)  # noqa: T201 - its purpose
    directory = Path(tempfile.mkdtemp(prefix="crash-"))
    report = asyncio.run(run(directory, options.seed, options.orders, options.kills))
    print(report)  # noqa: T201 - its purpose
    if not report.is_clean:
        sys.exit(f"a promise was broken; journals, logs and Temporal's database: {directory}")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
