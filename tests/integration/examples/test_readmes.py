"""Commands in the READMEs of the order pipeline and of the reactive board do what the pages say."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.integration.examples.shell import RunningExample, Shell
from tests.support.dockerfile import ROOT
from tests.support.pages import NOT_RUN, commands, fences
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

ORDERS = "examples/order_fulfillment/README.md"
BOARD = "examples/reactive_state/README.md"
SAYS = {
    "fail_until_payment_attempt": "enqueue_receipt_id",
    "json.tool": '"status": "fulfilled"',
    "state::get scope=notifications": '"deliveries": 1',
    "dlq list order-payment": "orders::charge-payment",
    "dlq redrive order-payment": "1",
    "dlq list order-validate": "orders::validate",
    "-X POST localhost:3111/board/orders": '"id"',
    "-X PUT localhost:3111/board/orders": '"status":"paid"',
}
"""What commands with a text in them print sooner or later; the first only once the worker is there."""
SOON_S = 60


class Reader:
    """Somebody who types what a page says, with the id of the latest order where it asks for one."""

    def __init__(self, example: RunningExample) -> None:
        self._shell = example.shell
        self._http = example.addresses["http"].removeprefix("http://")
        self.order_id = ""

    async def type(self, command: str) -> str:
        """Run a command until it prints what it should, and return that."""
        (wanted,) = [text for part, text in SAYS.items() if part in command] or [""]
        shell = replace(self._shell, environ=self._shell.environ | {"ORDER_ID": self.order_id})
        line = f"bash -c {json.dumps(self._on_our_ports(command))}" if "|" in command else command

        async def printed() -> str | None:
            output = "\n".join(await shell.run(self._on_our_ports(line)))
            return f"{output}\n" if wanted.replace(" ", "") in output.replace(" ", "") else None

        output = await eventually(printed, SOON_S)
        if found := re.search(r'"(?:order_id|id)":\s*"([^"]+)"', output):
            self.order_id = found[1]
        return output

    def _on_our_ports(self, command: str) -> str:
        return command.replace("localhost:3111", self._http)


@asynccontextmanager
async def typing(example: RunningExample, page: str) -> AsyncIterator[tuple[Reader, list[str]]]:
    """Start the worker of a page as the page says, and yield the commands that follow."""
    todo = [command for command in commands(page) if command not in NOT_RUN]
    start = todo.pop(0)
    async with Shell(ROOT / Path(page).parent, example.shell.environ).running(start):
        yield Reader(example), todo


async def test_the_commands_of_the_order_pipeline(repository: RunningExample) -> None:
    async with typing(repository, ORDERS) as (reader, todo):
        (look,) = [command for command in todo if "json.tool" in command]
        for command in todo:
            await reader.type(command)
            if "dlq redrive" in command:
                await reader.type(look)  # "The sixth attempt succeeds and the order ships."


async def test_an_order_is_followed_on_the_stream_as_the_page_says(repository: RunningExample) -> None:
    async with typing(repository, ORDERS) as (reader, todo):
        await reader.type(todo[0])
        (join,) = fences("json", ORDERS)
        async with connect(repository.addresses["stream"]) as stream:
            await stream.send(join.text.replace("<order id>", reader.order_id))
            assert json.loads(await stream.recv())["event"]["type"] == "sync"


async def test_the_commands_of_the_reactive_board(repository: RunningExample) -> None:
    async with typing(repository, BOARD) as (reader, todo):
        for command in todo:
            await reader.type(command)
