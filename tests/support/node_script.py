"""Scripts on the real Node SDK, as processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conformance.sdk_install import node_executable, node_sdk

SDK_VERSION = "0.22.1"


@asynccontextmanager
async def running_node_script(script: Path, directory: Path, url: str) -> AsyncIterator[None]:
    """Run a worker until the block is left.

    Args:
        script: What to run; it takes the URL as its argument.
        directory: An empty one. Node looks for the SDK beside a script, so it is copied there.
        url: Where the worker connects to.
    """
    node, copy = await asyncio.to_thread(_prepare, script, directory)
    process = await asyncio.create_subprocess_exec(
        node, copy, url, stdin=asyncio.subprocess.PIPE, env={"OTEL_ENABLED": "false"}
    )
    try:
        yield
    finally:
        process.kill()
        await process.communicate()


def _prepare(script: Path, directory: Path) -> tuple[Path, Path]:
    """Return what runs the copy, and the copy."""
    (directory / "node_modules").symlink_to(node_sdk(SDK_VERSION) / "node_modules")
    copy = directory / script.name
    copy.write_text(script.read_text())
    return node_executable(), copy
