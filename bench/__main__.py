"""`python -m bench [NAME …]`: benchmarks that measure side by side in one run and print ratios.

Absolute figures depend on the machine; the ratios are what to look at.
"""

import asyncio
import logging
import sys
from importlib import import_module

import structlog

NAMES = ("chains", "http", "routing", "state", "connections", "streaming")
LONG = ("groups",)
"""Run only when named."""


def main() -> None:
    """Run the named benchmarks, or all that are not long."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("temporalio").setLevel(logging.ERROR)
    unknown = [name for name in sys.argv[1:] if name not in (*NAMES, *LONG)]
    if unknown:
        sys.exit(f"unknown benchmark: {', '.join(unknown)}; there are: {', '.join((*NAMES, *LONG))}")
    for name in sys.argv[1:] or NAMES:
        print(f"\n== {name}", flush=True)
        asyncio.run(import_module(f"bench.{name}").run())


main()
