"""Real processes: order, restarts, watching, and an end that leaves nothing behind (spec 05 §7)."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from bridge.builtins.exec import Exec, ExecSettings
from tests.support.waiting import eventually

FAST = ExecSettings((), first_pause_s=0.01, longest_pause_s=0.04, stop_timeout_s=5)


class Running:
    def __init__(self, settings: ExecSettings) -> None:
        self.lines: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.now_s = 0.0
        self.exec = Exec(
            settings, self._spawn, name="exec", clock_s=lambda: self.now_s, write=self.lines.append
        )

    def count(self, line: str) -> int:
        return self.lines.count(f"[exec] {line}")

    async def until(self, line: str, times: int = 1) -> None:
        await eventually(lambda: self.count(line) >= times)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.create_task(work, name=name))


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stopping:

        async def start(*commands: str, **settings: Any) -> Running:
            running = Running(replace(FAST, commands=commands, **settings))
            await running.exec.start()
            stopping.push_async_callback(running.exec.close)
            return running

        yield start


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


async def test_commands_run_in_order_and_the_last_keeps_running(start: Start) -> None:
    running = await start("echo one", "echo two", "echo three; exec sleep 60")
    await running.until("three")

    assert running.lines == ["[exec] one", "[exec] two", "[exec] three"]


async def test_a_failed_command_leaves_out_the_next_ones(start: Start, tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        running = await start("echo one; exit 3", f"touch {tmp_path}/two")
        await eventually(lambda: [each for each in logs if each["log_level"] == "error"])

    assert logs[-1]["code"] == 3
    assert not (tmp_path / "two").exists()
    assert running.lines == ["[exec] one"]


async def test_output_and_errors_come_line_by_line_also_without_an_end(start: Start) -> None:
    running = await start("echo out; echo err >&2; printf '\\377 end'", "sleep 60")
    await running.until("\N{REPLACEMENT CHARACTER} end")

    assert sorted(running.lines) == ["[exec] err", "[exec] out", "[exec] \N{REPLACEMENT CHARACTER} end"]


async def test_an_endless_line_is_passed_on_in_pieces(start: Start) -> None:
    running = await start("head -c 300000 /dev/zero | tr '\\0' x; echo", "echo done; sleep 60")
    await running.until("done")

    pieces = [line.removeprefix("[exec] ") for line in running.lines[:-1]]
    assert "".join(pieces) == "x" * 300_000
    assert len(pieces) > 1


async def test_the_last_command_is_started_again_after_pauses_that_grow(start: Start) -> None:
    with structlog.testing.capture_logs() as logs:
        running = await start("echo up; exit 1")
        await running.until("up", times=5)

    pauses = [each["pause_s"] for each in logs if each["event"] == "command ended; starting it again"]
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.04]


async def test_a_long_run_makes_the_next_pause_short_again(start: Start, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with structlog.testing.capture_logs() as logs:
        running = await start(f"echo up; until test -e {go}; do sleep 0.01; done; rm {go}")
        for times in (1, 2):
            await running.until("up", times=times)
            go.touch()
        await running.until("up", times=3)
        running.now_s += 60
        go.touch()
        await running.until("up", times=4)

    pauses = [each["pause_s"] for each in logs if each["event"] == "command ended; starting it again"]
    assert pauses == [0.01, 0.02, 0.01]


async def test_a_change_to_a_watched_file_starts_everything_again(start: Start, tmp_path: Path) -> None:
    (tmp_path / "app.ts").write_text("1")
    running = await start("echo build", "echo serve; exec sleep 60", watch=(f"{tmp_path}/**/*.ts",))
    await running.until("serve")
    (tmp_path / "app.py").write_text("nobody watches this")
    (tmp_path / "app.ts").write_text("changed")
    await running.until("serve", times=2)

    assert running.count("build") == 2


async def test_a_change_kills_the_whole_group_that_ran(start: Start, tmp_path: Path) -> None:
    running = await start("sleep 60 & echo child $!; wait", watch=(f"{tmp_path}/*.ts",))
    await eventually(lambda: running.lines)
    child = int(running.lines[0].split()[-1])
    (tmp_path / "new.ts").write_text("1")

    await eventually(lambda: not is_running(child))


async def test_a_failed_pipeline_is_tried_again_when_a_file_changes(start: Start, tmp_path: Path) -> None:
    running = await start(f"test -e {tmp_path}/fix.ts", "echo served; sleep 60", watch=(f"{tmp_path}/*.ts",))
    (tmp_path / "fix.ts").write_text("1")

    await running.until("served")


async def test_stopping_ends_children_as_well(start: Start) -> None:
    running = await start("sleep 60 & echo child $!; wait")
    await eventually(lambda: running.lines)
    child = int(running.lines[0].split()[-1])
    await running.exec.close()

    assert not is_running(child)


async def test_stopping_interrupts_a_command_before_the_last(start: Start) -> None:
    running = await start("echo begun; sleep 60", "echo never")
    await running.until("begun")
    await running.exec.close()

    assert running.lines == ["[exec] begun"]


async def test_a_process_gets_time_to_end_by_itself(start: Start) -> None:
    running = await start("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done")
    await running.until("up")
    await running.exec.close()

    assert running.lines[-1] == "[exec] bye"


async def test_a_process_that_does_not_end_is_killed(start: Start) -> None:
    running = await start("trap '' TERM; echo up $$; while :; do sleep 0.01; done", stop_timeout_s=0.05)
    await eventually(lambda: running.lines)
    pid = int(running.lines[0].split()[-1])
    await running.exec.close()

    assert not is_running(pid)


async def test_stopping_twice_is_fine_and_nothing_starts_afterwards(start: Start) -> None:
    running = await start("echo up; exit 1")
    await running.until("up")
    await running.exec.close()
    ups = running.count("up")
    await running.exec.close()

    assert running.count("up") == ups
    assert all(task.done() for task in running.tasks)


async def test_no_commands_are_fine(start: Start) -> None:
    running = await start()
    await running.exec.close()

    assert running.lines == []


async def test_the_processes_have_a_group_and_a_session_of_their_own(start: Start) -> None:
    running = await start("echo $$; exec sleep 60")
    await eventually(lambda: running.lines)
    pid = int(running.lines[0].split()[-1])

    assert os.getpgid(pid) == os.getsid(pid) == pid
