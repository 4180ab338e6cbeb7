"""HTTP handlers and channels with the real Node SDK (spec 04 §3.1, §8.9, §8.11)."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from bridge.engine.calls import Call
from tests.integration.http.running_bridge import Bridge, eventually
from tests.support.node_script import running_node_script

SCRIPT = Path(__file__).with_name("node_worker.mjs")


@pytest.fixture
async def node_worker(bridge: Bridge, tmp_path: Path) -> AsyncIterator[None]:
    async with running_node_script(SCRIPT, tmp_path, bridge.worker_url):
        await eventually(lambda: bridge.engine.has_provider("node::channels"), limit_s=20)
        yield


@pytest.mark.usefixtures("node_worker")
async def test_a_node_worker_serves_http_plain_and_streamed(bridge: Bridge) -> None:
    plain = await bridge.client.post("/node/plain", json={"a": 1})
    assert (plain.status_code, plain.json()) == (201, {"got": {"a": 1}})
    late = await bridge.client.get("/node/late")
    assert (late.status_code, late.headers["content-type"], late.text) == (206, "text/plain", "streamed late")
    empty = await bridge.client.get("/node/empty")
    assert (empty.status_code, empty.content) == (202, b"")
    document = bytes(index % 251 for index in range(1_000_000))
    upload = await bridge.client.post("/node/upload", content=document)
    assert upload.json() == {"size": len(document), "sha": hashlib.sha256(document).hexdigest()}


@pytest.mark.usefixtures("node_worker")
async def test_node_workers_use_channels_both_ways(bridge: Bridge) -> None:
    outcome = await bridge.engine.invoke(Call("node::channels", msgspec.Raw(b"{}")))
    result = msgspec.json.decode(outcome.unwrap())
    assert result["result"] == {"status": "done"}
    assert [msgspec.json.decode(each) for each in result["messages"]] == [
        {"messages": ["hello"], "size": 130 * 1024}
    ]
    assert result["content"] == "done"
    await eventually(lambda: len(bridge.channels) == 0)
