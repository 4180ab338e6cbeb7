"""Is the bridge in this container ready? Exit code 0 if `/readyz` says so, else 1 with the reason.

The image has no curl, and a proxy in the environment must not be asked for what is on this machine.
"""

import http.client
import os
import sys

TIMEOUT_S = 4


def main() -> int:
    """Ask once."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(os.environ.get("III_TEMPORAL_ADMIN_PORT", "9464")), timeout=TIMEOUT_S
    )
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        sys.stdout.write(answer.read().decode() + "\n")
    except (OSError, http.client.HTTPException) as exc:
        sys.stdout.write(f"no answer: {exc}\n")
        return 1
    return int(answer.status != http.client.OK)


if __name__ == "__main__":
    sys.exit(main())
