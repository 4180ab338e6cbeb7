"""The examples with a page, as their users run them: a bridge, the worker's own process, a real browser."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.app import Bridge
from bridge.config import load_config
from tests.integration.stream.browser import Browser, Page, running_browser
from tests.support.waiting import eventually

EXAMPLES = Path(__file__).parents[3] / "examples"


def configuration(directory: Path) -> dict[str, Any]:
    def on_disk(name: str) -> dict[str, Any]:
        return {
            "name": "kv",
            "config": {"store_method": "file_based", "file_path": str(directory / name)},
        }

    return {
        "workers": [
            {"name": "iii-temporal", "config": {"address": "127.0.0.1:1", "admin": {"port": 0}}},
            {"name": "iii-worker-manager", "config": {"port": 0}},
            {"name": "iii-http", "config": {"port": 0}},
            {"name": "iii-state", "config": {"adapter": on_disk("state")}},
            {"name": "iii-stream", "config": {"port": 0, "adapter": on_disk("stream")}},
        ]
    }


@asynccontextmanager
async def running_example(name: str, directory: Path, page: str) -> AsyncIterator[str]:
    """Run an example and return the URL of its page, once that is served."""
    config_path = directory / "iii-config.yaml"
    config_path.write_text(json.dumps(configuration(directory)))  # JSON is YAML
    bridge = Bridge(load_config(config_path, environ={}))
    serving = asyncio.create_task(bridge.run(), name="bridge")
    try:
        addresses = await bridge.listening
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EXAMPLES / name / "worker.py"),
            env=os.environ
            | {
                "III_URL": addresses.workers[0],
                "STREAM_URL": str(addresses.stream),
                "OTEL_ENABLED": "false",
            },
        )
        try:
            url = f"{addresses.http}{page}"
            async with httpx.AsyncClient() as client:

                async def is_served() -> bool:
                    return (await client.get(url)).status_code == 200

                await eventually(is_served, timeout_s=20)
            yield url
        finally:
            worker.terminate()
            await worker.wait()
    finally:
        bridge.stop()
        await serving


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with running_browser(tmp_path / "profile") as browser:
        yield browser


async def live(browser: Browser, url: str) -> Page:
    """Open a page and wait until it follows its stream."""
    page = await browser.open(url)
    await shows(page, "document.querySelector('#status')?.textContent", "live")
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
    async with running_example("realtime_todo", tmp_path, "/todos") as url:
        mine, yours = await live(browser, url), await live(browser, url)
        for text in ("milk", "<b>bread</b>"):
            await mine.evaluate(f"document.querySelector('#add input').value = '{text}'")
            await mine.evaluate("document.querySelector('#add button').click()")
            await shows(yours, f"{ENTRIES}.at(-1)?.[0]", text)
        await yours.evaluate("document.querySelector('#entries input').click()")
        for page in (mine, yours):
            await shows(page, ENTRIES, [["milk", "done"], ["<b>bread</b>", ""]])
        await mine.evaluate("document.querySelectorAll('#entries button')[1].click()")
        for page in (mine, yours, await live(browser, url)):
            await shows(page, ENTRIES, [["milk", "done"]])


async def test_todo_requests_that_cannot_be_done_are_refused(tmp_path: Path) -> None:
    async with running_example("realtime_todo", tmp_path, "/todos") as url, httpx.AsyncClient() as client:
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
    async with running_example("reactive_state", tmp_path, "/board") as url, httpx.AsyncClient() as client:
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
