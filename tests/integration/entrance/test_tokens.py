"""Listeners that demand a bearer token."""

from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.entrance.conftest import Start
from tests.integration.entrance.sdk_processes import sdk_client
from tests.support.fake_sdk import connected
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import PATIENCE_S

TOKENS = ["old-s3cret", "new-s3cret"]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def get(url: str, headers: dict[str, str] | None = None, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        return await client.request(method, url, headers=headers)


@pytest.fixture
async def bridge(start: Start) -> RunningBridge:
    return await start(tokens=TOKENS)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong"),
        bearer(""),
        {"Authorization": f"Basic {TOKENS[0]}"},
        {"Authorization": TOKENS[0]},
        bearer(TOKENS[0] + "x"),
        bearer(TOKENS[0][:-1]),
        [("Authorization", f"Bearer {TOKENS[0]}"), ("Authorization", "Bearer wrong")],
    ],
)
async def test_without_a_valid_token_no_worker_and_no_stream_client_gets_in(
    bridge: RunningBridge, headers: dict[str, str]
) -> None:
    worker_url = bridge.addresses.workers[0]
    assert bridge.addresses.stream is not None
    for url in (worker_url, f"{worker_url}/otel", bridge.addresses.stream):
        with capture_logs() as logs, pytest.raises(InvalidStatus) as refusal:
            await connect(url, additional_headers=headers)
        response = refusal.value.response
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert b"III_TOKEN" in response.body
        assert [each["log_level"] for each in logs if "bearer" in each["event"]] == ["warning"]
        assert "s3cret" not in str(logs)


@pytest.mark.parametrize("token", TOKENS)
async def test_each_token_lets_a_worker_and_a_stream_client_in(bridge: RunningBridge, token: str) -> None:
    assert bridge.addresses.stream is not None
    async with connect(bridge.addresses.stream, additional_headers=bearer(token)):
        pass
    async with connected(bridge.addresses.workers[0], additional_headers=bearer(token)) as worker:
        assert await worker.trigger("engine::health::check")


async def test_http_requests_need_a_token_and_preflights_cannot_have_one(bridge: RunningBridge) -> None:
    url = f"{bridge.addresses.http}/nothing"

    refused = await get(url)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "UNAUTHORIZED"
    assert (await get(url, bearer("wrong"))).status_code == 401
    assert (await get(url, bearer(TOKENS[1]))).status_code == 404
    assert (await get(url, {"Origin": "https://a.example"}, "OPTIONS")).status_code == 200


async def test_metrics_need_a_token_and_probes_do_not(bridge: RunningBridge) -> None:
    admin = bridge.addresses.admin

    assert (await get(f"{admin}/healthz")).status_code == 200
    assert (await get(f"{admin}/readyz")).status_code == 503
    refused = await get(f"{admin}/metrics")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert (await get(f"{admin}/metrics", {"authorization": f"bearer  {TOKENS[0]}"})).status_code == 200


async def test_the_ends_of_a_channel_have_keys_of_their_own(bridge: RunningBridge) -> None:
    url = bridge.addresses.workers[0]
    async with connected(url, additional_headers=bearer(TOKENS[0])) as worker:
        channel = await worker.trigger("engine::channels::create", {})
    writer = channel["writer"]
    query = f"key={writer['access_key']}&dir=write"

    async with connect(f"{url}/ws/channels/{writer['channel_id']}?{query}"):
        pass
    with pytest.raises(InvalidStatus, match="404"):
        await connect(f"{url}/ws/channels/{writer['channel_id']}?key=wrong&dir=write")


@pytest.mark.parametrize("runtime", ["python", "node"])
async def test_sdks_send_the_token_of_their_environment(
    bridge: RunningBridge, runtime: str, tmp_path: Path
) -> None:
    url = bridge.addresses.workers[0]
    async with (
        connected(url, additional_headers=bearer(TOKENS[0])) as caller,
        sdk_client(runtime, url, {"III_TOKEN": TOKENS[1]}, tmp_path, caller=caller),
    ):
        assert await caller.trigger(f"{runtime}::echo", {"n": 1}) == {"echo": 1}
