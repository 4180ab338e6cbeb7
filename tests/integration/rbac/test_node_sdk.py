"""The real Node SDK on a port with rules: a refusal reaches the program as an error it can read."""

import asyncio
import json
from pathlib import Path

from tests.conformance.sdk_install import node_executable, node_sdk
from tests.integration.rbac.guarded import Guarded

SCRIPT = Path(__file__).with_name("node_session.mjs")


async def test_a_refusal_is_an_error_with_code_function_and_text(bridge: Guarded, tmp_path: Path) -> None:
    bridge.offer("private::x")
    (tmp_path / "node_modules").symlink_to(await asyncio.to_thread(node_sdk, "0.22.1") / "node_modules")
    script = tmp_path / SCRIPT.name
    script.write_text(SCRIPT.read_text())
    process = await asyncio.create_subprocess_exec(
        await asyncio.to_thread(node_executable),
        script,
        f"ws://127.0.0.1:{await bridge.port()}",
        stdout=asyncio.subprocess.PIPE,
        env={"OTEL_ENABLED": "false"},
    )
    output, _ = await process.communicate()
    error = json.loads(output.splitlines()[-1])
    assert (error["code"], error["function_id"]) == ("FORBIDDEN", "private::x")
    assert "FORBIDDEN" in error["text"]
    assert "private::x" in error["text"]
    assert "[object Object]" not in error["text"]
    assert bridge.given["private::x"] == []
