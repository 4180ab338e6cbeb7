"""The examples with a page, as their users run them: a bridge, the worker's own process, a real browser."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.app import Bridge
from bridge.config import load_config
from tests.integration.stream.browser import Browser, Page, running_browser
from tests.support.waiting import PATIENCE_S, eventually

STATUS = "document.querySelector('#status')?.textContent"
EXAMPLES = Path(__file__).parents[3] / "examples"


def configuration(directory: Path, ports: list[int]) -> dict[str, Any]:
    def on_disk(name: str) -> dict[str, Any]:
        return {"name": "kv", "config": {"store_method": "file_based", "file_path": str(directory / name)}}

    workers, http, stream = ports
    return {
        "workers": [
            {"name": "iii-temporal", "config": {"address": "127.0.0.1:1", "admin": {"port": 0}}},
            {"name": "iii-worker-manager", "config": {"port": workers}},
            {"name": "iii-http", "config": {"port": http}},
            {"name": "iii-state", "config": {"adapter": on_disk("state")}},
            {"name": "iii-stream", "config": {"port": stream, "adapter": on_disk("stream")}},
        ]
    }


def free_ports(count: int) -> list[int]:
    """Return ports that a bridge can listen on, and listen on again when it is restarted."""
    with ExitStack() as listeners:
        sockets = [listeners.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


class Example:
    """An example's worker and the bridge it works for.

    Attributes:
        url: Where the page is.
    """

    def __init__(self, directory: Path, page: str) -> None:
        self._ports = free_ports(3)
        self._config_path = directory / "iii-config.yaml"
        self._config_path.write_text(json.dumps(configuration(directory, self._ports)))  # JSON is YAML
        self.url = f"http://127.0.0.1:{self._ports[1]}{page}"

    @property
    def environment(self) -> dict[str, str]:
        workers, _, stream = (f"ws://127.0.0.1:{port}" for port in self._ports)
        return {"III_URL": workers, "STREAM_URL": stream, "OTEL_ENABLED": "false"}

    async def start_bridge(self) -> None:
        self._bridge = Bridge(load_config(self._config_path, environ={}))
        self._serving = asyncio.create_task(self._bridge.run(), name="bridge")
        await self._bridge.listening

    async def stop_bridge(self) -> None:
        self._bridge.stop()
        await self._serving

    async def until_served(self) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:

            async def is_served() -> bool:
                return (await client.get(self.url)).status_code == HTTPStatus.OK

            await eventually(is_served)


@asynccontextmanager
async def running_example(name: str, directory: Path, page: str) -> AsyncIterator[Example]:
    """Run an example until its page is served."""
    example = Example(directory, page)
    await example.start_bridge()
    try:
        worker = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLES / name / "worker.py"), env=os.environ | example.environment
        )
        try:
            await example.until_served()
            yield example
        finally:
            worker.terminate()
            await worker.wait()
    finally:
        await example.stop_bridge()


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with running_browser(tmp_path / "profile") as browser:
        yield browser


async def live(browser: Browser, url: str) -> Page:
    """Open a page and wait until it follows its stream."""
    page = await browser.open(url)
    await shows(page, STATUS, "live")
    return page


async def shows(page: Page, expression: str, expected: Any) -> None:
    """Wait until a page shows something."""

    async def does() -> bool:
        return bool(await page.evaluate(expression) == expected)

    await eventually(does)


ENTRIES = (
    "[...document.querySelectorAll('#entries li')].map((e) => [e.innerText.split('\\n')[0], e.className])"
)


async def test_todos_change_in_every_window_at_once(browser: Browser, tmp_path: Path) -> None:
    async with running_example("realtime_todo", tmp_path, "/todos") as example:
        mine, yours = await live(browser, example.url), await live(browser, example.url)
        for text in ("milk", "<b>bread</b>"):
            await mine.evaluate(f"document.querySelector('#add input').value = '{text}'")
            await mine.evaluate("document.querySelector('#add button').click()")
            await shows(yours, f"{ENTRIES}.at(-1)?.[0]", text)
        await yours.evaluate("document.querySelector('#entries input').click()")
        for page in (mine, yours):
            await shows(page, ENTRIES, [["milk", "done"], ["<b>bread</b>", ""]])
        await mine.evaluate("document.querySelectorAll('#entries button')[1].click()")
        for page in (mine, yours, await live(browser, example.url)):
            await shows(page, ENTRIES, [["milk", "done"]])


async def test_a_page_goes_on_by_itself_when_the_bridge_comes_back(browser: Browser, tmp_path: Path) -> None:
    async with (
        running_example("realtime_todo", tmp_path, "/todos") as example,
        httpx.AsyncClient(timeout=PATIENCE_S) as client,
    ):
        await client.post(example.url, json={"text": "milk"})
        page = await live(browser, example.url)
        await example.stop_bridge()
        await shows(page, STATUS, "connection lost, trying again")
        await example.start_bridge()
        await shows(page, STATUS, "live")
        await example.until_served()
        await client.post(example.url, json={"text": "bread"})
        await shows(page, ENTRIES, [["milk", ""], ["bread", ""]])


async def test_todo_requests_that_cannot_be_done_are_refused(tmp_path: Path) -> None:
    async with (
        running_example("realtime_todo", tmp_path, "/todos") as example,
        httpx.AsyncClient(timeout=PATIENCE_S) as client,
    ):
        url = example.url
        for text in ("", " ", "x" * 201, 5, None):
            assert (await client.post(url, json={"text": text})).status_code == 400
        entry = (await client.post(url, json={"text": " tea "})).json()
        assert (entry["text"], entry["done"]) == ("tea", False)
        assert (await client.put(f"{url}/{entry['id']}", json={"done": 1})).status_code == 400
        assert (await client.put(f"{url}/missing", json={"done": True})).status_code == 404
        assert (await client.put(f"{url}/{entry['id']}", json={"done": True})).json()["done"] is True
        for _ in range(2):
            assert (await client.delete(f"{url}/{entry['id']}")).status_code == 200


COUNTS = "['open', 'paid', 'shipped'].map((id) => document.querySelector('#' + id).textContent).join(' ')"


async def test_the_board_follows_the_orders(browser: Browser, tmp_path: Path) -> None:
    async with (
        running_example("reactive_state", tmp_path, "/board") as example,
        httpx.AsyncClient(timeout=PATIENCE_S) as client,
    ):
        url = example.url
        page = await live(browser, url)
        await shows(page, COUNTS, "0 0 0")
        await page.evaluate("document.querySelector('#place').click()")
        await shows(page, COUNTS, "1 0 0")
        orders = [(await client.post(f"{url}/orders")).json()["id"] for _ in range(9)]
        await shows(page, COUNTS, "10 0 0")
        await asyncio.gather(
            *(client.put(f"{url}/orders/{order}", json={"status": "paid"}) for order in orders)
        )
        await shows(page, COUNTS, "1 9 0")
        for status in ("paid", "shipped"):  # the first is no news
            assert (await client.put(f"{url}/orders/{orders[0]}", json={"status": status})).status_code == 200
        await shows(page, COUNTS, "1 8 1")
        assert (await client.put(f"{url}/orders/{orders[0]}", json={"status": "lost"})).status_code == 400
        assert (await client.put(f"{url}/orders/missing", json={"status": "paid"})).status_code == 404
        await shows(await live(browser, url), COUNTS, "1 8 1")
