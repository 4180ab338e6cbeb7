"""One order on its way through the pipeline: posted over HTTP, followed step by step."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import httpx
import msgspec
from temporalio.client import Client
from temporalio.service import RPCError

from bridge.errors import EngineError
from bridge.temporal.web_ui import workflow_page

__all__ = ["ORDER", "Accepted", "Event", "Order", "chain_link", "describe_event", "follow", "post_order"]

ORDER = {"items": [{"sku": "mug", "quantity": 1}], "total": 42, "fail_until_payment_attempt": 2}
"""What is ordered: its first two payments fail, so that retries can be seen."""

_POLL_S = 0.1


class Accepted(msgspec.Struct, frozen=True):
    """The answer to a posted order."""

    order_id: str
    enqueue_receipt_id: str


class Event(msgspec.Struct, frozen=True):
    """One entry in an order's history: how an attempt of a step ended."""

    step: str
    outcome: str
    at: datetime
    error: str | None = None


class Order(msgspec.Struct, frozen=True):
    """What the pipeline knows of an order, as far as it is shown."""

    status: str
    created_at: datetime
    payment_attempts: int
    history: Sequence[Event]
    tracking_number: str | None = None
    last_error: str | None = None

    @property
    def is_fulfilled(self) -> bool:
        """Tell whether the pipeline is done with it."""
        return self.status == "fulfilled"


async def post_order(http: httpx.AsyncClient) -> Accepted:
    """Post the order.

    Raises:
        EngineError: It was not accepted.
    """
    return msgspec.json.decode(await _request(http, "POST", "/orders", json=ORDER), type=Accepted)


async def follow(
    http: httpx.AsyncClient, order_id: str, on_look: Callable[[Order, int], None], timeout_s: float
) -> Order:
    """Watch an order until it is fulfilled, or the time is over.

    Args:
        http: The bridge's HTTP port.
        order_id: The order.
        on_look: Takes the order at every look, and how long its history was at the look before.
        timeout_s: How long to watch.

    Returns:
        The order as it was last seen.

    Raises:
        EngineError: The order cannot be read.
    """
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    shown = 0
    while True:
        order = msgspec.json.decode(await _request(http, "GET", f"/orders/{order_id}"), type=Order)
        on_look(order, shown)
        shown = len(order.history)
        if order.is_fulfilled or asyncio.get_running_loop().time() > deadline_s:
            return order
        await asyncio.sleep(_POLL_S)


def describe_event(order: Order, event: Event) -> str:
    """Return the line that shows an event, with the time since the order was created."""
    elapsed_s = (event.at - order.created_at).total_seconds()
    line = f"{elapsed_s:7.2f} s  {event.step:<15} {event.outcome}"
    return f"{line}: {event.error}" if event.error else line


async def chain_link(ui_url: str, client: Client, workflow_id: str) -> str:
    """Return the page of a workflow's latest run in Temporal's Web UI.

    Raises:
        EngineError: Temporal does not know the workflow, or does not answer.
    """
    try:
        description = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as exc:
        raise EngineError(f"Temporal does not show workflow {workflow_id}: {exc.message}") from exc
    return workflow_page(ui_url, client.namespace, workflow_id, description.run_id)


async def _request(http: httpx.AsyncClient, method: str, path: str, **content: Any) -> bytes:
    try:
        response = await http.request(method, path, **content)
    except httpx.HTTPError as exc:
        raise EngineError(f"{method} {path} failed: {str(exc) or type(exc).__name__}") from exc
    if response.is_error:
        raise EngineError(f"{method} {path} answered {response.status_code}: {response.text}")
    return response.content
