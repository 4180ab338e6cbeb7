"""An order pipeline as an iii worker: create, validate, charge the payment, ship, announce.

Every step is a function that hands the order to the next one through a named queue. How often a step is
tried, how long it waits and what runs in order is configured per queue in `iii-config.yaml`; no handler
repeats anything by itself. Handlers can be run again at any moment, so each looks at what the order already
has before it acts. The README beside this file shows how to run it and what to try.
"""

import functools
import hashlib
import os
import signal
import threading
import uuid
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from iii import (  # type: ignore[import-untyped]
    InitOptions,
    InvocationError,
    TriggerAction,
    register_worker,
)
from iii.iii import III  # type: ignore[import-untyped]
from iii.runtime import FunctionRef  # type: ignore[import-untyped]
from iii_helpers.observability import Logger

Json = dict[str, Any]
Call = Callable[..., Awaitable[Any]]
Handler = Callable[..., Awaitable[Any]]

STALE_AFTER = timedelta(hours=24)
DRAIN_TIMEOUT_S = 10
READY_POLL_S = 0.2


class OrderError(Exception):
    """A step cannot be done for this order; the message says why."""


class InvalidOrderError(OrderError):
    """The order breaks a rule of the shop."""


class PaymentDeclinedError(OrderError):
    """The payment provider refused the charge."""


class Orders:
    """The orders in iii's state, and the stream on which each can be followed.

    Update paths are flat keys: iii reads a path as one literal first-level key.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def create(self, order: Json) -> None:
        """Store a new order."""
        await self._call("state::set", scope="orders", key=order["order_id"], value=order)

    async def find(self, order_id: str) -> Json | None:
        """Return the order, or None when there is none of that id."""
        order: Json | None = await self._call("state::get", scope="orders", key=order_id)
        return order

    async def load(self, order_id: str) -> Json:
        """Return an order that must exist.

        Raises:
            OrderError: There is none of that id.
        """
        order = await self.find(order_id)
        if order is None:
            raise OrderError(f"order {order_id} does not exist")
        return order

    async def list(self) -> list[Json]:
        """Return all orders, oldest first."""
        orders: list[Json] = await self._call("state::list", scope="orders")
        return orders

    async def count_payment_attempt(self, order_id: str) -> Json:
        """Add one to the order's payment attempts and return the order."""
        return await self._update(order_id, {"type": "increment", "path": "payment_attempts", "by": 1})

    async def track_step(
        self, order_id: str, step: str, outcome: str, *, error: str | None = None, **changes: Any
    ) -> Json:
        """Record how a step ended, both in the order and on its stream.

        Args:
            order_id: The order.
            step: The step's name, also the id of its item in the stream group of the order.
            outcome: `done` or `failed`.
            error: Why it failed.
            changes: What else changes in the order.

        Returns:
            The order as it is now.
        """
        event = {"step": step, "outcome": outcome, "at": now().isoformat()}
        if error is not None:
            event["error"] = error
        changes |= {"updated_at": event["at"], "last_error": error}
        order = await self._update(
            order_id,
            *({"type": "set", "path": path, "value": value} for path, value in changes.items()),
            {"type": "append", "path": "history", "value": event},
        )
        item = {**event, "status": order["status"], "payment_attempts": order["payment_attempts"]}
        group = {"stream_name": "orders", "group_id": order_id}
        await self._call("stream::set", **group, item_id=step, data=item)
        await self._call("stream::send", TriggerAction.Void(), **group, type=f"order.{step}", data=item)
        return order

    async def _update(self, order_id: str, *ops: Json) -> Json:
        result = await self._call("state::update", scope="orders", key=order_id, ops=ops)
        if result.get("errors"):
            raise RuntimeError(f"order {order_id} was not updated: {result['errors']}")
        order: Json = result["new_value"]
        return order


class PaymentProvider:
    """Stands for a real payment provider: a charge repeated under one idempotency key is one charge."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def charge(self, order: Json, idempotency_key: str) -> str:
        """Charge the order's total and return the id of the charge.

        Raises:
            PaymentDeclinedError: The order asks for this attempt to fail.
        """
        order_id, attempt = order["order_id"], order["payment_attempts"]
        if order["force_payment_failure"]:
            raise PaymentDeclinedError(f"payment of order {order_id} declined: force_payment_failure is set")
        if attempt <= order["fail_until_payment_attempt"]:
            raise PaymentDeclinedError(
                f"payment of order {order_id} declined: attempt {attempt} of the "
                f"{order['fail_until_payment_attempt']} that fail_until_payment_attempt asks to fail"
            )
        charge_id = f"ch_{hashlib.sha256(idempotency_key.encode()).hexdigest()[:24]}"
        charge = {"charge_id": charge_id, "order_id": order_id, "amount": order["total"]}
        await self._call("state::set", scope="payments", key=idempotency_key, value=charge)
        return charge_id


class OrderPipeline:
    """The functions of the pipeline.

    Args:
        call: Calls a function through iii, as `calls_through` makes it.
        journal: Takes what happens, with the order's id beside every line.
    """

    def __init__(self, call: Call, journal: Logger) -> None:
        self._call = call
        self._journal = journal
        self._orders = Orders(call)
        self._payments = PaymentProvider(call)

    async def create(self, request: Json) -> Json:
        """`POST /orders`: store the order and hand it to the pipeline."""
        body = request["body"]
        if not isinstance(body, dict):
            return respond(400, {"error": "the body must be a JSON object with items and total"})
        order = new_order(body)
        order_id = order["order_id"]
        await self._orders.create(order)
        receipt = await self._enqueue("orders::validate", "order-validate", order_id)
        self._journal.info("order created", {"order_id": order_id, "receipt": receipt})
        return respond(202, {"order_id": order_id, "enqueue_receipt_id": receipt})

    async def get(self, request: Json) -> Json:
        """`GET /orders/:id`: the order with its history."""
        order = await self._orders.find(request["path_params"]["id"])
        return respond(200, order) if order else no_such_order(request)

    async def repair_payment(self, request: Json) -> Json:
        """`POST /orders/:id/repair-payment`: lift the payment faults, so that a redriven payment succeeds."""
        order_id = request["path_params"]["id"]
        if await self._orders.find(order_id) is None:
            return no_such_order(request)
        order = await self._orders.track_step(
            order_id, "repair-payment", "done", force_payment_failure=False, fail_until_payment_attempt=0
        )
        self._journal.info("payment faults lifted", {"order_id": order_id})
        return respond(200, order)

    async def validate(self, job: Json) -> None:
        """First step: refuse an order that breaks the rules."""
        order = await self._orders.load(job["order_id"])
        order_id = order["order_id"]
        if order["status"] == "pending":
            if problems := problems_of(order):
                error = InvalidOrderError(f"order {order_id} is invalid: {'; '.join(problems)}")
                raise await self._failed(order_id, "validate", error)
            await self._orders.track_step(order_id, "validate", "done", status="validated")
            self._journal.info("order validated", {"order_id": order_id})
        await self._enqueue("orders::charge-payment", "order-payment", order_id)

    async def charge_payment(self, job: Json, metadata: Json | None = None) -> None:
        """Second step: charge the order once, however often this runs."""
        order = await self._orders.load(job["order_id"])
        order_id = order["order_id"]
        delivery = (metadata or {}).get("iii-temporal", {})
        if order["charge_id"] is None:
            if order["status"] == "expired":
                self._journal.warn("expired order not charged", {"order_id": order_id})
                return
            await self._charge(order_id, delivery.get("idempotency_key", order_id))
        await self._enqueue("orders::ship", "order-ship", order_id)

    async def ship(self, job: Json) -> None:
        """Last step: ship the paid order and announce it."""
        order = await self._orders.load(job["order_id"])
        order_id = order["order_id"]
        if order["tracking_number"] is None:
            order = await self._orders.track_step(
                order_id, "ship", "done", status="shipped", tracking_number=tracking_number(order_id)
            )
            self._journal.info(
                "order shipped", {"order_id": order_id, "tracking_number": order["tracking_number"]}
            )
        if order["status"] != "fulfilled":
            await self._announce(order)
            await self._orders.track_step(order_id, "fulfill", "done", status="fulfilled")
            self._journal.info("order fulfilled", {"order_id": order_id})

    async def notify(self, event: Json) -> None:
        """Take `order.fulfilled`, as a shop's mailer would, and count how often it came."""
        ops = [
            {"type": "increment", "path": "deliveries", "by": 1},
            {"type": "set", "path": "event", "value": event},
        ]
        await self._call("state::update", scope="notifications", key=event["order_id"], ops=ops)
        self._journal.info("customer notified", {"order_id": event["order_id"]})

    async def cleanup_stale(self, tick: Json) -> Json:
        """Every hour: expire unpaid orders that nothing has happened to for a day.

        A call by hand may give another age as `older_than_s`.
        """
        age = timedelta(seconds=tick.get("older_than_s", STALE_AFTER.total_seconds()))
        stale = [order["order_id"] for order in await self._orders.list() if is_stale(order, age)]
        for order_id in stale:
            await self._orders.track_step(order_id, "cleanup", "done", status="expired")
        self._journal.info("stale orders expired", {"order_ids": stale})
        return {"expired": stale}

    async def _charge(self, order_id: str, idempotency_key: str) -> None:
        order = await self._orders.count_payment_attempt(order_id)
        try:
            charge_id = await self._payments.charge(order, idempotency_key)
        except PaymentDeclinedError as error:
            raise await self._failed(order_id, "charge-payment", error) from None
        await self._orders.track_step(order_id, "charge-payment", "done", status="paid", charge_id=charge_id)
        self._journal.info(
            "payment charged",
            {"order_id": order_id, "charge_id": charge_id, "attempt": order["payment_attempts"]},
        )

    async def _announce(self, order: Json) -> None:
        event = {key: order[key] for key in ("order_id", "total", "tracking_number")}
        await self._call("publish", TriggerAction.Void(), topic="order.fulfilled", data=event)

    async def _failed(self, order_id: str, step: str, error: OrderError) -> OrderError:
        await self._orders.track_step(order_id, step, "failed", error=str(error))
        self._journal.error("step failed", {"order_id": order_id, "step": step, "error": str(error)})
        return error

    async def _enqueue(self, function_id: str, queue: str, order_id: str) -> str:
        accepted = await self._call(function_id, TriggerAction.Enqueue(queue=queue), order_id=order_id)
        receipt: str = accepted["messageReceiptId"]
        return receipt


class Drain:
    """Counts running handlers, so that a stopping worker can let them finish."""

    def __init__(self) -> None:
        self._running = 0
        self._changed = threading.Condition()

    def counting(self, handler: Handler) -> Handler:
        """Return the handler with its runs counted."""

        @functools.wraps(handler)  # the SDK reads the signature to decide whether to pass the metadata
        async def counted(*args: Any) -> Any:
            self._add(1)
            try:
                return await handler(*args)
            finally:
                self._add(-1)

        return counted

    def wait(self, timeout_s: float) -> bool:
        """Wait for the running handlers; say whether all of them ended in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, timeout_s)

    def _add(self, difference: int) -> None:
        with self._changed:
            self._running += difference
            self._changed.notify_all()


def now() -> datetime:
    """Return the time, as every timestamp here is written: in UTC."""
    return datetime.now(UTC)


def new_order(body: Json) -> Json:
    """Return the order that a request body asks for, before anything happened to it."""
    created_at = now().isoformat()
    return {
        "order_id": str(uuid.uuid4()),
        "status": "pending",
        "items": body.get("items", []),
        "total": body.get("total", 0),
        "fail_until_payment_attempt": body.get("fail_until_payment_attempt", 0),
        "force_payment_failure": body.get("force_payment_failure", False),
        "payment_attempts": 0,
        "charge_id": None,
        "tracking_number": None,
        "last_error": None,
        "created_at": created_at,
        "updated_at": created_at,
        "history": [],
    }


def problems_of(order: Json) -> list[str]:
    """Return what makes the order unacceptable; nothing when it is fine."""
    rules = {
        "items must be a list with at least one item": isinstance(order["items"], list) and order["items"],
        "total must be a positive number": is_number(order["total"]) and order["total"] > 0,
        "fail_until_payment_attempt must be a number": is_number(order["fail_until_payment_attempt"]),
        "force_payment_failure must be true or false": isinstance(order["force_payment_failure"], bool),
    }
    return [rule for rule, kept in rules.items() if not kept]


def is_number(value: Any) -> bool:
    """Say whether a JSON value is a number; in Python a bool would pass for one."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_stale(order: Json, age: timedelta) -> bool:
    """Say whether an unpaid order has waited for at least this long."""
    waiting = order["status"] in ("pending", "validated") and order["charge_id"] is None
    return waiting and datetime.fromisoformat(order["updated_at"]) <= now() - age


def tracking_number(order_id: str) -> str:
    """Return the carrier's number for the order, the same however often it is asked."""
    return f"TRK-{order_id.replace('-', '')[:16].upper()}"


def respond(status_code: int, body: Json) -> Json:
    """Return what an `http` trigger turns into an HTTP response."""
    return {"status_code": status_code, "body": body}


def no_such_order(request: Json) -> Json:
    """Return the answer for an order id that nobody created."""
    return respond(404, {"error": f"order {request['path_params']['id']} does not exist"})


def calls_through(iii: III) -> Call:
    """Return how this worker calls functions: `call(function_id, action, **payload)`.

    Without an action the call waits for the result; `TriggerAction` says what else there is.
    """

    async def call(function_id: str, action: Any = None, **payload: Any) -> Any:
        return await iii.trigger_async({"function_id": function_id, "payload": payload, "action": action})

    return call


def register(iii: III, pipeline: OrderPipeline, drain: Drain) -> list[FunctionRef]:
    """Register the pipeline's functions and what starts them."""
    handlers: dict[str, Handler] = {
        "orders::create": pipeline.create,
        "orders::get": pipeline.get,
        "orders::repair-payment": pipeline.repair_payment,
        "orders::validate": pipeline.validate,
        "orders::charge-payment": pipeline.charge_payment,
        "orders::ship": pipeline.ship,
        "orders::notify": pipeline.notify,
        "orders::cleanup-stale": pipeline.cleanup_stale,
    }
    triggers: list[tuple[str, str, Json]] = [
        ("http", "orders::create", {"api_path": "/orders", "http_method": "POST"}),
        ("http", "orders::get", {"api_path": "/orders/:id", "http_method": "GET"}),
        ("http", "orders::repair-payment", {"api_path": "/orders/:id/repair-payment", "http_method": "POST"}),
        ("subscribe", "orders::notify", {"topic": "order.fulfilled"}),
        ("cron", "orders::cleanup-stale", {"expression": "0 0 * * * * *"}),
    ]
    functions = [iii.register_function(name, drain.counting(handler)) for name, handler in handlers.items()]
    for kind, function_id, config in triggers:
        iii.register_trigger({"type": kind, "function_id": function_id, "config": config})
    return functions


def wait_until_registered(
    iii: III, function_ids: Collection[str], stop: threading.Event, journal: Logger
) -> bool:
    """Wait until iii lists the functions; say whether it does, which it may not before `stop` is set."""
    request = {"function_id": "engine::functions::list", "payload": {"prefix": "orders::"}}
    while not stop.is_set():
        try:
            listed = {row["function_id"] for row in iii.trigger(request)["functions"]}
        except InvocationError as error:
            journal.warn("iii does not list the functions yet", {"error": str(error)})
        else:
            if listed.issuperset(function_ids):
                return True
        stop.wait(READY_POLL_S)
    return False


def main() -> None:
    """Serve the pipeline until SIGTERM or SIGINT, then finish what runs and leave."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the worker is connected, both signals simply end it
    iii = register_worker(
        os.environ.get("III_URL", "ws://127.0.0.1:49134"),
        InitOptions(worker_description="Order pipeline: validate, charge, ship"),
    )
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())

    journal = Logger(service_name="order-fulfillment")
    drain = Drain()
    functions = register(iii, OrderPipeline(calls_through(iii), journal), drain)
    if wait_until_registered(iii, [function.id for function in functions], stop, journal):
        print("worker ready", flush=True)
    stop.wait()

    for function in functions:
        function.unregister()  # no new work; iii-temporal keeps the jobs meanwhile
    if not drain.wait(DRAIN_TIMEOUT_S):
        journal.warn("handlers still running at exit; their jobs will be delivered again")
    iii.shutdown()


if __name__ == "__main__":
    main()
