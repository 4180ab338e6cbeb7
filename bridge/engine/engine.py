"""The one way for a call to travel: find who offers the function, hand it over, bring the outcome back."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import msgspec
import structlog

from bridge.engine.backlog import Backlog
from bridge.engine.calls import Call, Invocation, OnDone, Outcome
from bridge.engine.functions import (
    BuiltinHandler,
    DuplicatePolicy,
    Function,
    FunctionRegistry,
    FunctionSchema,
)
from bridge.engine.handed_jobs import HandedJobs
from bridge.engine.observation import CallStart, Enqueuer, Observer, all_of, broken_off
from bridge.engine.tracing import baggage_for, new_traceparent, valid_traceparent
from bridge.engine.triggers import Binding, TriggerRegistry, TriggerType
from bridge.engine.workers import Worker
from bridge.errors import (
    BridgeError,
    EngineError,
    FunctionNotFoundError,
    InvalidInputError,
    WorkerGoneError,
)
from bridge.protocol.inbound import InvocationResult, RegisterFunction
from bridge.protocol.outbound import CalledBy, CallFunction
from bridge.protocol.payload import ABSENT, is_object, is_present

__all__ = ["Engine", "Enqueuer", "Spawn", "decode_input"]

log = structlog.get_logger("bridge.engine")

Spawn = Callable[[Coroutine[Any, Any, None], str], None]
"""Runs a coroutine as a task of the given name, in the task group of whoever provides this."""

Input = TypeVar("Input")

WorkerEvent = Callable[[str, Worker], None]


class HttpFunctionProvider(Protocol):
    """Runs functions that a worker registered and that live behind a URL (spec 01 §6)."""

    def offer(self, message: RegisterFunction) -> BuiltinHandler:
        """Return what runs the function's calls.

        Raises:
            BridgeError: The function cannot be offered.
        """


class Engine:
    """Routes calls between workers and built-in functions, and keeps what is registered.

    Sync and void calls go worker → engine → worker and touch nothing else.

    Args:
        spawn: Runs built-in functions.
        new_id: Makes fresh UUIDs.
        duplicates: What a second provider of one function means.

    Attributes:
        on_function_offered: Called with the id of each function a worker has begun to offer.
        on_worker_event: Called when a worker came, changed or went.
        observers: Told of every call, message and delivery.
        enqueuer: Where messages go that must not be lost.
        http_functions: Runs functions behind URLs; `None` when there are to be none.
        handed_jobs: The jobs that handlers were given.
    """

    def __init__(
        self, *, spawn: Spawn, new_id: Callable[[], str], duplicates: DuplicatePolicy = "balance"
    ) -> None:
        self.new_id = new_id
        self.spawn = spawn
        self.workers: dict[str, Worker] = {}
        self.functions = FunctionRegistry(duplicates, self._function_offered)
        self.triggers = TriggerRegistry()
        self.on_function_offered: list[Callable[[str], None]] = []
        self.on_worker_event: list[WorkerEvent] = []
        self.observers: list[Observer] = []
        self.enqueuer: Enqueuer | None = None
        self.http_functions: HttpFunctionProvider | None = None
        self.handed_jobs = HandedJobs()

    def add_builtin(
        self,
        function_id: str,
        handler: BuiltinHandler,
        *,
        owner_name: str,
        schema: FunctionSchema | None = None,
    ) -> None:
        """Offer a function of the bridge itself.

        Args:
            function_id: For example `state::get`.
            handler: Runs the call.
            owner_name: The iii worker that it belongs to, for example `iii-state`.
            schema: What introspection shows.
        """
        self.functions.offer(
            Function(
                id=function_id,
                namespace="default",
                provider=handler,
                schema=schema or FunctionSchema(),
                owner_name=owner_name,
            )
        )

    def add_trigger_type(self, trigger_type: TriggerType) -> None:
        """Provide a trigger type, by the bridge or by a worker; bindings that waited for it go in force."""
        self.triggers.provide(trigger_type)

    def start(self, call: Call, on_done: OnDone) -> None:
        """Send a call on its way.

        Args:
            call: What to run.
            on_done: Called once with the outcome, perhaps before this returns.
        """
        self._start(call, on_done)

    async def invoke(self, call: Call) -> Outcome:
        """Run a call and wait for its outcome, without a time limit.

        Cancellation: safe; the function keeps running, as in iii, and its answer is dropped.
        """
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        started = self._start(call, settle)
        try:
            return await done
        finally:
            if started is not None:
                worker, invocation = started
                if worker.executing.pop(invocation.id, None):
                    invocation.on_done(Outcome(error=broken_off()))

    async def fire(
        self, binding: Binding, data: msgspec.Raw, *, condition_function_id: str | None = None
    ) -> Outcome | None:
        """Run a binding's function because its trigger fired, if its condition does not object.

        Only a condition that answers `false` skips; one that fails skips too and is logged (spec 03 §6).

        Args:
            binding: What fired.
            data: The event.
            condition_function_id: The function that is asked first.

        Returns:
            The outcome of the function; `None` when it was skipped.

        Cancellation: safe; a function that was started keeps running.
        """
        if condition_function_id is not None:
            condition = await self.invoke(Call(condition_function_id, data, binding.namespace))
            if condition.error is not None:
                log.warning(
                    "condition failed, function skipped",
                    condition_function_id=condition_function_id,
                    function_id=binding.function_id,
                    trigger_id=binding.id,
                    error=condition.error.message,
                )
                return None
            if condition.result == msgspec.Raw(b"false"):
                return None
        return await self.invoke(
            Call(binding.function_id, data, namespace=binding.namespace, metadata=binding.metadata)
        )

    def connect(self, worker: Worker) -> None:
        """Add a worker."""
        self.workers[worker.id] = worker
        self.emit("worker_connected", worker)

    def disconnect(self, worker: Worker) -> None:
        """Forget a worker: its functions, its calls in flight, its triggers, in this order (spec 01 §3.4).

        Forgetting it again does nothing.
        """
        if self.workers.pop(worker.id, None) is None:
            return
        self.functions.withdraw_all(worker)
        stopped = list(worker.executing.values())
        worker.executing.clear()
        for invocation in stopped:
            invocation.on_done(Outcome.failed(WorkerGoneError("Invocation stopped")))
        self.triggers.disconnect(worker)
        self.emit("worker_disconnected", worker)

    def complete(self, worker: Worker, message: InvocationResult) -> None:
        """Settle a call with the worker's answer; an answer nobody waits for is ignored."""
        invocation = worker.executing.pop(message.invocation_id, None)
        if invocation is not None:
            # An error wins, and a worker's null and no result are one and the same (spec 01 §2.12).
            has_result = message.error is None and is_present(message.result)
            invocation.on_done(Outcome(message.result if has_result else ABSENT, message.error))

    def has_provider(self, function_id: str, namespace: str = "default") -> bool:
        """Tell whether somebody offers the function now."""
        return self.functions.find(function_id, namespace) is not None

    def emit(self, event: str, worker: Worker) -> None:
        """Tell the listeners that a worker came, changed or went (spec 05 §3)."""
        for listener in self.on_worker_event:
            listener(event, worker)

    def _start(self, call: Call, on_done: OnDone) -> tuple[Worker, Invocation] | None:
        function = self.functions.pick(call.function_id, call.namespace)
        traceparent = valid_traceparent(call.traceparent) or new_traceparent(self.new_id())
        if self.observers:
            start = CallStart(call, function, traceparent)
            on_done = all_of([*(each.call_started(start) for each in self.observers), on_done])
        if function is None:
            on_done(Outcome.failed(self._not_found(call)))
            return None
        if isinstance(function.provider, Worker):
            return self._hand_over(call, function.provider, traceparent, on_done)
        if call.caller is not None:
            on_done = all_of([_counted(call.caller.backlog, call.payload_bytes), on_done])
        self.spawn(_run_builtin(function.provider, call, on_done), f"builtin {call.function_id}")
        return None

    def _hand_over(
        self, call: Call, worker: Worker, traceparent: str, on_done: OnDone
    ) -> tuple[Worker, Invocation] | None:
        invocation_id = self.new_id()
        function_id = worker.own_ids.get(call.function_id, call.function_id)
        seal = self.handed_jobs.seal(call.job, function_id)
        names_callers = worker.is_asked_for_its_handlers  # and gives no baggage back
        baggage = baggage_for(call.function_id, invocation_id, call.baggage, None if names_callers else seal)
        if too_large := worker.refusal_of(call.payload_bytes, call.function_id, baggage):
            on_done(Outcome.failed(too_large))
            return None
        # Of deliveries there are no more than their queues have slots, and a refusal would cost an attempt.
        if not call.is_delivery and (busy := worker.refusal_of_more()):
            on_done(Outcome.failed(busy))
            return None
        invocation = Invocation(
            id=invocation_id,
            function_id=function_id,
            traceparent=traceparent,
            job=call.job,
            on_done=on_done,
        )
        worker.executing[invocation.id] = invocation
        worker.send(
            CallFunction(
                invocation_id=invocation.id,
                function_id=function_id,
                data=call.data,
                traceparent=traceparent,
                baggage=baggage,
                metadata=call.metadata,
                caller=_caller(call, seal) if seal and names_callers else None,
            )
        )
        return worker, invocation

    def _not_found(self, call: Call) -> FunctionNotFoundError:
        text = f"Function {call.function_id} not found in namespace {call.namespace}."
        elsewhere = self.functions.namespaces_of(call.function_id)
        if elsewhere:
            text += f" It exists in: {', '.join(elsewhere)}."
        return FunctionNotFoundError(f"{text} Is the worker that registers it connected?")

    def _function_offered(self, function_id: str) -> None:
        for listener in self.on_function_offered:
            listener(function_id)


def _caller(call: Call, seal: str) -> CalledBy:
    """Return who has called a handler, as its SDK names it again with every call that the handler makes."""
    if call.caller is None:
        return CalledBy(worker_id="iii-temporal", worker_name="iii-queue", invocation_id=seal)
    return CalledBy(worker_id=call.caller.id, worker_name=call.caller.info.name or "", invocation_id=seal)


def _counted(backlog: Backlog, size_bytes: int) -> OnDone:
    """Count a call that begins; returns what counts its end."""
    backlog.begin(size_bytes)
    return lambda _: backlog.end(size_bytes)


async def _run_builtin(handler: BuiltinHandler, call: Call, on_done: OnDone) -> None:
    try:
        outcome = Outcome(await handler(call))
    except BridgeError as exc:
        outcome = Outcome.failed(exc)
    except Exception:  # one call fails; the process and every other call go on
        log.exception("built-in function failed", function_id=call.function_id)
        outcome = Outcome.failed(
            EngineError(f"{call.function_id} failed inside the bridge; its log has the details")
        )
    on_done(outcome)


def decode_input(call: Call, shape: msgspec.json.Decoder[Input]) -> Input:
    """Decode the payload of a built-in function.

    Raises:
        InvalidInputError: The payload does not have the shape (spec 03 §0).
    """
    where = f"Failed to deserialize input for {call.function_id}"
    if not is_object(call.data):
        raise InvalidInputError(f"{where}: expected a JSON object; send {{}} for no input")
    try:
        return shape.decode(call.data)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise InvalidInputError(f"{where}: {exc}") from exc
