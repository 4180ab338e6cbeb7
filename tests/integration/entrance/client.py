"""A worker on the Python SDK whose way in comes from its environment alone.

Usage: client.py URL. It runs until its standard input is closed.
"""

import sys

from iii import InitOptions, register_worker

worker = register_worker(sys.argv[1], InitOptions(worker_name="python", otel={"enabled": False}))
worker.register_function("python::echo", lambda data: {"echo": data["n"]})
sys.stdin.read()
