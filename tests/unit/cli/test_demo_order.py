"""How the demo posts an order and follows it."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from bridge.cli import demo_order
from bridge.cli.demo_order import Order, describe_event, follow, post_order
from bridge.errors import EngineError

CREATED_AT = "2026-01-02T03:04:05+00:00"
VALIDATED = {"step": "validate", "outcome": "done", "at": "2026-01-02T03:04:05.250+00:00"}
DECLINED = {
    "step": "charge-payment",
    "outcome": "failed",
    "at": "2026-01-02T03:04:06.5+00:00",
    "error": "declined",
}


def order(status: str, *history: dict[str, str]) -> dict[str, Any]:
    return {"status": status, "created_at": CREATED_AT, "payment_attempts": 1, "history": history}


def client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url="http://bridge", transport=httpx.MockTransport(answer))


def answering(orders: Iterator[dict[str, Any]]) -> httpx.AsyncClient:
    return client(lambda _: httpx.Response(200, json=next(orders)))


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_order, "_POLL_S", 0)


async def test_each_event_is_shown_once_with_the_time_since_the_order_was_created() -> None:
    lines: list[str] = []

    def show(seen: Order, shown: int) -> None:
        lines.extend(describe_event(seen, event) for event in seen.history[shown:])

    looks = iter(
        [
            order("pending"),
            order("validated", VALIDATED),
            order("validated", VALIDATED),
            order("fulfilled", VALIDATED, DECLINED),
        ]
    )
    async with answering(looks) as http:
        seen = await follow(http, "o1", show, timeout_s=60)
    assert seen.is_fulfilled
    assert lines == [
        "   0.25 s  validate        done",
        "   1.50 s  charge-payment  failed: declined",
    ]


async def test_following_ends_with_the_time_and_returns_the_order_as_it_is() -> None:
    async with answering(iter([order("validated", VALIDATED)])) as http:
        seen = await follow(http, "o1", lambda *_: None, timeout_s=-1)
    assert not seen.is_fulfilled
    assert seen.status == "validated"


async def test_an_order_that_is_refused_says_why() -> None:
    async with client(lambda _: httpx.Response(500, text="no such function")) as http:
        with pytest.raises(EngineError, match="POST /orders answered 500: no such function"):
            await post_order(http)


async def test_a_bridge_that_does_not_answer_is_an_error_that_names_the_request() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    async with client(refuse) as http:
        with pytest.raises(EngineError, match="POST /orders failed: connection refused"):
            await post_order(http)
