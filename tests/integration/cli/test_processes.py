"""The commands that run a bridge, as processes: what they print, how they end, and with which code."""

import json
import re
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

from tests.support.pipeline import PREFIX, order_config
from tests.support.pipeline_processes import PROGRAM, Process, free_port

Run = Callable[..., Process]

pytestmark = pytest.mark.integration


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start a command with the repository's configuration on ports of our own."""
    config = order_config(backoff_ms=10)
    entries = [{"name": name, "config": block} for name, block in config.items()]
    (tmp_path / "iii-config.yaml").write_text(yaml.safe_dump({"workers": entries}))
    processes: list[Process] = []

    def start(*arguments: str) -> Process:
        process = Process([PROGRAM, *arguments], tmp_path, arguments[0])
        processes.append(process)
        process.start()
        return process

    yield start
    for process in processes:
        process.kill()


@pytest.fixture
def dev(run: Run) -> Process:
    ports = ("--temporal-port", str(free_port()), "--ui-port", str(free_port()))
    return run("dev", "--ephemeral", "--log-format", "json", *ports)


def addresses(dev: Process) -> dict[str, str]:
    return dict(part.split("=", maxsplit=1) for part in dev.wait_for_line("ready workers=").split()[1:])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_stops_in_order(dev: Process, number: signal.Signals) -> None:
    with connect(addresses(dev)["workers"]) as worker:
        assert json.loads(worker.recv())["type"] == "workerregistered"
        dev.send_signal(number)
        with pytest.raises(ConnectionClosedError) as closed:
            worker.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012, "after another code some SDK versions do not come back"
    assert dev.wait() == 0


def test_a_later_signal_ends_the_process_at_once(dev: Process) -> None:
    at = addresses(dev)
    with connect(at["workers"]) as worker:
        offer_route(worker, "stuck")
        with socket.create_connection(host_and_port(at["http"])) as request:
            request.sendall(b"GET /stuck HTTP/1.1\r\nHost: bridge\r\n\r\n")
            receive(worker, "invokefunction")  # never answered: the first signal has something to wait for
            dev.send_signal(signal.SIGTERM)
            dev.wait_for_line("a second signal ends the process at once")
            assert dev.signal_until_ended(signal.SIGTERM) == 130


def test_logs_can_be_lines_of_json(dev: Process) -> None:
    line = dev.wait_for_line("polling temporal")
    assert json.loads(line)["logger"] == "bridge.temporal"


def test_a_port_that_is_taken_ends_the_command_with_cause_and_remedy(run: Run, tmp_path: Path) -> None:
    config = yaml.safe_load((tmp_path / "iii-config.yaml").read_text())
    [http] = [entry for entry in config["workers"] if entry["name"] == "iii-http"]
    with socket.create_server(("127.0.0.1", http["config"]["port"])):
        serve = run("serve")
        assert serve.wait() == 2
    assert f"127.0.0.1:{http['config']['port']} is already in use" in serve.output()


def test_the_demo_shows_an_order_being_fulfilled(run: Run) -> None:
    temporal_port, ui_port = free_port(), free_port()
    ports = ("--temporal-port", str(temporal_port), "--ui-port", str(ui_port))
    demo = run("demo", "--once", "--ephemeral", "-c", "iii-config.yaml", *ports)
    assert demo.wait() == 0
    shown = [" ".join(line.split()) for line in demo.output().splitlines()]
    steps = [line.split(" s ", maxsplit=1)[1] for line in shown if " s " in line]
    assert [step.split(":")[0] for step in steps] == [
        "validate done",
        "charge-payment failed",
        "charge-payment failed",
        "charge-payment done",
        "ship done",
        "fulfill done",
    ]
    state, receipt, link = shown[-3:]
    assert state.startswith("State fulfilled, 3 payment attempts")
    chain = f"{PREFIX}.chain%2F{receipt.removeprefix('Receipt ')}"
    page = re.escape(f"Web UI http://127.0.0.1:{ui_port}/namespaces/default/workflows/{chain}/")
    assert re.fullmatch(page + r"[0-9a-f-]{36}/history", link)
    assert "Warning" not in demo.output()


def test_the_demo_ends_with_a_reason_if_its_order_is_not_accepted(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "iii-config.yaml"
    config = yaml.safe_load(path.read_text())
    config["workers"] = [entry for entry in config["workers"] if entry["name"] != "iii-state"]
    path.write_text(yaml.safe_dump(config))
    ports = ("--temporal-port", str(free_port()), "--ui-port", str(free_port()))
    demo = run("demo", "--once", "--ephemeral", "-c", str(path), *ports)
    assert demo.wait() == 1
    assert "POST /orders answered 500" in demo.output()


def offer_route(worker: ClientConnection, path: str) -> None:
    """Offer a function for a route, as an SDK does, and wait until it is in force."""
    function = {"type": "registerfunction", "id": "test::route"}
    config = {"api_path": path, "http_method": "GET"}
    trigger = {"trigger_type": "http", "function_id": "test::route", "config": config}
    register = {"function_id": "engine::workers::register", "data": {"name": "test"}}
    for frame in (
        function,
        {"type": "registertrigger", "id": str(uuid.uuid4()), **trigger},
        {"type": "invokefunction", "invocation_id": str(uuid.uuid4()), **register},
    ):
        worker.send(json.dumps(frame))
    receive(worker, "invocationresult")


def receive(worker: ClientConnection, kind: str) -> None:
    while json.loads(worker.recv(timeout=10))["type"] != kind:
        pass


def host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def test_the_file_and_sighup_change_a_running_bridge_and_flags_stay(dev: Process, tmp_path: Path) -> None:
    urls = addresses(dev)
    path = tmp_path / "iii-config.yaml"
    config = yaml.safe_load(path.read_text())
    dev.send_signal(signal.SIGHUP)
    dev.wait_for_line("configuration reloaded")
    [queue] = [entry for entry in config["workers"] if entry["name"] == "iii-queue"]
    queue["config"]["queue_configs"]["express"] = {}
    path.write_text(yaml.safe_dump(config))
    changed = json.loads(dev.wait_for_line("configuration changed"))
    assert changed["keys"] == ["iii-queue.queue_configs.express"]
    with connect(urls["workers"]) as worker:
        assert json.loads(worker.recv())["type"] == "workerregistered"
    assert "restart" not in dev.output(), "what the command line says has not changed"
    dev.send_signal(signal.SIGTERM)
    assert dev.wait() == 0
