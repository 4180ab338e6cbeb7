"""A worker whose name another worker has; tells what its iii SDK makes of being turned away.

Usage: rejected.py URL NAME.
"""

import json
import sys
import time

from iii import register_worker
from iii.errors import RegistrationRejectedError
from iii.iii_constants import InitOptions, ReconnectionConfig

URL, NAME = sys.argv[1:3]

worker = register_worker(
    URL,
    InitOptions(
        worker_name=NAME,
        reconnection_config=ReconnectionConfig(initial_delay_ms=20, max_delay_ms=100),
        invocation_timeout_ms=20_000,
    ),
)


def rejection() -> RegistrationRejectedError:
    """Call until the worker is turned away: calls made before are answered."""
    while True:
        try:
            worker.trigger({"function_id": "engine::workers::list", "payload": {}})
        except RegistrationRejectedError as exc:
            return exc
        time.sleep(0.01)


told = rejection()
sys.stdout.write(json.dumps({**vars(told), "state": worker.get_connection_state()}))
worker.shutdown()
