"""A headless Chromium, driven over its DevTools protocol."""

import asyncio
import itertools
import json
import os
import re
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

COMMAND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_S = 30


class Page:
    """One tab."""

    def __init__(self, browser: "Browser", session_id: str) -> None:
        self._browser = browser
        self._session_id = session_id

    async def evaluate(self, expression: str) -> Any:
        """Return what an expression, or the promise it gives, comes to."""
        answer = await self._browser.command(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True},
            self._session_id,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")


class Browser:
    """The browser; its commands are answered one at a time."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self._turn = asyncio.Lock()

    async def open(self, url: str) -> Page:
        """Open a tab."""
        target = await self.command("Target.createTarget", {"url": url})
        attached = await self.command(
            "Target.attachToTarget", {"targetId": target["targetId"], "flatten": True}
        )
        return Page(self, attached["sessionId"])

    async def command(self, method: str, params: Any, session_id: str | None = None) -> dict[str, Any]:
        number = next(self._ids)
        frame = {"id": number, "method": method, "params": params}
        if session_id is not None:
            frame["sessionId"] = session_id
        async with self._turn, asyncio.timeout(PATIENCE_S):
            await self._connection.send(json.dumps(frame))
            while True:
                answer = json.loads(await self._connection.recv())
                if answer.get("id") == number:
                    assert "error" not in answer, answer["error"]
                    result: dict[str, Any] = answer["result"]
                    return result


@asynccontextmanager
async def running_browser(profile: Path) -> AsyncIterator[Browser]:
    """Run a browser with a profile of its own."""
    if COMMAND is None:
        pytest.fail("chromium is missing: run scripts/install-test-services as root")
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "--headless=new",
        "--no-sandbox",  # which root may not use; the pages are our own
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        stdout=DEVNULL,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        url = await _devtools_url(process)
        async with connect(url, max_size=None) as connection:
            yield Browser(connection)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def _devtools_url(process: Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        async for line in process.stderr:
            if found := re.search(rb"DevTools listening on (ws://\S+)", line):
                return found[1].decode()
    raise AssertionError("chromium ended without saying where its DevTools listen")
