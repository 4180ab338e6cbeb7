"""Nothing listens beyond loopback without the configuration saying so."""

import sys
from contextlib import suppress
from pathlib import Path

import pytest

from bridge.temporal.dev_server import DevServerSettings, start_command
from tests.integration.entrance.conftest import Start

LISTENS = "0A"


def listening_addresses() -> set[str]:
    """Return the hexadecimal addresses on which this process listens, as the kernel has them."""
    ours = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that reads the directory is gone
            ours.add(str(descriptor.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in ours:
                found.add(fields[1].partition(":")[0])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's tables of Linux")
async def test_a_bridge_listens_on_loopback_unless_the_file_says_otherwise(start: Start) -> None:
    await start()
    assert listening_addresses() == {"0100007F"}

    await start(host="0.0.0.0")
    assert listening_addresses() == {"0100007F", "00000000"}


def test_the_temporal_of_dev_listens_on_loopback() -> None:
    command = start_command(DevServerSettings(port=1, ui_port=2, database=None, has_ui=True))
    assert command[command.index("--ip") + 1] == "127.0.0.1"
    assert "--ui-ip" not in command  # it is that of --ip unless it is given
