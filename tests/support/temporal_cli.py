"""Temporal's own command line, as whoever looks at a namespace uses it."""

import asyncio
import base64
import json
import sysconfig
from pathlib import Path
from typing import Any

TEMPORAL_CLI = Path(sysconfig.get_path("scripts")) / "temporal"


async def shown(address: str, workflow_id: str, *options: str) -> str:
    """Return what Temporal's own command line shows of a workflow."""
    show = ("workflow", "show", "--workflow-id", workflow_id, "--output", "json")
    told = json.loads(await printed(*show, "--address", address, *options))
    texts = [base64.b64decode(data).decode(errors="replace") for data in datas(told)]
    return json.dumps(told) + "".join(texts)


async def printed(*words: str) -> str:
    """Return what the command line prints."""
    process = await asyncio.create_subprocess_exec(str(TEMPORAL_CLI), *words, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode()


def datas(told: Any) -> list[str]:
    """Return every `data` in a JSON value."""
    if isinstance(told, dict):
        own = [told["data"]] if isinstance(told.get("data"), str) else []
        return own + [data for value in told.values() for data in datas(value)]
    if isinstance(told, list):
        return [data for value in told for data in datas(value)]
    return []
